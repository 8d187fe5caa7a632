"""How far elements of any two real dtypes are from each other, with NumPy."""

from __future__ import annotations

import numpy as np

from threshcli.dtypes import DType
from threshcli.kernels._arena import Array
from threshcli.kernels._numpy_convert import native

_HALF, _WHOLE = 2.0**63, 2.0**64


def distance(a: Array, a_type: DType, b: Array, b_type: DType) -> Array:
    """|a - b|: of two integer dtypes exact, as uint64, unless one is uint64 and the other has a sign; else as float64,
    rounded once or (where a 64-bit integer meets a fraction) twice. NaN where either is; 0 only of equal values."""
    x, y = native(a, a_type), native(b, b_type)
    if x.dtype.kind == "f" and y.dtype.kind != "f":
        x, y = y, x
    with np.errstate(all="ignore"):
        if y.dtype.kind != "f":
            return _of_integers(x, y)
        if x.dtype.kind != "f" and x.dtype.itemsize == 8:
            return _of_wide_and_float(x, y.astype(np.float64))
        found: Array = np.abs(x.astype(np.float64) - y)
        return found


def _of_integers(x: Array, y: Array) -> Array:
    kinds = {x.dtype, y.dtype}
    if np.dtype(np.uint64) not in kinds:
        return _apart(x.astype(np.int64), y.astype(np.int64))
    if all(kind.kind == "u" for kind in kinds):
        return _apart(x.astype(np.uint64), y.astype(np.uint64))
    if x.dtype.kind == "u":
        x, y = y, x
    below = x < 0
    near = _apart(np.where(below, 0, x).astype(np.uint64), y.astype(np.uint64)).astype(np.float64)
    found: Array = np.where(below, near + np.abs(x.astype(np.float64)), near)
    return found


def _apart(x: Array, y: Array) -> Array:
    """|x - y| of 64-bit integers; differences wrap to what they are without a sign."""
    found: Array = np.where(x > y, x - y, y - x)
    return found.view(np.uint64)


def _of_wide_and_float(x: Array, y: Array) -> Array:
    """The whole part of the float is taken from the integer without rounding, then the fraction."""
    low, high = (0.0, _WHOLE) if x.dtype.kind == "u" else (-_HALF, _HALF)
    inside = (y >= low) & (y < high)
    whole = np.trunc(np.where(inside, y, 0))
    nearest = whole.astype(x.dtype)
    apart = _apart(x, nearest).astype(np.float64)
    signed = np.where(x >= nearest, apart, -apart) - np.where(inside, y - whole, 0)
    found: Array = np.abs(np.where(inside, signed, x.astype(np.float64) - y))
    return found
