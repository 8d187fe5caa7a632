"""N:M sparsity: in every M neighbours along an axis the N largest magnitudes stay."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from threshcli.dtypes import DType

Array = npt.NDArray[Any]
Room = Callable[[int, Any], Array]
"""Makes an array of so many elements of a NumPy dtype, whatever is in it."""

_MOST = 24  # members of a group up to which all pairs are compared; beyond, groups are sorted


def magnitude_keys(data: Array, dtype: DType, *, nan: bool = True, room: Room = np.empty) -> Array:
    """Unsigned integers in the order of abs(x), all NaN alike the largest. `data` holds the elements as they are
    stored: NumPy's own dtype for float64, float32 and integers, unsigned bits for others. `nan` False says that there
    is none in it."""
    if dtype.kind in ("uint", "bool"):
        return data
    bits = data.view(f"u{dtype.itemsize}")
    keys = room(bits.size, bits.dtype).reshape(bits.shape)
    if dtype.kind == "int":
        np.abs(data, out=keys.view(data.dtype))  # that of the least integer overflows to itself: unsigned, it is right
        return keys
    kind = bits.dtype.type
    np.bitwise_and(bits, kind(~dtype.sign & ((1 << dtype.bits) - 1)), out=keys)
    if nan and dtype.nan == dtype.sign:  # the sign alone is the NaN of these formats
        np.copyto(keys, kind(dtype.top + 1), where=np.equal(bits, kind(dtype.nan)))
    elif nan:
        np.minimum(keys, kind(dtype.top + 1), out=keys)
    return keys


def nm_mask(keys: Array, n: int, m: int, *, axis: int = -1, partial: bool = False, room: Room = np.empty) -> Array:
    """True for the `n` largest keys of every `m` neighbours along `axis`; of equal ones those at lower indices.

    With `partial` the last group may be short, and keeps ceil(n * length / m) of its elements; without, a length that
    `m` does not divide is a ValueError. The mask is made in `room`, and lives as long as that.
    """
    axis %= keys.ndim
    length, inner = keys.shape[axis], math.prod(keys.shape[axis + 1 :])
    rest = length % m
    if rest and not partial:
        raise ValueError(f"{m} does not divide {length}")
    if not rest:
        return _ranked(np.ascontiguousarray(keys).reshape(-1), n, m, inner, room).reshape(keys.shape)
    out = room(keys.size, np.bool_).reshape(keys.shape)
    front = (slice(None),) * axis
    for part, keep, size in ((slice(length - rest), n, m), (slice(length - rest, None), -(-n * rest // m), rest)):
        some = np.ascontiguousarray(keys[(*front, part)])
        out[(*front, part)] = _ranked(some.reshape(-1), keep, size, inner, np.empty).reshape(some.shape)
    return out


def _ranked(keys: Array, n: int, m: int, inner: int, room: Room) -> Array:
    """The mask of whole groups; neighbours lie `inner` elements apart."""
    if n == m or not keys.size:
        everything = room(keys.size, np.bool_)
        everything[...] = True
        return everything
    return _compared(keys, n, m, inner, room) if m <= _MOST else _sorted(keys, n, m, inner)


@lru_cache(maxsize=16)
def _places(size: int, m: int, inner: int) -> Array:
    """The place of each element in its group."""
    places = np.repeat(np.arange(m, dtype=np.uint8), inner)
    found: Array = np.resize(places, size)
    found.flags.writeable = False
    return found


def _compared(keys: Array, n: int, m: int, inner: int, room: Room) -> Array:
    """For each element, how many of its group are before it: one comparison of the whole with itself, moved by d
    neighbours, for each d. That compares across groups too, which is masked out, and is several times quicker than
    what strides over the elements."""
    size = keys.size
    places = _places(size, m, inner)
    before = room(size, np.uint8)
    np.subtract(np.uint8(m - 1), places, out=before)  # all that come later, until they turn out not to be larger
    wins, inside = room(size, np.bool_), room(size, np.bool_)
    for d in range(1, m):
        step = d * inner
        won = wins[: size - step]
        np.greater_equal(keys[:-step], keys[step:], out=won)
        np.less(places[:-step], np.uint8(m - d), out=inside[:-step])
        np.logical_and(won, inside[:-step], out=won)
        np.subtract(before[:-step], won.view(np.uint8), out=before[:-step])
        np.add(before[step:], won.view(np.uint8), out=before[step:])
    return np.less(before, np.uint8(n), out=wins)


def _sorted(keys: Array, n: int, m: int, inner: int) -> Array:
    """The same for large groups: what is above the n-th largest, and of its equals the first."""
    groups = np.ascontiguousarray(keys.reshape(-1, m, inner).swapaxes(1, 2))
    least = np.partition(groups, m - n, axis=2)[:, :, m - n, None]
    above, equal = groups > least, groups == least
    missing = n - np.count_nonzero(above, axis=2)[:, :, None]
    stays = above | (equal & (np.cumsum(equal, axis=2) <= missing))
    found: Array = np.ascontiguousarray(stays.swapaxes(1, 2)).reshape(-1)
    return found
