"""Element types as integers: every real dtype is a row of ordered keys, and every comparison an interval of them.

A *key* is an integer that orders the values of a dtype: for integers and bool the value itself, for floating point
the magnitude bits with the sign put before them (so -0.0 and 0.0 share the key 0). A comparison of an element with
one number is then, exactly and for every dtype, "its key lies in [low, high]"; NaN has no key and lies in none.
Nothing here imports NumPy or torch.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

Kind = Literal["float", "int", "uint", "bool", "complex", "opaque"]
Compare = Literal["gt", "ge", "lt", "le"]
Real = Fraction | float
"""A number without rounding: a Fraction, or one of the floats inf, -inf, nan."""


class Range(NamedTuple):
    """The keys from `low` to `high`, both included; empty when low > high."""

    low: int
    high: int

    @property
    def empty(self) -> bool:
        return self.low > self.high


@dataclass(frozen=True, eq=False)
class DType:
    """One element type: its name (torch's), its kind, its size, and for floating point its layout of bits.

    `mantissa` and `bias` as in the format's definition; `top` is the largest key (that of infinity where the
    format has one, else of the largest finite value); `infinite` says whether top is infinity; `nan` is the code
    of a NaN. `signed` is False for float8_e8m0fnu, whose codes are exponents and which has no zero. A complex type has
    two elements of its `part` in a row, the real one first. There is one instance of each type, so types are compared
    by identity.
    """

    name: str
    kind: Kind
    itemsize: int
    mantissa: int = 0
    bias: int = 0
    top: int = 0
    infinite: bool = False
    nan: int = 0
    signed: bool = True
    part: DType | None = None

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def bits(self) -> int:
        return 8 * self.itemsize

    @cached_property
    def sign(self) -> int:
        """The sign bit of a floating-point code."""
        return 1 << (self.bits - 1) if self.signed else 0

    @cached_property
    def is_float(self) -> bool:
        return self.kind == "float"

    @cached_property
    def is_real(self) -> bool:
        """Whether its values are ordered, so that a rule can compare them."""
        return self.kind in ("float", "int", "uint", "bool")

    @cached_property
    def compared(self) -> DType:
        """The type in which elements are compared: their own; of complex ones that of the parts, in which abs(x) is."""
        return self.part or self

    @cached_property
    def negative_zero(self) -> bool:
        """Whether the sign bit alone is a zero (in the fnuz formats it is the NaN)."""
        return self.is_float and self.signed and self.nan != self.sign

    @cached_property
    def keys(self) -> Range:
        """All keys that the type has."""
        if self.kind == "float":
            return Range(-self.top if self.signed else 0, self.top)
        if self.kind == "int":
            return Range(-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        return Range(0, 1 if self.kind == "bool" else (1 << self.bits) - 1)

    @cached_property
    def magnitude_keys(self) -> Range:
        """All keys that magnitudes have; that of -128 in int8 is 128."""
        return Range(0, max(self.keys.high, -self.keys.low))

    def magnitude(self, key: int) -> Fraction:
        """The value of a key >= 0 by the formula of the format, past its largest value too."""
        exponent, fraction = key >> self.mantissa, key & ((1 << self.mantissa) - 1)
        if exponent or not self.signed:
            fraction |= 1 << self.mantissa
        shift = (max(exponent, 1) if self.signed else exponent) - self.bias - self.mantissa
        return Fraction(fraction << shift) if shift >= 0 else Fraction(fraction, 1 << -shift)

    def value(self, key: int) -> Real:
        """The value of a key. One past the largest of a format without infinity stands for infinity."""
        if self.kind != "float":
            return Fraction(key)
        if abs(key) > self.top or (self.infinite and abs(key) == self.top):
            return math.copysign(math.inf, key)
        if not self.signed:
            return self.magnitude(key) if key >= 0 else Fraction(0)
        return self.magnitude(key) if key >= 0 else -self.magnitude(-key)

    def number(self, key: int) -> float | int:
        """The value of a key as Python's own number, exact."""
        value = self.value(key)
        return float(value) if self.is_float else int(value)

    def key(self, value: Real) -> int:
        """The key of `value` rounded to this float format (to nearest, ties to even).

        A value beyond the range gets the key of infinity, or, in a format without one, the key after the largest;
        one under the range of a format without zero gets -1.
        """
        return _key(self, value)

    def code(self, key: int) -> int:
        """The bits of the value with this key, as an unsigned integer."""
        if self.kind != "float":
            return key & ((1 << self.bits) - 1)
        return key if key >= 0 else -key | self.sign

    def encode(self, value: Real) -> int | None:
        """The bits that store `value`, or None where it is not representable: integers exactly and in range;
        floats rounded, finite unless an infinity or NaN was asked for and the format has it. Complex: with an imaginary
        part of 0, whose bits are the upper ones."""
        if self.part is not None:
            return self.part.encode(value)
        if self.kind == "float":
            return self._encode_float(value)
        if isinstance(value, float) or value.denominator != 1 or not self.is_real:
            return None
        inside = self.keys.low <= value <= self.keys.high
        return self.code(int(value)) if inside else None

    def _encode_float(self, value: Real) -> int | None:
        if isinstance(value, float) and math.isnan(value):
            return self.nan
        if isinstance(value, float):
            return self.code(int(math.copysign(self.top, value))) if self.infinite else None
        key = self.key(value)
        finite = self.top - 1 if self.infinite else self.top
        return self.code(key) if max(self.keys.low, -finite) <= key <= finite else None

    def limit(self, value: Real, *, up: bool) -> int:
        """The bits of a limit: a float rounded to nearest; for integers the next whole number inwards, in range."""
        if self.is_float:
            key = self.key(value)
        elif isinstance(value, float):
            key = self.keys.high if value > 0 else self.keys.low
        else:
            key = math.ceil(value) if up else math.floor(value)
        return self.code(min(max(key, self.keys.low), self.keys.high))

    def interval(self, compare: Compare, value: Real, *, magnitude: bool = False) -> Range:
        """The keys of the elements x (or abs(x)) for which `x compare value` holds.

        Floats: `value` is rounded to the format first, as NumPy 2 and PyTorch do. Integers and bool: compared as
        real numbers.
        """
        return _interval(self, compare, value, magnitude)


_FORMATS = {"float64": "<d", "float32": "<f", "float16": "<e"}


@lru_cache(maxsize=4096)
def _key(dtype: DType, value: Real) -> int:
    if isinstance(value, float):
        return int(math.copysign(dtype.top if dtype.infinite else dtype.top + 1, value))
    magnitude = abs(value)
    packed = _packed(dtype, magnitude)
    if packed is not None:
        return packed if value >= 0 else -packed
    if not dtype.signed and (value < 0 or magnitude < dtype.magnitude(0) * Fraction(3, 4)):
        return -1
    key = min(_nearest(dtype, magnitude), dtype.top + (not dtype.infinite))
    return key if value >= 0 else -key


def _nearest(dtype: DType, magnitude: Fraction) -> int:
    """The key of a magnitude, ties to even, as if the format had no end: the number of units in the last place that it
    is, on top of those that smaller exponents have."""
    if not magnitude:
        return 0
    above, below = magnitude.numerator, magnitude.denominator
    power = above.bit_length() - below.bit_length()  # of 2, the largest that is not above the magnitude, or one more
    if above << max(-power, 0) < below << max(power, 0):
        power -= 1
    exponent = max(power + dtype.bias, int(dtype.signed))  # subnormals have the unit of the smallest exponent
    shift = exponent - dtype.bias - dtype.mantissa
    above, below = above << max(-shift, 0), below << max(shift, 0)
    units, rest = divmod(above, below)
    key = units + (exponent - 1 << dtype.mantissa)
    return key + (2 * rest > below or (2 * rest == below and key & 1))


def _packed(dtype: DType, magnitude: Fraction) -> int | None:
    """The key of a magnitude by the processor's own rounding, for formats that Python can pack; None for others, and
    where rounding twice (to float64 first) might differ, or the number is too large."""
    format = _FORMATS.get(dtype.name)
    try:
        near = float(magnitude)  # rounded to nearest even
        if format is None or (format != "<d" and near != magnitude):
            return None
        return int.from_bytes(struct.pack(format, near), "little")
    except OverflowError:
        return None


@lru_cache(maxsize=4096)
def _interval(dtype: DType, compare: Compare, value: Real, magnitude: bool) -> Range:
    bounds = dtype.magnitude_keys if magnitude else dtype.keys
    if isinstance(value, float) and math.isnan(value):
        return Range(1, 0)
    if dtype.is_float:
        floor = ceil = dtype.key(value)
    elif isinstance(value, float):
        floor = ceil = bounds.high + 1 if value > 0 else bounds.low - 1
    else:
        floor, ceil = math.floor(value), math.ceil(value)
    match compare:
        case "gt":
            low, high = floor + 1, bounds.high
        case "ge":
            low, high = ceil, bounds.high
        case "lt":
            low, high = bounds.low, ceil - 1
        case "le":
            low, high = bounds.low, floor
    return Range(max(low, bounds.low), min(high, bounds.high))


def _float(name: str, size: int, exponent: int, mantissa: int) -> DType:
    """An IEEE 754 layout: infinity is the all-ones exponent, NaN what lies above it."""
    top = ((1 << exponent) - 1) << mantissa
    bias = (1 << (exponent - 1)) - 1
    return DType(name, "float", size, mantissa, bias, top, True, top | 1 << (mantissa - 1))


FLOAT64 = _float("float64", 8, 11, 52)
FLOAT32 = _float("float32", 4, 8, 23)
FLOAT16 = _float("float16", 2, 5, 10)
BFLOAT16 = _float("bfloat16", 2, 8, 7)
BOOL = DType("bool", "bool", 1)
INT64 = DType("int64", "int", 8)
UINT8 = DType("uint8", "uint", 1)

DTYPES: dict[str, DType] = {
    dtype.name: dtype
    for dtype in (
        FLOAT64,
        FLOAT32,
        FLOAT16,
        BFLOAT16,
        _float("float8_e5m2", 1, 5, 2),
        # 8-bit formats without infinity: fn of Micikevicius et al. 2022; fnuz of Noune et al. 2022 (NaN is -0).
        DType("float8_e4m3fn", "float", 1, 3, 7, 0x7E, False, 0x7F),
        DType("float8_e4m3fnuz", "float", 1, 3, 8, 0x7F, False, 0x80),
        DType("float8_e5m2fnuz", "float", 1, 2, 16, 0x7F, False, 0x80),
        DType("float8_e8m0fnu", "float", 1, 0, 127, 0xFE, False, 0xFF, signed=False),
        BOOL,
        UINT8,
        *(DType(f"uint{bits}", "uint", bits // 8) for bits in (16, 32, 64)),
        *(DType(f"int{bits}", "int", bits // 8) for bits in (8, 16, 32)),
        INT64,
        DType("complex32", "complex", 4, part=FLOAT16),
        DType("complex64", "complex", 8, part=FLOAT32),
        DType("complex128", "complex", 16, part=FLOAT64),
    )
}
"""Every element type that a rule may meet, by name; containers add opaque ones that are only copied."""


@lru_cache(maxsize=64)
def opaque(name: str) -> DType:
    """A type whose bytes are carried along unread (packed 4- and 6-bit floats, for instance)."""
    return DType(name, "opaque", 1)
