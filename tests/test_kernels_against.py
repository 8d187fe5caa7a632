"""Two blocks are compared exactly, whatever their two dtypes are."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference
from tests.kernel_sets import SETS, bits, every_set, load, using
from tests.reference import OPERATORS
from tests.strategies import REAL, codes, real_dtypes
from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64, INT64, DType, Real


def _order(a: Real, b: Real) -> int | None:
    """-1, 0 or 1 as a is less than, equal to or greater than b; None where one is NaN."""
    if reference.is_nan(a) or reference.is_nan(b):
        return None
    return (a > b) - (a < b)


_HOLDS = {"gt": (1,), "ge": (0, 1), "lt": (-1,), "le": (-1, 0), "eq": (0,)}


def _met(dtype: DType, other: DType) -> list[tuple[int, int]]:
    """Pairs of codes: a choice of all special ones, and each special value beside those of the other dtype at and
    around it."""
    few = reference.special(dtype)[::3], reference.special(other)[::3]
    pairs = list(itertools.product(*few))
    for a in reference.special(dtype):
        pairs += [(a, b) for b in _around(reference.decode(a, dtype), other)]
        pairs += [(a, b) for b in _around(-reference.decode(a, dtype), other)]
    return pairs


def _around(value: Real, dtype: DType) -> list[int]:
    """The codes of a dtype at a value, or at what is nearest to it, and on either side."""
    if isinstance(value, float):
        return []
    place = dtype.key(value) if dtype.is_float else round(value)
    near = (min(max(place + step, dtype.keys.low), dtype.keys.high) for step in (-1, 0, 1))
    return [dtype.code(place) for place in near]


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_maps_of_every_dtype_are_compared_exactly(dtype: DType) -> None:
    """Against all dtypes, with all operators, with and without magnitude, by all sets of kernels."""
    for other in REAL:
        pairs = _met(dtype, other)
        left, right = [a for a, _ in pairs], [b for _, b in pairs]
        values = [(reference.decode(a, dtype), reference.decode(b, other)) for a, b in pairs]
        for magnitude in (False, True):
            orders = [_order(reference.size(a) if magnitude else a, b) for a, b in values]
            _check(dtype, left, other, right, orders, magnitude)


def _check(
    dtype: DType, left: list[int], other: DType, right: list[int], orders: list[int | None], magnitude: bool
) -> None:
    for name in SETS:
        with using(name) as k:
            x, y = load(k, left, dtype), load(k, right, other)
            for compare in OPERATORS:
                found = bits(k, k.against(x, compare, y, magnitude=magnitude))
                assert found == [order in _HOLDS[compare] for order in orders], (name, other, compare, magnitude)


@every_set
@settings(max_examples=150)
@given(st.data())
def test_maps_are_compared_as_numbers_are(name: str, data: st.DataObject) -> None:
    """Any codes of any two dtypes."""
    dtype, other, magnitude = data.draw(real_dtypes), data.draw(real_dtypes), data.draw(st.booleans())
    pairs = data.draw(st.lists(st.tuples(codes(dtype), codes(other)), max_size=12))
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    compare = data.draw(st.sampled_from(OPERATORS))
    with using(name) as k:
        found = bits(k, k.against(load(k, left, dtype), compare, load(k, right, other), magnitude=magnitude))
        assert found == reference.against(left, dtype, compare, right, other, magnitude=magnitude)


@every_set
def test_integers_above_2_53_keep_all_digits_against_float64(name: str) -> None:
    """2^53 + 1 is above 2^53 and under 2^53 + 2, which a comparison in float64 does not see."""
    big = 1 << 53
    cut = FLOAT64.encode(Fraction(big)) or 0
    with using(name) as k:
        x, t = load(k, [big - 1, big, big + 1], INT64), load(k, [cut] * 3, FLOAT64)
        assert bits(k, k.against(x, "gt", t)) == [False, False, True]
        assert bits(k, k.against(x, "eq", t)) == [False, True, False]
        assert bits(k, k.against(t, "lt", x)) == [False, False, True]


@every_set
def test_int64_and_uint64_meet_without_wrapping(name: str) -> None:
    """-1 is not 2^64 - 1."""
    unsigned = DTYPES["uint64"]
    most = (1 << 64) - 1
    with using(name) as k:
        x, y = load(k, [most, 1 << 63, 5], INT64), load(k, [most, 1 << 63, 5], unsigned)
        assert bits(k, k.against(x, "eq", y)) == [False, False, True]
        assert bits(k, k.against(x, "lt", y)) == [True, True, False]
        assert bits(k, k.against(x, "eq", y, magnitude=True)) == [False, True, True]


@every_set
def test_a_float32_is_compared_with_a_float64_map_unrounded(name: str) -> None:
    """The float32 nearest to 0.1 is above the float64 nearest to 0.1."""
    tenth = Fraction(1, 10)
    with using(name) as k:
        x = load(k, [FLOAT32.encode(tenth) or 0], FLOAT32)
        t = load(k, [FLOAT64.encode(tenth) or 0], FLOAT64)
        assert bits(k, k.against(x, "gt", t)) == [True]
