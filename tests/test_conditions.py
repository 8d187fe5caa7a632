"""Conditions: read as they are meant, compared without rounding."""

from __future__ import annotations

import math

import pytest

from threshcli.conditions import Condition
from threshcli.errors import UsageError

COUNTS, VALUES = ("nan", "kept", "zeros_after"), ("min", "max", "norm_max")


def holds(text: str, value: float | int | None, elements: int = 0) -> bool:
    return Condition.parse(text, COUNTS, VALUES).holds(value, elements)


@pytest.mark.parametrize(
    ("text", "value", "elements", "expected"),
    [
        ("nan>0", 1, 10, True),
        ("nan>0", 0, 10, False),
        (" NaN >= 1 ", 1, 10, True),
        ("nan==2", 2, 10, True),
        ("nan=2", 2, 10, True),
        ("nan!=2", 2, 10, False),
        ("max<=1e4", 10000.0, 1, True),
        ("max<-0.5", -0.75, 1, True),
        ("max<inf", math.inf, 1, False),
        ("max==inf", math.inf, 1, True),
        ("min==-inf", -math.inf, 1, True),
        ("max>1", math.inf, 1, True),
        ("kept<1%", 9, 1000, True),
        ("kept<1%", 10, 1000, False),
        ("kept < 0.1 %", 1, 1001, True),
        ("zeros-after>50%", 2, 3, True),
        ("kept<1%", 0, 0, False),
        ("max>0", None, 3, False),
        ("max!=0", math.nan, 3, False),
    ],
)
def test_a_condition_holds_where_it_says_so(text: str, value: float | None, elements: int, expected: bool) -> None:
    """Of nothing that is missing, and of no share of nothing."""
    assert holds(text, value, elements) is expected


def test_nothing_is_rounded() -> None:
    """Whole numbers beyond float64, decimal fractions, shares."""
    assert holds("max>9007199254740992", 2**53 + 1)
    assert not holds("max>9007199254740993", 2**53 + 1)
    assert holds("max>0.1", 0.1), "float64 0.1 is a little more than a tenth"
    assert holds("max==0.1000000000000000055511151231257827021181583404541015625", 0.1)
    assert not holds("kept<33.333333333333333333%", 10**20, 3 * 10**20)
    assert holds("kept<33.333333333333333334%", 10**20, 3 * 10**20)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("", "not a condition", "'nan>0'"),
        ("nan", "not a condition", "'nan>0'"),
        ("nan>", "not a condition", "'nan>0'"),
        (">0", "not a condition", "'nan>0'"),
        ("nan>0%%", "not a condition", "'nan>0'"),
        ("nan>0;" + " " * 300, "not a condition", "'nan>0'"),
        ("nan>many", "'many' is not a number", "0.5"),
        ("nan=>0", "'>0' is not a number", "0.5"),
        ("nans>0", "nothing is called 'nans'", "did you mean nan? there are nan, kept"),
        ("what>0", "nothing is called 'what'", "there are nan, kept"),
        ("max<1%", "max is no count", "nan, kept, zeros_after"),
        ("max>nan", "nothing compares with NaN", "'nan>0'"),
    ],
)
def test_what_is_no_condition_is_refused_with_a_hint(text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Condition.parse(text, COUNTS, VALUES)
    assert said in caught.value.what
    assert hint in (caught.value.hint or "")


def test_a_condition_is_shown_as_it_was_written() -> None:
    assert str(Condition.parse(" kept < 1% ", COUNTS)) == "kept < 1%"
