"""Exact comparison with NumPy: of arrays of any two dtypes, and of the bits of narrow formats with a range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from threshcli.dtypes import FLOAT64, DType, Range
from threshcli.kernels._arena import Arena, Array
from threshcli.kernels._numpy_convert import native, whole
from threshcli.kernels.base import Block, MapCompare

_UFUNCS: dict[MapCompare, Callable[..., Any]] = {
    "gt": np.greater,
    "ge": np.greater_equal,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
}
_MIRRORED: dict[MapCompare, MapCompare] = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "eq": "eq"}


_EXACT = 1 << 53  # up to here float64 has every whole number


def magnitude_of(values: Array) -> Array:
    """abs(x), as unsigned integers for integers: that of -128 is 128."""
    if values.dtype.kind == "i":
        return np.abs(values).view(f"u{values.dtype.itemsize}")
    return np.abs(values)


def against(a: Array, a_type: DType, compare: MapCompare, b: Array, b_type: DType, magnitude: bool, out: Array) -> None:
    """`a compare b`, or `abs(a) compare b`, into the bool array `out`."""
    x, y = native(a, a_type), native(b, b_type)
    if magnitude:
        x = magnitude_of(x)
    if x.dtype.kind == "f" and y.dtype.kind != "f":
        x, y, compare = y, x, _MIRRORED[compare]
    if x.dtype.kind != "f" and y.dtype.kind == "f":
        _integer_against_float(x, compare, y, out)
    else:  # floats widen exactly, and NumPy 2 compares signed with unsigned integers exactly
        _UFUNCS[compare](x, y, out=out)


def _integer_against_float(x: Array, compare: MapCompare, y: Array, out: Array) -> None:
    """Integers against floats without rounding the integers: the float is rounded to the whole number that decides."""
    if x.dtype.itemsize < 8 or not x.size or (x.min() >= -_EXACT and x.max() <= _EXACT):
        _UFUNCS[compare](x.astype(FLOAT64.name), y, out=out)
        return
    if x.dtype.kind == "u":  # above 2^63 the float has no fraction: shift both into the range of int64
        high = y >= 2.0**63
        shifted = np.where(high, y - 2.0**63, y)
        bound, under, over = whole(shifted.astype(np.float64), up=compare in ("ge", "lt"))
        over |= y >= 2.0**64
        under |= bound < 0
        limits = bound.view(np.uint64) + (high.astype(np.uint64) << np.uint64(63))
    else:
        limits, under, over = whole(y.astype(np.float64), up=compare in ("ge", "lt"))
    _UFUNCS[compare](x, limits, out=out)
    greater = compare in ("gt", "ge")
    if compare == "eq":
        out &= ~under & ~over & (y == np.floor(y))
    else:
        np.copyto(out, greater, where=under)
        np.copyto(out, not greater, where=over)
    np.copyto(out, False, where=np.isnan(y))


def bits_within(x: Block, keys: Range, magnitude: bool, arena: Arena, out: Array) -> None:
    """Where the key of a narrow format, or of abs(x), lies in the range: positive codes and negative codes are one
    stretch of unsigned integers each."""
    bits, sign = x.data, x.dtype.sign
    spare = arena.take(bits.size, bits.dtype)
    if magnitude and sign:
        bits = np.bitwise_and(bits, bits.dtype.type(sign - 1), out=spare)
    stretches = []
    if keys.high >= 0:
        stretches.append((max(keys.low, 0), keys.high))
    least = 0 if x.dtype.negative_zero else 1
    if not magnitude and sign and keys.low <= -least:
        stretches.append((sign + max(-keys.high, least), sign - keys.low))
    out[:] = False if not stretches else out
    for number, (first, last) in enumerate(stretches):
        target = out if number == 0 else arena.take(out.size, np.bool_)
        _stretch(bits, first, last, spare, target)
        if number:
            np.logical_or(out, target, out=out)
    if magnitude and sign and not x.dtype.negative_zero and keys.low <= 0:
        np.logical_and(out, np.not_equal(x.data, x.dtype.nan), out=out)


def _stretch(bits: Array, first: int, last: int, spare: Array, out: Array) -> None:
    """first <= bits <= last, by one subtraction that wraps (of magnitudes, which are one stretch, in place)."""
    kind = bits.dtype.type
    if first:
        bits = np.subtract(bits, kind(first), out=spare)
    np.less_equal(bits, kind(last - first), out=out)
