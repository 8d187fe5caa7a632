"""Values come into another dtype rounded once, and limits inwards."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference
from tests.kernel_sets import SETS, every_set, load, stored, using
from tests.strategies import FLOATS, REAL, codes, real_dtypes
from threshcli.dtypes import BFLOAT16, BOOL, DTYPES, FLOAT16, FLOAT32, FLOAT64, INT64, DType, Real


def _fits(value: Real, to: DType) -> bool:
    """Whether a cast of this value to a dtype may occur."""
    if to.is_float or to is BOOL:
        return True
    return isinstance(value, Fraction) and value.denominator == 1 and to.keys.low <= value <= to.keys.high


def _halfway(dtype: DType, to: DType) -> list[int]:
    """Codes of `dtype` at the middle between two neighbours in `to`, and one on either side of it."""
    if not to.is_float:
        return []
    dice = random.Random(5)
    keys = {0, 1, 2, to.top - 2, to.top - 1, *(dice.randrange(to.top) for _ in range(12))}
    found = set()
    for place in keys:
        middle = (to.magnitude(place) + to.magnitude(place + 1)) / 2
        nearest = dtype.key(middle) if dtype.is_float else round(middle)
        near = (sign * nearest + step for sign, step in itertools.product((1, -1), (-1, 0, 1)))
        found |= {dtype.code(place) for place in near if dtype.keys.low <= place <= dtype.keys.high}
    return sorted(found)


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_a_cast_rounds_once(dtype: DType) -> None:
    """From each dtype to each: special values, and those around the middle between two neighbours."""
    for to in REAL:
        values = list(range(256)) if dtype.itemsize == 1 and dtype is not BOOL else reference.special(dtype)
        values = [code for code in values + _halfway(dtype, to) if _fits(reference.decode(code, dtype), to)]
        expected = [reference.cast(code, dtype, to) if to is not dtype else code for code in values]
        for name in SETS:
            with using(name) as k:
                found = stored(k, k.cast(load(k, values, dtype), to))
                assert found == expected, (name, to, _differing(values, found, expected))


def _differing(values: list[int], found: list[int], expected: list[int]) -> list[tuple[str, str, str]]:
    """Codes, what they became, and what they should have become."""
    rows = zip(values, found, expected, strict=True)
    return [(hex(code), hex(a), hex(b)) for code, a, b in rows if a != b][:5]


@every_set
@settings(max_examples=150)
@given(st.data())
def test_any_value_is_cast_as_the_nearest(name: str, data: st.DataObject) -> None:
    """Any codes of any two dtypes."""
    dtype, to = data.draw(real_dtypes), data.draw(real_dtypes)
    values = data.draw(st.lists(codes(dtype).filter(lambda c: _fits(reference.decode(c, dtype), to)), max_size=8))
    expected = [reference.cast(code, dtype, to) if to is not dtype else code for code in values]
    with using(name) as k:
        assert stored(k, k.cast(load(k, values, dtype), to)) == expected


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16, DTYPES["int16"]], ids=str)
def test_all_codes_of_16_bits_are_cast_alike(dtype: DType) -> None:
    """All 65,536 of them to every float dtype, by all sets of kernels."""
    values = list(range(1 << 16))
    for to in FLOATS:
        found = []
        for name in SETS:
            with using(name) as k:
                found.append(bytes(k.store(k.cast(load(k, values, dtype), to))))
        assert found == found[:1] * len(found), to


@every_set
def test_float64_becomes_bfloat16_without_a_stop_at_float32(name: str) -> None:
    """1 + 2^-8 + 2^-40 is nearest to 1 + 2^-7; by way of float32 it would be a tie and become 1."""
    value = 1 + Fraction(1, 2**8) + Fraction(1, 2**40)
    with using(name) as k:
        (code,) = stored(k, k.cast(load(k, [FLOAT64.encode(value) or 0], FLOAT64), BFLOAT16))
        assert reference.decode(code, BFLOAT16) == 1 + Fraction(1, 2**7)


@every_set
def test_int64_becomes_float32_without_a_stop_at_float64(name: str) -> None:
    """2^60 + 2^36 + 1 lies above the middle between two float32, which float64 does not see."""
    value = 2**60 + 2**36 + 1
    with using(name) as k:
        (code,) = stored(k, k.cast(load(k, [value], INT64), FLOAT32))
        assert reference.decode(code, FLOAT32) == 2**60 + 2**37


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("up", [False, True])
def test_a_limit_is_rounded_inwards_and_held_in_range(dtype: DType, up: bool) -> None:
    """To each dtype: floats to nearest, integers to the next whole number on the asked side."""
    for to in REAL:
        values = reference.special(dtype) + _halfway(dtype, FLOAT16)
        values = [code for code in values if not reference.is_nan(reference.decode(code, dtype))]
        expected = [reference.limit(code, dtype, to, up=up) if to is not dtype else code for code in values]
        for name in SETS:
            with using(name) as k:
                found = stored(k, k.limit(load(k, values, dtype), to, up=up))
                assert found == expected, (name, to, _differing(values, found, expected))


@every_set
@settings(max_examples=100)
@given(st.data())
def test_any_limit_is_the_nearest_whole_number_inwards(name: str, data: st.DataObject) -> None:
    """Any codes but NaN of any two dtypes."""
    dtype, to, up = data.draw(real_dtypes), data.draw(real_dtypes), data.draw(st.booleans())
    values = data.draw(st.lists(codes(dtype), max_size=8))
    values = [code for code in values if not reference.is_nan(reference.decode(code, dtype))]
    expected = [reference.limit(code, dtype, to, up=up) if to is not dtype else code for code in values]
    with using(name) as k:
        assert stored(k, k.limit(load(k, values, dtype), to, up=up)) == expected
