"""Values of one dtype in another with NumPy: exact where it can be, else rounded once."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any

import numpy as np

from threshcli.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, DType
from threshcli.kernels._arena import Array

NATIVE = (FLOAT64, FLOAT32)
"""Float formats that NumPy computes with at full speed; the others are handled as bits."""


@lru_cache(maxsize=64)
def storage(dtype: DType) -> np.dtype[Any]:
    """The NumPy dtype that holds the elements: its own for float64/32 and integers, unsigned bits for the rest; of
    complex ones the parts, two in a row."""
    if dtype.part is not None:
        return storage(dtype.part)
    if dtype in NATIVE or dtype.kind in ("int", "uint"):
        return np.dtype(dtype.name)
    return np.dtype(f"u{dtype.itemsize}")


@lru_cache(maxsize=16)
def _decoded(dtype: DType) -> Array:
    """The float32 value of each code of an 8-bit format (all of them are exact in float32)."""
    values = np.full(256, np.nan, np.float32)
    for key in range(dtype.keys.low, dtype.keys.high + 1):
        values[dtype.code(key)] = dtype.number(key)
    if dtype.negative_zero:
        values[dtype.sign] = -0.0
    return values


def native(data: Array, dtype: DType) -> Array:
    """The elements as numbers that NumPy computes with, every value exact: float32 for the narrow float formats."""
    if dtype is FLOAT16:
        return data.view(np.float16).astype(np.float32)
    if dtype is BFLOAT16:
        wide = data.astype(np.uint32)
        np.left_shift(wide, 16, out=wide)
        numbers: Array = wide.view(np.float32)
        return numbers
    if dtype.is_float and dtype.itemsize == 1:
        values: Array = np.take(_decoded(dtype), data, mode="wrap")  # half of what an index costs
        return values
    return data


def cast(data: Array, dtype: DType, to: DType) -> Array:
    """The values of `data` in the dtype `to`, in its storage; rounded once to nearest even."""
    values = native(data, dtype)
    if to.kind == "bool":
        nonzero: Array = values != 0
        return nonzero.view(np.uint8)
    with np.errstate(all="ignore"):
        found = _converted(values, to)
    if dtype.is_float and to.is_float and min(dtype.itemsize, to.itemsize) > 1:
        _carry_nan(data, dtype, found, to, np.isnan(values))
    return found


def _converted(values: Array, to: DType) -> Array:
    if not to.is_float or to in NATIVE:
        return values.astype(storage(to))
    if to is BFLOAT16 and values.dtype == np.float32:
        return _bfloat16(values)
    if to is FLOAT16 and values.dtype.kind == "f":
        return values.astype(np.float16).view(np.uint16)
    return _nearest(_double(values), to)


def _carry_nan(data: Array, dtype: DType, found: Array, to: DType, nan: Array) -> None:
    """NaN becomes quiet, with its sign and leading payload: else that depends on processor and format."""
    if not nan.any():
        return
    bits = data.view(f"u{dtype.itemsize}")[nan].astype(np.uint64)
    sign, payload = bits >> (dtype.bits - 1), bits & ((1 << dtype.mantissa) - 1)
    up = to.mantissa - dtype.mantissa
    payload = payload << up if up > 0 else payload >> -up
    found.view(f"u{to.itemsize}")[nan] = sign << (to.bits - 1) | payload | to.nan


def _bfloat16(values: Array) -> Array:
    """float32 but NaN rounded to nearest even on the bits."""
    bits = values.view(np.uint32)
    odd = (bits >> 16) & 1
    rounded: Array = ((bits + (odd + np.uint32(0x7FFF))) >> 16).astype(np.uint16)
    rounded[np.isnan(values)] = BFLOAT16.nan  # the formats of 8 bits have one NaN
    return rounded


def _double(values: Array) -> Array:
    """float64 values that round to any narrow format as the given ones do: 64-bit integers that float64 cannot hold
    keep a sticky last bit ("round to odd"), so that rounding twice is rounding once."""
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        low = values & 0x7FF
        sticky = (values - low) | ((low != 0).astype(values.dtype) << 11)
        exact = np.abs(values.astype(np.float64)) < 2.0**53
        return np.where(exact, values, sticky).astype(np.float64)
    return values.astype(np.float64)


@lru_cache(maxsize=16)
def _boundaries(dtype: DType) -> Array:
    """The midpoints between the magnitudes of neighbouring keys; the last one is where overflow begins."""
    keys = range(dtype.top + (not dtype.infinite))
    ends = [float(dtype.magnitude(key)) for key in (*keys, len(keys))]
    return np.array([(a + b) / 2 for a, b in itertools.pairwise(ends)])


def _nearest(values: Array, to: DType) -> Array:
    """float64 values as codes of a narrow format, by the midpoints between its values: any format, slow, right."""
    middles = _boundaries(to)
    magnitude = np.abs(values)
    keys = np.searchsorted(middles, magnitude, side="left")
    tie = middles[np.minimum(keys, len(middles) - 1)] == magnitude
    keys += tie & (keys & 1 == 1)
    overflow = keys > to.top
    negative = np.signbit(values)
    if to.signed:
        codes = keys | (negative & (keys != 0 if not to.negative_zero else True)) * to.sign
    else:
        smallest = values < float(to.magnitude(0)) * 0.75
        codes, overflow = np.where(smallest, to.nan, keys), overflow & ~negative
    codes = np.where(overflow | np.isnan(values), to.nan, codes)
    return codes.astype(storage(to))


def whole(values: Array, *, up: bool) -> tuple[Array, Array, Array]:
    """Floats rounded up or down to int64, and where they lie under and over the range of int64."""
    rounded = np.ceil(values) if up else np.floor(values)
    under, over = rounded < -(2.0**63), rounded >= 2.0**63
    inside = np.where(under | over | np.isnan(values), 0, rounded)
    return inside.astype(np.int64), under, over


def limit(data: Array, dtype: DType, to: DType, *, up: bool) -> Array:
    """Limits in another dtype: floats to nearest; for integers inwards to whole numbers, held inside the range."""
    if to.is_float:
        return cast(data, dtype, to)
    values = native(data, dtype)
    least, most = to.keys.low, to.keys.high
    if values.dtype.kind == "f":
        double = values.astype(np.float64)
        high = 2.0 ** math.ceil(math.log2(most)) if most > 1 else 1.0
        rounded = np.ceil(double) if up else np.floor(double)
        clipped = np.where((rounded > least) & (rounded < high), rounded, 0).astype(storage(to))
        clipped = np.where(rounded >= high, storage(to).type(most), clipped)
        return np.where(rounded <= least, storage(to).type(least), clipped)
    least, most = max(least, np.iinfo(values.dtype).min), min(most, np.iinfo(values.dtype).max)
    return np.clip(values, least, most).astype(storage(to))
