"""The fewest largest elements that hold a share of the sum of squares: as exact fractions say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference
from tests.strategies import REAL, blocks
from tests.studying import LENSES, Runner, seen, stored
from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64, INT64, UINT8, DType, Real
from threshcli.errors import InternalError
from threshcli.studies import _gather, _prefixes, _squares
from threshcli.studies import energy as energies
from threshcli.studies.base import MAGNITUDE, VALUE, Sample, run_in_memory
from threshcli.studies.energy import Energy, energy
from threshcli.studies.ranks import Ranked

SHARES = st.one_of(
    st.sampled_from([Fraction(0), Fraction(1), Fraction(99, 100), Fraction(1, 2)]),
    st.fractions(0, 1, max_denominator=10**6),
)


@contextmanager
def passes_over_digits() -> Iterator[None]:
    """Nothing is gathered, and pieces are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(energies, "FEW", 0)
        for module, constant in ((_gather, "CODES"), (_prefixes, "CODES"), (_squares, "SUMMED")):
            patch.setattr(module, constant, 5)
        yield


def expected(values: list[Real], share: Fraction) -> Energy:
    """By adding exact squares, the largest element first."""
    known = sorted((value for value in values if not reference.is_nan(value)), reverse=True)
    squares = [value * value for value in known if isinstance(value, Fraction)]
    total = sum(squares, Fraction(0))
    kept, held = known.count(math.inf), Fraction(0)
    for square in squares:
        if held >= share * total:
            break
        kept, held = kept + 1, held + square
    value: Real = known[max(kept - 1, 0)] if known else Fraction(0)
    cut = Ranked(value, sum(other < value for other in known), known.count(value))
    return Energy(kept, cut, len(known), len(values) - len(known), rounded(total))


def rounded(total: Fraction) -> float:
    try:
        return float(total)
    except OverflowError:
        return math.inf


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("gathered", [True, False], ids=["gathered", "by digits"])
@given(data=st.data())
@settings(max_examples=20)
def test_it_is_that_of_exact_fractions(dtype: DType, gathered: bool, data: st.DataObject) -> None:
    """Of any codes, through any lens, masked or not, in any stretches and any order."""
    codes = data.draw(blocks(dtype, most=16))
    codes += data.draw(st.lists(st.sampled_from(codes), max_size=16)) if codes else []
    lens, share = data.draw(st.sampled_from(LENSES)), data.draw(SHARES)
    mask = data.draw(st.none() | st.lists(st.booleans(), min_size=len(codes), max_size=len(codes)))
    population = [code for code, inside in zip(codes, mask or [True] * len(codes), strict=True) if inside]
    inside = None if mask is None else np.array(mask, bool)
    arguments = (stored(codes, dtype), dtype, inside)
    if gathered:
        found = Runner(7)(energy(share, lens), *arguments)
    else:
        with passes_over_digits():
            found = Runner(data.draw(st.integers(8, 50)))(energy(share, lens), *arguments)
    assert found == expected(seen(population, dtype, lens), share)


def numbers(dtype: DType, count: int) -> list[int]:
    """Codes of elements of which many are alike, and some large."""
    chance = np.random.default_rng(3)
    data = chance.standard_normal(count) * 10 ** chance.uniform(0, 3, count)
    data[chance.random(count) < 0.3] = 700.25
    codes: list[int] = data.astype(dtype.name).view(f"u{dtype.itemsize}").tolist()
    return codes


@pytest.mark.parametrize(
    ("name", "few", "tied", "passes"),
    [
        ("float32", 100_000, True, ["Gather"]),
        ("float32", 10, True, ["Gather", "DigitSums", "Digits"]),
        ("float32", 10, False, ["Gather", "DigitSums", "Digits"]),
        ("float64", 10, True, ["Gather", "DigitSums", "DigitSums", "DigitSums", "Digits"]),
        ("float64", 10, False, ["Gather", "DigitSums", "DigitSums", "Collect"]),
        ("float64", 1000, False, ["Gather", "DigitSums", "Collect"]),
        ("int32", 10, True, ["Gather", "DigitSums", "Digits"]),
        ("int64", 10, False, ["Gather", "DigitSums", "DigitSums", "DigitSums", "Digits"]),
        ("int16", 10, True, ["Gather", "Codes"]),
    ],
)
def test_each_way_is_taken(name: str, few: int, tied: bool, passes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """To a cut that is one of many equal elements, or of few."""
    dtype, share = DTYPES[name], Fraction(6, 10) if tied else Fraction(999, 1000)
    codes = numbers(dtype, 5000)
    monkeypatch.setattr(energies, "FEW", few)
    runner = Runner(1024)
    found = runner(energy(share), stored(codes, dtype), dtype)
    assert found == expected(seen(codes, dtype, MAGNITUDE), share)
    assert runner.passes == passes
    assert (found.cut.equal > 1000) == tied


def test_sums_that_outgrow_one_part_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digits below the first are as large as can be, and so are their squares."""
    monkeypatch.setattr(energies, "FEW", 0)
    count = 1 << 16
    data = np.full(count, 2**63 - 1)
    found = Runner(1 << 13)(energy(Fraction(1, 3)), data, INT64)
    assert found.kept == -(-count // 3)
    assert found.cut == Ranked(Fraction(2**63 - 1), 0, count)
    assert found.total == float(count * Fraction(2**63 - 1) ** 2)


@pytest.mark.parametrize("dtype", [FLOAT32, UINT8], ids=str)
def test_of_nothing_but_zeros_nothing_is_kept(dtype: DType) -> None:
    data = stored([0] * 5 + ([dtype.sign, dtype.nan] if dtype.is_float else []), dtype)
    for share in (Fraction(0), Fraction(1)):
        found = run_in_memory(energy(share), data, dtype)
        zeros = data.size - found.unusable
        assert found == Energy(0, Ranked(Fraction(0), 0, zeros), zeros, int(dtype.is_float), 0.0)


def test_infinite_elements_are_kept_even_alone() -> None:
    found = run_in_memory(energy(Fraction(1, 2)), np.array([0, -np.inf, np.nan, np.inf], "f4"), FLOAT32)
    assert found == Energy(2, Ranked(math.inf, 1, 2), 3, 1, 0.0)


@pytest.mark.parametrize("few", [0, 100])
def test_of_values_the_largest_come_first_and_negative_ones_last(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Minus infinity, the smallest there is, is in no sum either."""
    monkeypatch.setattr(energies, "FEW", few)
    data = np.array([-np.inf, -3e38, 1e38, np.inf, 2e38], "f4")
    found = run_in_memory(energy(Fraction(1, 3), VALUE), data, FLOAT32)
    assert (found.kept, found.cut.below, float(found.cut.value)) == (3, 2, float(data[2]))
    found = run_in_memory(energy(Fraction(1), VALUE), data, FLOAT32)
    assert (found.kept, found.cut.below, found.usable) == (4, 1, 5)


@pytest.mark.parametrize("few", [0, 100])
def test_less_than_the_share_is_not_enough(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By however little: half of three ones are two of them."""
    monkeypatch.setattr(energies, "FEW", few)
    assert run_in_memory(energy(Fraction(1, 2)), np.array([1, -1, 0, 1]), INT64).kept == 2


@pytest.mark.parametrize("few", [0, 100])
def test_no_sum_overflows(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The total is infinite in float64, but the answer is not touched by that; nor is it by underflow."""
    monkeypatch.setattr(energies, "FEW", few)
    found = run_in_memory(energy(Fraction(3, 4)), np.array([1e308, -1e308, 1e308, 1e308, 1e-320]), FLOAT64)
    assert (found.kept, found.total, found.cut.equal) == (4, math.inf, 4)
    found = run_in_memory(energy(Fraction(3, 4)), np.array([1e-320, 3e-320, 0]), FLOAT64)
    assert (found.kept, found.total) == (1, 0.0)


def test_elements_that_change_between_passes_are_noticed() -> None:
    study = energy(Fraction(1, 2))
    with passes_over_digits():
        sums = study.send(next(study).nothing(FLOAT64))
        following = study.send(sums.fold(Sample(np.ones(9), FLOAT64, 0)))
        with pytest.raises(InternalError, match="from one pass to the next"):
            study.send(following.nothing(FLOAT64))
