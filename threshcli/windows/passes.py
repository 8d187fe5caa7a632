"""Passes along one axis, block by block, so that what a pass computes stays in the processor's cache.

A pass takes arrays of the same shape, several at once, and gives arrays in which each element stands for a window along
the axis. Its work sees blocks, cut across the axis, never along it: `Flat` says how.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from threshcli.kernels._arena import Arena
from threshcli.windows.base import Array
from threshcli.windows.boxes import Box, Side

_BLOCK = 1 << 18
"""Bytes of an array of a block."""
_HOT = 1 << 16
"""Elements that passes after the first go over one after the other, while they are in the cache."""

Blocks = Sequence[Array]


class Flat:
    """A block of (rows, elements along the axis, columns), its elements in a row, so that a step of a pass is one
    operation on two stretches of memory, the one `columns` elements or a multiple of that behind the other. Where they
    reach from one row into the next, nothing comes of it: only the first elements of each row are wanted in the end.

    `arrays` are what comes in, and may be overwritten; `lend` and `release` are for what is needed in between.
    """

    def __init__(self, shape: tuple[int, int, int], arrays: Blocks, arena: Arena) -> None:
        self.shape, self.arrays, self.arena = shape, list(arrays), arena
        self.columns, self.elements = shape[2], math.prod(shape)
        self._free: dict[Any, list[Array]] = {}

    def stretch(self, size: int, behind: int = 0) -> slice:
        """The elements that are needed for windows of a size: for windows that begin so many elements behind."""
        first = behind * self.columns
        return slice(first, first + self.elements - (size - 1) * self.columns)

    def lend(self, kind: Any) -> Array:
        """An array of as many elements as the block, whatever is in it."""
        free = self._free.get(np.dtype(kind))
        return free.pop() if free else self.arena.take(self.elements, kind)

    def release(self, array: Array) -> None:
        """Take an array back, to lend it again."""
        self._free.setdefault(array.dtype, []).append(array)

    def wanted(self, array: Array, count: int) -> Array:
        """The first elements of each row."""
        return array.reshape(self.shape)[:, :count]


Work = Callable[[Flat, Blocks], None]
"""From a block of what comes in to blocks (rows, elements, columns) of what goes out."""


class Stage(NamedTuple):
    """A pass of several: the kinds in which it takes arrays, and its work."""

    kinds: Sequence[Any]
    work: Work


class _Pass(NamedTuple):
    """A stage along its axis. If what it takes is `roomy`, that was made for it: it has room for what stands along the
    axis for elements outside of the tensor, and may be worked on where it lies."""

    axis: int
    side: Side
    stage: Stage
    roomy: bool


def separable(
    sources: Blocks,
    box: Box,
    sizes: Sequence[int],
    arena: Arena,
    outs: Blocks,
    stage: Callable[[int, int, bool], Stage],
) -> None:
    """Passes along all axes with windows, from the first to the last, into `outs`. `stage` is told the axis, how many
    elements windows along the axes before it have, and whether it is the last; any other gives arrays of the kinds that
    it takes, as the next begins with."""
    axes = [axis for axis, size in enumerate(sizes) if size > 1] or [len(sizes) - 1]
    passes, base = [], 1
    for axis in axes:
        passes.append(_Pass(axis, box[axis], stage(axis, base, axis == axes[-1]), axis - 1 in axes))
        base *= sizes[axis]
    if axes[0] == 0 and len(axes) > 1:
        sources, passes = _along(passes[0], sources, passes[1], arena), passes[1:]
    whole = passes[0].axis == 0
    step = len(sources[0]) if whole else max(1, _HOT // max(1, math.prod(sources[0].shape[1:])))
    for first in range(0, len(sources[0]), step):
        rows = slice(first, first + step)
        with arena.scratch():
            some = [item[rows] for item in sources]
            for one, following in pairwise(passes):
                some = _along(one, some, following, arena)
            _into(passes[-1], some, [item if whole else item[rows] for item in outs], 0, arena)


def _along(one: _Pass, sources: Blocks, following: _Pass, arena: Arena) -> list[Array]:
    """What a pass gives, for the pass that follows."""
    axis, made = one.axis, list(sources[0].shape)
    made[axis], room = one.side.wanted, 0
    if following.roomy:
        made[axis + 1] = following.side.reached
        room = len(following.side.before) * math.prod(made[axis + 2 :])
    outs = [take(made, kind, arena) for kind in one.stage.kinds]
    _into(one, sources, outs, room, arena)
    return outs


def _into(one: _Pass, sources: Blocks, outs: Blocks, room: int, arena: Arena) -> None:
    """The work of a pass; so many elements of each row of what it gives are left out."""
    axis, side, shape = one.axis, one.side, sources[0].shape
    rows, columns = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    flat = [source.reshape(rows, shape[axis], columns) for source in sources]
    into = [out.reshape(rows, side.wanted, -1)[:, :, room : room + columns] for out in outs]
    most = _BLOCK // max(np.dtype(kind).itemsize for kind in one.stage.kinds)
    load = _filled if one.roomy else _loaded
    for part in _parts(rows, side.reached, columns, most):
        with arena.scratch():
            loaded = [load(item[part], side, kind, arena) for item, kind in zip(flat, one.stage.kinds, strict=True)]
            block = Flat(loaded[0].shape, [item.reshape(-1) for item in loaded], arena)
            one.stage.work(block, [item[part] for item in into])


def _parts(rows: int, length: int, columns: int, most: int) -> Iterator[tuple[slice, slice, slice]]:
    """Rows and columns of each block, of about so many elements."""
    pieces = -(-columns // max(1, min(columns, most // length)))
    wide = -(-columns // pieces)
    many = max(1, most // (length * wide)) if pieces == 1 else 1
    for row in range(0, rows, many):
        for column in range(0, columns, wide):
            yield slice(row, row + many), slice(None), slice(column, column + wide)


def _loaded(source: Array, side: Side, kind: Any, arena: Arena) -> Array:
    """A block of a source, with what stands for elements outside of the tensor."""
    rows, length, columns = source.shape
    block = take((rows, side.reached, columns), kind, arena)
    first = len(side.before)
    np.copyto(block[:, first : first + length], source, casting="unsafe")
    if first:
        np.copyto(block[:, :first], source[:, side.before], casting="unsafe")
    if len(side.after):
        np.copyto(block[:, first + length :], source[:, side.after], casting="unsafe")
    return block


def _filled(source: Array, side: Side, kind: Any, arena: Arena) -> Array:
    """The same of a source with room for what stands outside: where it lies, if it can be worked on there."""
    first = len(side.before)
    last = source.shape[1] - len(side.after)
    if first:
        source[:, :first] = source[:, first + side.before]
    if last < source.shape[1]:
        source[:, last:] = source[:, first + side.after]
    if source.dtype == kind and source.flags.c_contiguous:
        return source
    block = take(source.shape, kind, arena)
    np.copyto(block, source, casting="unsafe")
    return block


def take(shape: Sequence[int], kind: Any, arena: Arena) -> Array:
    """An array from the arena, whatever is in it."""
    found: Array = arena.take(math.prod(shape), kind).reshape(shape)
    return found
