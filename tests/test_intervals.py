"""A comparison of elements with one number is an interval of keys."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import reference
from tests.strategies import FLOATS, reals
from threshcli.dtypes import BOOL, DTYPES, FLOAT32, INT64, UINT8, Compare, DType, Range, Real
from threshcli.spec import Number

COMPARES: tuple[Compare, ...] = ("gt", "ge", "lt", "le")
INT8 = DTYPES["int8"]


@pytest.mark.parametrize("dtype", [INT8, UINT8, BOOL], ids=str)
@pytest.mark.parametrize("magnitude", [False, True])
@given(cut=st.one_of(reals, st.fractions(-300, 300, max_denominator=4)))
def test_integers_are_compared_as_real_numbers(dtype: DType, magnitude: bool, cut: Real) -> None:
    """With fractions, infinities, NaN and what is out of range, for all elements that there are."""
    values = range(dtype.keys.low, dtype.keys.high + 1)
    for compare in COMPARES:
        keys = dtype.interval(compare, cut, magnitude=magnitude)
        for value in values:
            size = abs(value) if magnitude else value
            assert (keys.low <= size <= keys.high) == reference.holds(Fraction(size), compare, cut)


@pytest.mark.parametrize("dtype", [dtype for dtype in FLOATS if dtype.itemsize == 1], ids=str)
@pytest.mark.parametrize("magnitude", [False, True])
@given(cut=reals)
def test_floats_are_compared_with_the_number_rounded(dtype: DType, magnitude: bool, cut: Real) -> None:
    """For all elements that there are."""
    codes = list(range(256))
    for compare in COMPARES:
        keys = dtype.interval(compare, cut, magnitude=magnitude)
        found = reference.within(codes, dtype, keys, magnitude=magnitude)
        assert found == reference.scalar(codes, dtype, compare, cut, magnitude=magnitude)


@pytest.mark.parametrize(
    ("compare", "cut", "expected"),
    [
        ("gt", "0.5", Range(1, 127)),
        ("ge", "0.5", Range(1, 127)),
        ("lt", "0.5", Range(-128, 0)),
        ("gt", "-0.5", Range(0, 127)),
        ("le", "-0.5", Range(-128, -1)),
        ("gt", "127", None),
        ("ge", "127", Range(127, 127)),
        ("gt", "300", None),
        ("lt", "300", Range(-128, 127)),
        ("gt", "-300", Range(-128, 127)),
        ("gt", "-inf", Range(-128, 127)),
        ("gt", "inf", None),
        ("le", "nan", None),
    ],
)
def test_an_int8_is_above_what_it_is_above(compare: Compare, cut: str, expected: Range | None) -> None:
    """x > t is x >= floor(t) + 1; beyond the range it is all or none."""
    keys = INT8.interval(compare, Number.parse(cut).value)
    assert keys.empty if expected is None else keys == expected


def test_integers_above_2_53_are_compared_with_all_their_digits() -> None:
    """float64 does not know 2^53 + 1."""
    cut = Number.parse("9007199254740993").value
    assert INT64.interval("gt", cut).low == 9007199254740994
    assert INT64.interval("ge", cut).low == 9007199254740993
    assert DTYPES["uint64"].interval("lt", Fraction(2**64)) == Range(0, 2**64 - 1)


def test_the_magnitude_of_the_least_integer_is_one_more_than_the_largest() -> None:
    """abs(-128) of int8 is 128."""
    assert INT8.interval("gt", Fraction(127), magnitude=True) == Range(128, 128)
    assert INT8.interval("gt", Fraction(128), magnitude=True).empty


def test_a_float32_is_not_above_its_own_decimal() -> None:
    """0.1 is rounded to float32 before it is compared, as NumPy and PyTorch do."""
    tenth = FLOAT32.key(Fraction(1, 10))
    assert FLOAT32.interval("gt", Fraction(1, 10)).low == tenth + 1
    assert FLOAT32.interval("ge", Fraction(1, 10)).low == tenth


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_comparison_with_infinity_leaves_out_nan(dtype: DType) -> None:
    """All elements are under or at infinity, above it is none; infinity itself is not under it."""
    assert dtype.interval("le", math.inf) == dtype.keys
    assert dtype.interval("gt", math.inf).empty
    assert dtype.interval("lt", math.inf).high == dtype.top - dtype.infinite
    assert dtype.interval("ge", -math.inf) == dtype.keys
    assert dtype.interval("lt", -math.inf).empty
