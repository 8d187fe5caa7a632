"""The summary of a population: exact counts and extremes, sums that nothing changes."""

from __future__ import annotations

import math
import pickle
import random
import warnings
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference
from tests.strategies import REAL, blocks
from threshcli.dtypes import BOOL, DTYPES, FLOAT32, FLOAT64, INT64, UINT8, DType, Real
from threshcli.kernels._numpy_convert import storage
from threshcli.studies.base import MAGNITUDE, VALUE, Array, Lens, Sample, Study, run_in_memory
from threshcli.studies.summary import Summary, summary
from threshcli.tiles import LEAF

A = TypeVar("A")


def stored(codes: Sequence[int], dtype: DType) -> Array:
    """Elements with these bits, as studies get them."""
    return np.frombuffer(bytes(reference.pack(list(codes), dtype)), storage(dtype))


def in_stretches(study: Study[A], data: Array, dtype: DType, cuts: Sequence[int], mask: Array | None = None) -> A:
    """The answer of a study whose stretches end at these positions and come in any order, from elsewhere."""
    ends = [0, *sorted(set(cuts) - {0, data.size}), data.size]
    state: Any = None
    try:
        while True:
            fold = study.send(state)
            state = fold.nothing(dtype)
            for start, stop in random.Random(sum(ends)).sample(list(pairwise(ends)), len(ends) - 1):
                part = None if mask is None else mask[start:stop]
                found = fold.fold(Sample(data[start:stop], dtype, start, part))
                state = fold.add(pickle.loads(pickle.dumps(found)), state)
    except StopIteration as ended:
        answer: A = ended.value
        return answer


def told(data: Array, dtype: DType, lens: Lens = VALUE, mask: Array | None = None) -> Summary:
    return run_in_memory(summary(lens), data, dtype, mask)


def close(found: float | None, expected: Fraction, scale: Fraction) -> bool:
    """Whether a sum is right to a few roundings of what was summed."""
    if found is None or math.isinf(found):
        return found is not None and abs(expected) > Fraction(2) ** 1023
    return abs(Fraction(found) - expected) <= scale * Fraction(1e-15) + Fraction(1e-320)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("lens", [VALUE, MAGNITUDE], ids=["value", "magnitude"])
@given(data=st.data())
@settings(max_examples=30)
def test_a_summary_is_that_of_plain_arithmetic(dtype: DType, lens: Lens, data: st.DataObject) -> None:
    """Of any codes of any dtype, NaN and infinities included."""
    codes = data.draw(blocks(dtype))
    values: list[Real] = [reference.decode(code, dtype) for code in codes]
    if lens.magnitude:
        values = [reference.size(value) for value in values]
    finite = [Fraction(value) for value in values if not isinstance(value, float)]
    found = told(stored(codes, dtype), dtype, lens)
    assert (found.elements, found.finite) == (len(codes), len(finite))
    assert found.nan == sum(reference.is_nan(value) for value in values)
    assert found.inf == sum(value in (math.inf, -math.inf) for value in values)
    assert found.negative_inf == values.count(-math.inf)
    assert found.zeros == finite.count(Fraction(0))
    assert (found.low, found.high) == (min(finite, default=None), max(finite, default=None))
    _check_moments(found, finite)


def _check_moments(found: Summary, finite: list[Fraction]) -> None:
    if not finite:
        assert (found.mean, found.variance, found.mean_square) == (None, None, None)
        assert (found.norm1, found.norm2) == (0, 0)
        return
    count, zero = len(finite), Fraction(0)
    size, square = sum(map(abs, finite), zero), sum((value * value for value in finite), zero)
    mean = sum(finite, zero) / count
    assert close(found.mean, mean, size / count)
    assert close(found.mean_square, square / count, square / count)
    assert close(found.variance, sum(((value - mean) ** 2 for value in finite), zero) / count, square / count)
    assert close(found.norm1, size, size)
    assert close(found.norm2, Fraction(math.isqrt(int(square * 2**2400)), 2**1200), size)


@pytest.mark.parametrize("offset", [0.0, 3.0, 3e5, 1e9])
def test_moments_of_many_elements_do_not_cancel(offset: float) -> None:
    """A mean a thousand million times the deviation leaves both right; 200,000 elements, four leaves."""
    data = np.random.default_rng(5).normal(offset, 1, 200_000)
    mean = math.fsum(data) / data.size
    found = told(data, FLOAT64)
    assert found.mean == pytest.approx(mean, rel=2e-16, abs=1e-17)
    assert found.variance == pytest.approx(math.fsum((data - mean) ** 2) / data.size, rel=1e-14)
    assert found.mean_square == pytest.approx(math.fsum(data * data) / data.size, rel=1e-15)
    assert found.norm1 == pytest.approx(math.fsum(abs(data)), rel=1e-15)
    assert found.norm2 == pytest.approx(math.sqrt(math.fsum(data * data)), rel=1e-15)


def test_sums_of_small_integers_are_exact() -> None:
    data = np.arange(300_000, dtype=np.int64) % 251
    found = told(data.astype(np.uint8), UINT8)
    assert found.mean == int(data.sum()) / data.size
    assert found.norm2 == math.sqrt(int((data * data).sum()))


many = np.random.default_rng(7).standard_cauchy(4 * LEAF + 77).astype(np.float32)
many[[5, LEAF, 3 * LEAF + 1]] = np.nan, np.inf, -np.inf
population = np.random.default_rng(8).random(many.size) < 0.3
population[LEAF : 2 * LEAF] = False


@pytest.mark.parametrize("lens", [VALUE, MAGNITUDE, Lens(centre=0.1)], ids=str)
@pytest.mark.parametrize("mask", [None, population], ids=["all", "some"])
@given(cuts=st.sets(st.integers(1, 4)))
@settings(max_examples=8)
def test_neither_stretches_nor_their_order_change_a_bit(lens: Lens, mask: Array | None, cuts: set[int]) -> None:
    whole = told(many, FLOAT32, lens, mask)
    parts = in_stretches(summary(lens), many, FLOAT32, [cut * LEAF for cut in cuts], mask)
    assert parts == whole
    assert whole.elements == (many.size if mask is None else np.count_nonzero(mask))


def test_a_mask_chooses_the_population() -> None:
    data = np.array([1, 2, 3, 4, np.nan], np.float32)
    found = told(data, FLOAT32, mask=np.array([True, False, True, False, False]))
    assert (found.elements, found.nan, found.low, found.high, found.mean) == (2, 0, 1, 3, 2)


def test_a_lens_shows_distances_from_a_centre() -> None:
    found = told(np.array([1, 4, 6], np.uint8), UINT8, Lens(centre=4))
    assert (found.low, found.high, found.zeros, found.norm1) == (0, 3, 1, 5)


def test_the_magnitude_of_the_most_negative_integer_is_positive() -> None:
    found = told(np.array([-128, 5], np.int8), DTYPES["int8"], MAGNITUDE)
    assert (found.low, found.high, found.mean) == (5, 128, 66.5)


def test_extremes_of_wide_integers_are_exact() -> None:
    """Neighbours that float64 cannot tell apart."""
    found = told(np.array([2**62 + 1, 2**62 + 2]), INT64)
    assert (found.low, found.high) == (2**62 + 1, 2**62 + 2)


def test_sums_of_many_leaves_are_added_without_rounding() -> None:
    """Leaves of any size of numbers, in any order."""
    rng = np.random.default_rng(11)
    data = rng.normal(size=9 * LEAF).astype(np.float32) * np.repeat(np.exp(rng.normal(size=9)), LEAF).astype(np.float32)
    whole = told(data, FLOAT32)
    orders = [rng.permutation(9) for _ in range(5)]
    assert [told(data.reshape(9, LEAF)[order].reshape(-1), FLOAT32) for order in orders] == [whole] * 5


def test_leaves_that_are_summed_in_other_units_add_up() -> None:
    """1e100 is squared as it is, 1e130 in a unit of its own."""
    data = np.append(np.full(LEAF, 1e100), [1e130, -2e130])
    found = told(data, FLOAT64)
    assert found.norm2 == pytest.approx(math.sqrt(5) * 1e130, rel=1e-15)
    assert found.norm1 == pytest.approx(3e130, rel=1e-15)
    assert found.mean_square == pytest.approx(5e260 / data.size, rel=1e-15)


@pytest.mark.parametrize("scale", [1e308, 1e200, 1e-170, 1e-308])
def test_numbers_at_the_ends_of_float64_have_a_mean_and_norms(scale: float) -> None:
    """Where the sum or the squares would overflow or vanish; a variance may, since it does."""
    shape = np.array([0.25, -0.5, 1.5, 0.125])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain, found = told(shape, FLOAT64), told(shape * scale, FLOAT64)
        mixed = in_stretches(summary(VALUE), np.append(np.zeros(LEAF), shape * scale), FLOAT64, [LEAF])
    assert found.mean == pytest.approx((plain.mean or 0) * scale, rel=1e-15, abs=0)
    assert found.norm2 == pytest.approx(plain.norm2 * scale, rel=1e-15, abs=0)
    assert found.norm1 == pytest.approx(math.inf if scale == 1e308 else plain.norm1 * scale, rel=1e-15, abs=0)
    assert found.variance == (math.inf if scale > 1 else 0)
    assert mixed.norm2 == found.norm2


def test_the_spread_of_a_constant_is_zero() -> None:
    """The mean of many equal elements is that element."""
    for value in (0.1, -1e300, 3e-320, 0.05494445082365687):
        for count in (180, 100_003):
            found = told(np.full(count, value), FLOAT64)
            assert (found.mean, found.variance) == (value, 0)


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, -np.inf], [-np.inf, np.nan]], ids=str)
def test_without_finite_elements_there_are_no_moments(values: list[float]) -> None:
    found = told(np.array(values), FLOAT64)
    assert (found.elements, found.finite, found.zeros) == (len(values), 0, 0)
    assert (found.low, found.high, found.mean, found.variance) == (None, None, None, None)
    assert (found.inf, found.negative_inf) == (sum(map(math.isinf, values)), values.count(-np.inf))


def test_bools_are_numbers() -> None:
    found = told(np.array([1, 0, 1, 1], np.uint8), BOOL)
    assert (found.mean, found.zeros, found.high) == (0.75, 1, 1)


def test_the_extremes_of_tensors_of_two_dtypes_are_compared_exactly() -> None:
    """A file may hold both; 2^53 + 1 is not a float64."""
    study = summary(VALUE)
    fold = next(study)
    answer: Callable[[Any], Any] = study.send
    parts = [(np.array([2**53 + 1]), INT64), (np.array([2.0**53]), FLOAT64)]
    state = fold.nothing(FLOAT64)
    for data, dtype in parts:
        state = fold.add(state, fold.fold(Sample(data, dtype, 0)))
    with pytest.raises(StopIteration) as ended:
        answer(state)
    assert (ended.value.value.low, ended.value.value.high) == (2**53, 2**53 + 1)
