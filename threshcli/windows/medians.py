"""Medians of windows, by ranks: elements become their places among the values that there are, exact in any dtype.

Where there are few different values, the median is above as many of them as more than half of the window reaches: one
pass of counting for each value. Otherwise windows are laid out side by side and partitioned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from threshcli.kernels._arena import Arena
from threshcli.windows.base import Array, Window
from threshcli.windows.boxes import Box, Side, extents
from threshcli.windows.sums import counted, sum_kind

_RANKS = 1 << 16  # ranks that 16 bits hold
_LEAST = 1 << 12  # elements of the smallest part worth having
_NARROW = 1 << 17  # elements of a part of which there can be few different values
_LAID = 1 << 19  # elements of windows that are laid out side by side
_COUNTING, _CALLED, _LAYING = 0.8, 60_000, 60  # nanoseconds: counting a value, for each axis; passes over any; windows


def median(
    values: Array, usable: Array | None, count: Array | None, window: Window, box: Box, arena: Arena, out: Array
) -> None:
    """The median of each window; where not all elements are `usable`, of those that are, and `count` says how many each
    window has."""
    around = _padded(values, box)
    known = None if usable is None else _padded(usable, box)
    for part in _parts(out.shape, window.reach, narrow=values.dtype.kind != "f" and values.dtype.itemsize < 4):
        reached = tuple(slice(one.start, one.stop + 2 * reach) for one, reach in zip(part, window.reach, strict=True))
        ranked = _ranked(around[reached], None if known is None else known[reached])
        number = None if count is None else count[part].astype(np.int64)
        if number is not None and (number == window.elements).all():
            number = None
        if _counts(ranked, window):
            with arena.scratch():
                found = _by_counting(ranked, number, window, arena)
        else:
            found = _by_partition(ranked, number, window)
        out[part] = ranked.between(*found)
        if number is not None:
            np.copyto(out[part], np.nan, where=number == 0)


def _padded(array: Array, box: Box) -> Array:
    """A box with what stands for elements outside of the tensor."""
    for axis, side in enumerate(box):
        if len(side.before) or len(side.after):
            places = np.concatenate([side.before, np.arange(side.high - side.low), side.after])
            array = array.take(places, axis)
    return array


def _parts(shape: Sequence[int], reach: Sequence[int], *, narrow: bool) -> Iterator[tuple[slice, ...]]:
    """The parts of a box that are ranked together: 16 bits are to hold the ranks, as they do anyway in dtypes of so
    many."""
    most = _NARROW
    extent = extents(shape, reach, most)
    while not narrow and most > _LEAST and math.prod(np.add(extent, np.multiply(2, reach))) >= _RANKS:
        most //= 2
        extent = extents(shape, reach, most)
    return _cut(shape, extent)


def _cut(shape: Sequence[int], extent: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """All parts of an extent."""
    for index in np.ndindex(*(-(-length // one) for length, one in zip(shape, extent, strict=True))):
        yield tuple(
            slice(place * one, min(length, (place + 1) * one))
            for place, one, length in zip(index, extent, shape, strict=True)
        )


class _Ranked(NamedTuple):
    """The different values in ascending order, and the place of each element among them; the unusable come last."""

    distinct: Array
    ranks: Array

    def between(self, low: Array, high: Array) -> Array:
        """The values half way between those at two ranks, in float64; what is at no rank is anything."""
        last = len(self.distinct) - 1
        values = self.distinct.astype(np.float64)
        found = values[np.minimum(low, last)]
        if high is not low:
            found = np.where(low == high, found, 0.5 * found + 0.5 * values[np.minimum(high, last)])
        return found


def _ranked(values: Array, usable: Array | None) -> _Ranked:
    if values.dtype.kind != "f" and values.dtype.itemsize < 4:
        first = int(values.min())
        places = np.subtract(values, first, dtype=np.int32)
        there = np.bincount(places.reshape(-1)) > 0
        distinct: Array = np.flatnonzero(there) + first
        ranks: Array = (np.cumsum(there, dtype=np.int32) - 1)[places]
    else:
        distinct, ranks = np.unique(values, return_inverse=True)
        ranks = ranks.astype(np.int32).reshape(values.shape)
    if usable is not None:
        np.copyto(ranks, len(distinct), where=~usable)
    return _Ranked(distinct, ranks)


def _counts(ranked: _Ranked, window: Window) -> bool:
    """Whether counting is quicker."""
    axes = sum(size > 1 for size in window.sizes)
    elements = ranked.ranks.size
    counting = len(ranked.distinct) * axes * (_COUNTING * elements + _CALLED)
    return counting < elements * (window.elements + _LAYING)


def _by_counting(ranked: _Ranked, number: Array | None, window: Window, arena: Arena) -> tuple[Array, Array]:
    """The ranks of the lower and the upper median of each window."""
    ranks = ranked.ranks
    shape = [length - 2 * reach for length, reach in zip(ranks.shape, window.reach, strict=True)]
    box = tuple(
        Side(0, count, -reach, count + reach, _NOTHING, _NOTHING)
        for count, reach in zip(shape, window.reach, strict=True)
    )
    total = window.elements if number is None else number
    needed = [total - (total - 1) // 2] + ([] if number is None else [total - total // 2])
    found = [np.zeros(shape, np.int32) for _ in needed]
    limit = len(ranked.distinct)
    small = ranks.astype(np.uint8) if limit < 1 << 8 else ranks.astype(np.uint16)
    if number is not None:
        np.copyto(small, 0, where=ranks == limit)
    kind = sum_kind(np.dtype(np.uint8), window.elements)
    for rank in range(1, limit):
        with arena.scratch():
            reached = counted(small >= rank, box, window.sizes, arena, kind)
            for sums, least in zip(found, needed, strict=True):
                np.add(sums, reached >= least, out=sums)
    return found[0], found[-1]


_NOTHING = np.zeros(0, np.int64)


def _by_partition(ranked: _Ranked, number: Array | None, window: Window) -> tuple[Array, Array]:
    """The same by the windows themselves."""
    kind, off = (np.int16, 1 << 15) if len(ranked.distinct) < _RANKS else (np.int32, 0)
    laid = sliding_window_view((ranked.ranks - off).astype(kind), window.sizes)
    shape, total = laid.shape[: len(window.sizes)], window.elements
    low = np.empty(shape, np.int32)
    high = low if number is None else np.empty(shape, np.int32)
    for part in _cut(shape, extents(shape, (0,) * len(shape), max(1, _LAID // total))):
        windows = np.array(laid[part]).reshape(-1, total)
        if number is None:
            windows.partition(total // 2, axis=1)
            low[part] = windows[:, total // 2].reshape(low[part].shape)
            continue
        windows.sort(axis=1)
        many = number[part].reshape(-1, 1)
        for ranks, places in ((low, (many - 1) // 2), (high, many // 2)):
            ranks[part] = np.take_along_axis(windows, np.clip(places, 0, total - 1), 1).reshape(ranks[part].shape)
    low += off
    if high is not low:
        high += off
    return low, high
