"""How thresholds are worked out: scopes, and what is done to the number afterwards."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from threshcli import thresholds
from threshcli.errors import UsageError
from threshcli.plan.fit import Fit, Scope
from threshcli.spec import Number
from threshcli.thresholds.base import Answer

NAN = Number.parse("nan")
NUMBER, WORKED = {"threshold": thresholds.parse("0.5")}, {"threshold": thresholds.parse("p90")}


@pytest.mark.parametrize("text", ["tensor", "file", "global", "axis:0", "axis:-1", "axis:12"])
def test_a_scope_is_written_as_it_is_read(text: str) -> None:
    assert str(Scope.parse(text)) == text


@pytest.mark.parametrize("text", ["", "axis", "axis:", "axis:x", "axis:1.5", "tensors", "global:1", "axis:1234"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a scope"):
        Scope.parse(text)


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        (Fit(), Fraction(3, 2)),
        (Fit(scale=Number.parse("2")), Fraction(3)),
        (Fit(offset=Number.parse("-0.5")), Fraction(1)),
        (Fit(scale=Number.parse("2"), offset=Number.parse("1")), Fraction(4)),
        (Fit(scale=Number.parse("0")), Fraction(0)),
        (Fit(at_least=Number.parse("2")), Fraction(2)),
        (Fit(at_least=Number.parse("1")), Fraction(3, 2)),
        (Fit(at_most=Number.parse("0.1")), Fraction(1, 10)),
        (Fit(scale=Number.parse("1e300"), at_most=Number.parse("7")), Fraction(7)),
        (Fit(at_least=Number.parse("-inf"), at_most=Number.parse("inf")), Fraction(3, 2)),
    ],
)
def test_a_threshold_is_scaled_moved_and_limited_in_this_order(fit: Fit, expected: Fraction) -> None:
    assert fit.modified(Answer(values=(Fraction(3, 2),))).values == (expected,)


def test_a_cut_by_rank_keeps_its_ties_until_it_is_moved() -> None:
    """Then it is a number like any other."""
    ranked = Answer(values=(Fraction(3),), above=4, asked=2, tied=3, usable=9)
    assert Fit(at_least=Number.parse("3"), scale=Number.parse("1")).modified(ranked) == ranked
    moved = Fit(scale=Number.parse("2")).modified(ranked)
    assert (moved.values, moved.above, moved.asked) == ((Fraction(6),), None, 2)


def test_whole_numbers_beyond_float64_stay_exact_unless_they_are_moved() -> None:
    large = Answer(values=(Fraction(2**63 - 1),))
    assert Fit(at_least=Number.parse("0")).modified(large) == large
    assert Fit(offset=Number.parse("1")).modified(large).values == (Fraction(2**63),)


def test_an_infinite_threshold_stays_infinite() -> None:
    infinite = Answer(values=(math.inf,))
    assert Fit(scale=Number.parse("2"), offset=Number.parse("-1")).modified(infinite).values == (math.inf,)
    assert Fit(at_most=Number.parse("5")).modified(infinite).values == (Fraction(5),)


def test_crossed_limits_are_refused() -> None:
    with pytest.raises(UsageError, match="--at-least is above --at-most"):
        Fit(at_least=Number.parse("2"), at_most=Number.parse("1")).check(WORKED)
    Fit(at_least=Number.parse("1"), at_most=Number.parse("1")).check(WORKED)


@pytest.mark.parametrize("fit", [Fit(scale=NAN), Fit(offset=NAN), Fit(at_least=NAN), Fit(at_most=NAN)])
def test_nothing_is_nan(fit: Fit) -> None:
    with pytest.raises(UsageError, match="cannot be NaN"):
        fit.check(WORKED)


@pytest.mark.parametrize("fit", [Fit(scale=Number.parse("inf")), Fit(offset=Number.parse("-inf"))])
def test_scale_and_offset_are_finite(fit: Fit) -> None:
    with pytest.raises(UsageError, match="must be finite"):
        fit.check(WORKED)


@pytest.mark.parametrize(
    ("fit", "option"),
    [
        (Fit(scope=Scope("file")), "--scope"),
        (Fit(ties="all"), "--ties"),
        (Fit(ignore_zero=True), "--ignore-zero"),
        (Fit(mask="m.npy"), "--estimate-mask"),
        (Fit(at_least=Number.parse("1")), "--at-least"),
        (Fit(bins=9), "--bins"),
    ],
)
def test_options_without_anything_to_work_out_are_refused(fit: Fit, option: str) -> None:
    with pytest.raises(UsageError, match=option):
        fit.check(NUMBER)
    fit.check(WORKED)
    fit.check({"low": NUMBER["threshold"], "high": WORKED["threshold"]})


def test_the_report_states_what_was_asked_for_and_no_more() -> None:
    assert Fit().params() == {"scope": "tensor"}
    fit = Fit(scope=Scope("axis", 1), ties="none", scale=Number.parse("0.5"), mask="m.npy", bins=16)
    assert fit.params() == {"scope": "axis:1", "ties": "none", "scale": 0.5, "estimate_mask": "m.npy", "bins": 16}


@pytest.mark.parametrize(
    ("text", "near"), [("ostu", "otsu"), ("medain", "median"), ("p101", "p100"), ("zero90", "zero90%"), ("top-5", "")]
)
def test_what_is_no_threshold_is_refused_with_what_there_is(text: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        thresholds.parse(text)
    assert near in f"{caught.value.what} {caught.value.hint}"


@pytest.mark.parametrize("text", ["p90", "p99.9", "p0", "p100", "top0", "top7", "top12.5%", "zero100%", "energy0%"])
def test_ranks_are_read_exactly(text: str) -> None:
    assert type(thresholds.parse(text)).__name__ in ("Percentile", "Top", "Zero", "EnergyThreshold")


@pytest.mark.parametrize(
    "text", ["p", "p-1", "p1e1", "top", "top1.5", "top%", "zero9", "energy1", "P90", "p9٣", "sigma"]
)
def test_what_is_nearly_a_rank_is_none(text: str) -> None:
    with pytest.raises(UsageError):
        thresholds.parse(text)
