"""Every real dtype is a row of ordered keys, and the keys are those of its values."""

from __future__ import annotations

import itertools
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import reference
from tests.strategies import FLOATS, INTEGERS, REAL, fractions
from threshcli.dtypes import (
    BFLOAT16,
    BOOL,
    DTYPES,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT64,
    UINT8,
    DType,
    Real,
    opaque,
)
from threshcli.spec import Number

NARROW = [dtype for dtype in FLOATS if dtype.itemsize <= 2]
E4M3FN, E5M2, E8M0 = (DTYPES[f"float8_{name}"] for name in ("e4m3fn", "e5m2", "e8m0fnu"))
INT8 = DTYPES["int8"]
narrow = pytest.mark.parametrize("dtype", NARROW, ids=str)


def _in_torch(codes: list[int], dtype: DType) -> list[float]:
    """What torch takes these codes for."""
    raw = torch.frombuffer(reference.pack(codes, dtype), dtype=torch.uint8)
    values: list[float] = raw.view(getattr(torch, dtype.name)).to(torch.float64).tolist()
    return values


def _equal(a: Real, b: float) -> bool:
    return a == b or (reference.is_nan(a) and math.isnan(b))


@narrow
def test_each_code_has_the_value_that_torch_gives_it(dtype: DType) -> None:
    """All codes of the formats of 8 and 16 bits."""
    codes = list(range(1 << dtype.bits))
    for code, value in zip(codes, _in_torch(codes, dtype), strict=True):
        assert _equal(reference.decode(code, dtype), value), hex(code)


def test_each_code_of_float16_has_the_value_that_numpy_gives_it() -> None:
    """All 65,536."""
    for code, value in enumerate(np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64).tolist()):
        assert _equal(reference.decode(code, FLOAT16), value), hex(code)


@narrow
def test_keys_go_there_and_back(dtype: DType) -> None:
    """From key to code, to value, and to the key again, for all keys that there are; a search finds keys of values, in
    formats of 16 bits it is asked for some."""
    finite, step = dtype.top - dtype.infinite, 1 if dtype.itemsize == 1 else 7
    for key in range(dtype.keys.low, dtype.keys.high + 1):
        code, value = dtype.code(key), dtype.value(key)
        assert reference.key(code, dtype) == key
        assert key % step or dtype.key(value) == key
        assert key % step or dtype.encode(value) == code
        assert dtype.number(key) == value
        assert (value in (math.inf, -math.inf)) == (abs(key) > finite)


@narrow
def test_keys_rise_with_values(dtype: DType) -> None:
    """Strictly: no two keys share a value."""
    values = [dtype.value(key) for key in range(dtype.keys.low, dtype.keys.high + 1)]
    assert all(a < b for a, b in itertools.pairwise(values))


@given(st.sampled_from([FLOAT32, FLOAT64]), st.data())
def test_keys_of_wide_floats_rise_with_values(dtype: DType, data: st.DataObject) -> None:
    """Any two keys of float32 and float64."""
    keys = st.integers(dtype.keys.low, dtype.keys.high)
    a, b = data.draw(keys), data.draw(keys)
    assert (a < b) == (dtype.value(a) < dtype.value(b))
    assert dtype.key(dtype.value(a)) == a


@given(st.floats(allow_nan=False))
def test_float64_keys_are_those_of_python_floats(value: float) -> None:
    """The code of a Python float is its bits; both zeros have the key 0."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", value + 0.0))
    exact = Fraction(value) if math.isfinite(value) else value
    assert FLOAT64.encode(exact) == bits
    assert FLOAT64.number(FLOAT64.key(exact)) == value


@pytest.mark.parametrize("dtype", [dtype for dtype in FLOATS if dtype is not E8M0], ids=str)
@given(st.data())
def test_a_value_is_rounded_to_the_nearest_with_ties_to_even(dtype: DType, data: st.DataObject) -> None:
    """The value after the largest finite one counts as if the format went on: from halfway to it, all is infinite."""
    key = data.draw(st.integers(0, dtype.top - 1))
    part = data.draw(st.one_of(st.just(Fraction(1, 2)), st.fractions(0, 1)))
    low, high = dtype.magnitude(key), dtype.magnitude(key + 1)
    value = low + part * (high - low)
    down = part < Fraction(1, 2) or (part == Fraction(1, 2) and key % 2 == 0)
    assert dtype.key(value) == (key if down else key + 1)
    assert dtype.key(-value) == -dtype.key(value)


@pytest.mark.parametrize("dtype", [dtype for dtype in NARROW if dtype is not E8M0], ids=str)
def test_torch_rounds_float32_as_keys_do(dtype: DType) -> None:
    """At the middle between two neighbours, and on either side of it; of 16-bit formats at some. Formats without
    infinity overflow to NaN in one release of torch and to the largest value in another: that is left out."""
    keys = [*range(0, dtype.top, max(1, dtype.top // 3000)), dtype.top - 1, dtype.top - dtype.infinite]
    middles = {float(dtype.magnitude(key) + dtype.magnitude(key + 1)) / 2 for key in keys}
    some = np.array(sorted(middles), np.float32)
    some = np.concatenate([some, np.nextafter(some, np.float32(0)), np.nextafter(some, np.float32(3e38))])
    rounded = torch.from_numpy(some).to(getattr(torch, dtype.name)).to(torch.float64).tolist()
    for value, there in zip(some.tolist(), rounded, strict=True):
        ours = dtype.value(dtype.key(Fraction(value)))
        assert ours == there or (math.isinf(ours) and not dtype.infinite), value


def test_text_is_rounded_to_float32_once() -> None:
    """By way of float64 this number would become a tie, and then 1."""
    text = str(1 + 2**-24) + "0" * 30 + "1"
    assert FLOAT32.value(FLOAT32.key(Number.parse(text).value)) == 1 + Fraction(1, 2**23)
    assert FLOAT32.value(FLOAT32.key(Fraction(float(text)))) == 1


@given(st.decimals(allow_nan=False, allow_infinity=False).map(str))
def test_text_is_rounded_to_float64_as_python_does(text: str) -> None:
    """Python reads decimal text correctly rounded, and so do keys."""
    assert FLOAT64.number(FLOAT64.key(Number.parse(text).value)) == float(text)


@pytest.mark.parametrize(
    ("dtype", "largest", "first_infinite"),
    [
        (E4M3FN, "464", "464.0000001"),
        (DTYPES["float8_e4m3fnuz"], "247.9999999", "248"),
        (E5M2, "61439.99999", "61440"),
        (DTYPES["float8_e5m2fnuz"], "61439.99999", "61440"),
        (FLOAT16, "65519.99999", "65520"),
        (FLOAT32, str(2**128 - 2**103 - 1), str(2**128 - 2**103)),
        (BFLOAT16, str(2**128 - 2**119 - 1), str(2**128 - 2**119)),
        (FLOAT64, str(2**1024 - 2**970 - 1), str(2**1024 - 2**970)),
        (FLOAT64, "1e308", "1e999999999"),
    ],
    ids=str,
)
def test_what_is_nearer_to_the_next_value_than_to_the_largest_is_infinite(
    dtype: DType, largest: str, first_infinite: str
) -> None:
    """The next value is the one that the format would have if it went on; halfway goes to the even of both."""
    for sign in (1, -1):
        within, beyond = sign * Number.parse(largest).value, sign * Number.parse(first_infinite).value
        assert math.isfinite(dtype.value(dtype.key(within)))
        assert dtype.value(dtype.key(beyond)) == sign * math.inf
        assert dtype.encode(within) is not None
        assert dtype.encode(beyond) is None


def test_what_lies_under_a_format_without_zero_has_no_code() -> None:
    """float8_e8m0fnu holds 2^-127 to 2^127: zero and negative numbers are not among them."""
    least = Fraction(1, 2**127)
    assert E8M0.encode(least) == 0
    assert E8M0.encode(least * Fraction(3, 4)) == 0
    for value in (Fraction(0), least / 2, least * Fraction(74, 100), -least, Fraction(-1)):
        assert E8M0.encode(value) is None
    assert E8M0.encode(Fraction(3)) == E8M0.encode(Fraction(2)) == 128, "halfway between 2 and 4: the even code"
    assert E8M0.encode(Fraction(2**128)) is None


@pytest.mark.parametrize(
    ("dtype", "text", "code"),
    [
        (E4M3FN, "1000", None),
        (E4M3FN, "448", 0x7E),
        (E4M3FN, "inf", None),
        (E4M3FN, "nan", 0x7F),
        (E5M2, "inf", 0x7C),
        (E5M2, "-inf", 0xFC),
        (INT8, "300", None),
        (INT8, "0.5", None),
        (INT8, "-128", 0x80),
        (INT8, "-129", None),
        (INT8, "nan", None),
        (INT8, "inf", None),
        (INT8, "1e2", 100),
        (UINT8, "-1", None),
        (UINT8, "255", 255),
        (BOOL, "1", 1),
        (BOOL, "2", None),
        (FLOAT32, "0.1", 0x3DCCCCCD),
        (FLOAT32, "1e39", None),
        (FLOAT32, "1e-60", 0),
        (FLOAT32, "nan", 0x7FC00000),
        (INT64, "9007199254740993", 9007199254740993),
        (INT64, "9223372036854775808", None),
        (E8M0, "inf", None),
        (E8M0, "nan", 0xFF),
        (DTYPES["complex64"], "1", 0x3F800000),
        (DTYPES["complex64"], "1e39", None),
    ],
    ids=str,
)
def test_a_number_is_stored_where_the_dtype_has_it(dtype: DType, text: str, code: int | None) -> None:
    """Integers exactly and in range, floats finite unless an infinity or NaN was asked for."""
    assert dtype.encode(Number.parse(text).value) == code


@given(st.sampled_from(INTEGERS), fractions)
def test_integers_store_what_they_hold(dtype: DType, value: Fraction) -> None:
    """What has a code comes back as it was."""
    code = dtype.encode(value)
    assert (code is not None) == (value.denominator == 1 and dtype.keys.low <= value <= dtype.keys.high)
    assert code is None or reference.decode(code, dtype) == value


def test_dtypes_know_what_they_are() -> None:
    """Names are torch's; complex and opaque ones have no order."""
    assert all(hasattr(torch, name) and repr(dtype) == name for name, dtype in DTYPES.items())
    assert [dtype.name for dtype in DTYPES.values() if not dtype.is_real] == ["complex32", "complex64", "complex128"]
    assert not opaque("float4_e2m1fn_x2").is_real
    for dtype in DTYPES.values():
        assert dtype.compared.name == str(getattr(torch, dtype.name).to_real()).removeprefix("torch.") or dtype.is_real
        assert (dtype.compared is dtype) == dtype.is_real
    assert all(dtype.itemsize == getattr(torch, dtype.name).itemsize for dtype in REAL)
    assert len(set(REAL)) == len(REAL)
