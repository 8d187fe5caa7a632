"""What kernels must answer, in plain Python: element by element, with numbers that are never rounded.

A block is a list of codes (the stored bits as unsigned integers) and a dtype; a value is a Fraction, or one of the
floats inf, -inf and nan. Slow, and meant to be obviously right.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from threshcli.dtypes import FLOAT64, DType, Range, Real
from threshcli.kernels.base import MapCompare
from threshcli.stats import Measure
from threshcli.tiles import LEAF

OPERATORS: tuple[MapCompare, ...] = ("gt", "ge", "lt", "le", "eq")


def pack(codes: list[int], dtype: DType, *, swapped: bool = False) -> memoryview:
    """The bytes of these codes, in memory that may be written to."""
    order: Literal["big", "little"] = "big" if swapped else "little"
    return memoryview(bytearray(b"".join(code.to_bytes(dtype.itemsize, order) for code in codes)))


def unpack(raw: memoryview | bytes, dtype: DType) -> list[int]:
    """The codes in little-endian bytes."""
    size, data = dtype.itemsize, bytes(raw)
    return [int.from_bytes(data[start : start + size], "little") for start in range(0, len(data), size)]


def key(code: int, dtype: DType) -> int | None:
    """The key of a code, or None for NaN."""
    if not dtype.is_float:
        return code - (1 << dtype.bits) if dtype.kind == "int" and code >> (dtype.bits - 1) else code
    if not dtype.negative_zero:
        negative, size = bool(code & dtype.sign), code & ~dtype.sign
        return None if code == dtype.nan else -size if negative else size
    size = code & (dtype.sign - 1)
    return None if size > dtype.top else -size if code & dtype.sign else size


@lru_cache(maxsize=1 << 18)
def decode(code: int, dtype: DType) -> Real:
    """The value of a code."""
    place = key(code, dtype)
    return math.nan if place is None else dtype.value(place)


def is_nan(value: Real) -> bool:
    return isinstance(value, float) and math.isnan(value)


def is_finite(value: Real) -> bool:
    return not isinstance(value, float)


def size(value: Real) -> Real:
    """abs(value), for mypy too."""
    return -value if value < 0 else value


def holds(a: Real, compare: MapCompare, b: Real) -> bool:
    """Whether `a compare b`, as IEEE 754 says where one is NaN."""
    if is_nan(a) or is_nan(b):
        return False
    match compare:
        case "gt":
            return a > b
        case "ge":
            return a >= b
        case "lt":
            return a < b
        case "le":
            return a <= b
        case _:
            return a == b


def within(codes: list[int], dtype: DType, keys: Range, *, magnitude: bool = False) -> list[bool]:
    places = [key(code, dtype) for code in codes]
    return [place is not None and keys.low <= (abs(place) if magnitude else place) <= keys.high for place in places]


def against(
    codes: list[int], dtype: DType, compare: MapCompare, others: list[int], other: DType, *, magnitude: bool = False
) -> list[bool]:
    pairs = zip((decode(code, dtype) for code in codes), (decode(code, other) for code in others), strict=True)
    return [holds(size(a) if magnitude else a, compare, b) for a, b in pairs]


def scalar(codes: list[int], dtype: DType, compare: MapCompare, cut: Real, *, magnitude: bool = False) -> list[bool]:
    """Comparison with one number: rounded to a float dtype first, compared as it is with integers."""
    if dtype.is_float and is_finite(cut):
        cut = nearest(cut, dtype)
    return [holds(size(value) if magnitude else value, compare, cut) for value in (decode(c, dtype) for c in codes)]


def nearest(value: Real, dtype: DType) -> Real:
    """A value rounded to a float dtype: to nearest, ties to even; what the format has no room for becomes infinite,
    and what lies under the range of a format without zero becomes zero."""
    if isinstance(value, float):
        return value
    place = dtype.key(value)
    return Fraction(0) if place < 0 and not dtype.signed else dtype.value(place)


def cast(code: int, dtype: DType, to: DType) -> int:
    """The code of a value in another dtype; values that are not whole, or out of range, do not occur for integers."""
    value = decode(code, dtype)
    if to.kind == "bool":
        return int(value != 0)
    if is_nan(value):
        return _nan(code, dtype, to)
    if not to.is_float:
        return to.code(int(value))
    place = to.key(value)
    if abs(place) > to.top or place < to.keys.low:
        return to.nan
    negative = dtype.is_float and bool(code & dtype.sign) and to.negative_zero
    return to.code(place) | (to.sign if negative else 0)


def _nan(code: int, dtype: DType, to: DType) -> int:
    """A quiet NaN with sign and leading payload; the 8-bit formats have one NaN, with neither."""
    if 1 in (dtype.itemsize, to.itemsize):
        return to.nan
    payload = (code & ((1 << dtype.mantissa) - 1)) << FLOAT64.mantissa >> dtype.mantissa
    payload = payload << to.mantissa >> FLOAT64.mantissa
    return to.nan | payload | (to.sign if code & dtype.sign else 0)


def limit(code: int, dtype: DType, to: DType, *, up: bool) -> int:
    """The code of a limit in another dtype; NaN does not occur."""
    if to.is_float:
        return cast(code, dtype, to)
    value, keys = decode(code, dtype), to.keys
    if isinstance(value, float):
        return to.code(keys.high if value > 0 else keys.low)
    whole = math.ceil(value) if up else math.floor(value)
    return to.code(min(max(whole, keys.low), keys.high))


def measure(codes: list[int], dtype: DType) -> Measure:
    """Sums are rounded once, at the end."""
    values = [decode(code, dtype) for code in codes]
    known = [value for value in values if not is_nan(value)]
    leaves = [values[start : start + LEAF] for start in range(0, len(values), LEAF)]
    finite = [[value for value in leaf if isinstance(value, Fraction)] for leaf in leaves]
    number = float if dtype.is_float else int
    return Measure(
        number(min(known)) if known else None,
        number(max(known)) if known else None,
        nan=len(values) - len(known),
        inf=sum(isinstance(value, float) for value in known),
        zeros=sum(value == 0 for value in known),
        sums=[_total(leaf) for leaf in finite],
        squares=[_total([value * value for value in leaf]) for leaf in finite],
    )


def _total(values: list[Fraction]) -> float:
    """The sum as the nearest float64; infinity beyond its range."""
    total = sum(values, Fraction(0))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def special(dtype: DType) -> list[int]:
    """Codes where kernels go wrong: ends of the range, zeros, infinities, NaN of all sorts, powers of two and their
    neighbours, the whole numbers at which other dtypes end or lose digits."""
    places = {dtype.keys.low, dtype.keys.high, 0, 1}
    wholes = {1 << power for power in (7, 8, 11, 15, 16, 24, 31, 32, 53, 63, 64)} | {1, 3, 448, 464, 65504}
    if dtype.is_float:
        parts = [Fraction(3, 2), Fraction(1, 3), Fraction(1, 2**14), Fraction(1, 2**126)]
        places |= {dtype.key(value) for value in [*map(Fraction, wholes), *parts]} | {dtype.top - 1}
    else:
        places |= wholes
    near = {sign * place + step for place in places for sign in (1, -1) for step in (-1, 0, 1)}
    codes = {dtype.code(place) for place in near if dtype.keys.low <= place <= dtype.keys.high}
    return sorted(codes | (_special_floats(dtype) if dtype.is_float else set()))


def _special_floats(dtype: DType) -> set[int]:
    if not dtype.negative_zero:
        return {dtype.nan}
    payloads = {1, (1 << dtype.mantissa) - 1} if dtype.infinite else {1}
    nans = {dtype.nan} | {dtype.top | payload for payload in payloads if (dtype.top | payload) > dtype.top}
    return nans | {dtype.sign | code for code in nans} | {dtype.sign}
