"""How a tensor is cut: pure functions of integers.

A tensor is walked in the order of its output's bytes, in *tiles*: consecutive elements `[start, stop)`. A tile begins
at a multiple of LEAF elements, so that sums taken leaf by leaf do not depend on the size of tiles. In the
coordinates of the tensor a tile is a few boxes (`boxes`), by which maps broadcast and strided inputs are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

LEAF = 1 << 16
"""Elements that are summed as one; every tile but the last of a tensor is a multiple of it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Elements `start` to `stop` of a tensor in the order in which it is written."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start


def tile_elements(tile_bytes: int, itemsize: int) -> int:
    """Elements of a tile of about `tile_bytes`: a multiple of LEAF, and one LEAF at least."""
    return max(LEAF, tile_bytes // itemsize // LEAF * LEAF)


def tiles(elements: int, size: int) -> Iterator[Tile]:
    """The tiles of a tensor of so many elements, in order; none for an empty tensor."""
    for start in range(0, elements, size):
        yield Tile(start, min(start + size, elements))


@dataclass(frozen=True, slots=True)
class Box:
    """A box in a tensor's coordinates: the index of its first element, and its extent along each axis."""

    first: tuple[int, ...]
    extent: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.extent)


def boxes(shape: tuple[int, ...], start: int, stop: int) -> Iterator[Box]:
    """The boxes that make up elements [start, stop) of a C-ordered tensor, in order: at most 2 * rank - 1."""
    rank = len(shape)
    while start < stop:
        axis, step = rank, 1  # the largest block of trailing axes that starts here and fits
        while axis > 0 and start % (step * shape[axis - 1]) == 0 and start + step * shape[axis - 1] <= stop:
            axis -= 1
            step *= shape[axis]
        index, rest = [], start
        for length in reversed(shape):
            rest, position = divmod(rest, length)
            index.append(position)
        index.reverse()
        if axis == 0:
            yield Box(tuple(index), shape)
            return
        room = shape[axis - 1] - index[axis - 1]
        many = min(room, (stop - start) // step)
        yield Box(tuple(index), (1,) * (axis - 1) + (many,) + shape[axis:])
        start += many * step


class View(NamedTuple):
    """Where the elements of a tensor lie in a file: byte offset of the first, extents, strides in elements.

    Strides may be 0 (broadcast) or leave gaps; never negative. `swapped` says that the bytes are big-endian.
    """

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int
    swapped: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def order(self) -> tuple[int, ...] | None:
        """The axes from slowest to fastest if the elements fill one stretch of bytes, else None."""
        plain = tuple(range(len(self.shape)))
        for usual in (plain, plain[::-1]):  # axes of length 1 have no order of their own: prefer these two
            if self.permuted(usual).contiguous:
                return usual
        axes = [axis for axis, length in enumerate(self.shape) if length != 1]
        axes.sort(key=lambda axis: -self.strides[axis])
        expected = 1
        for axis in reversed(axes):
            if self.strides[axis] != expected:
                return None if self.elements else tuple(range(len(self.shape)))
            expected *= self.shape[axis]
        single = [axis for axis, length in enumerate(self.shape) if length == 1]
        return tuple(single + axes)

    @property
    def contiguous(self) -> bool:
        """Whether the elements fill one stretch of bytes in C order."""
        expected = 1
        for length, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if length != 1 and stride != expected:
                return self.elements == 0
            expected *= length
        return True

    def permuted(self, order: tuple[int, ...]) -> View:
        """The same elements with the axes in another order."""
        shape, strides = (tuple(values[axis] for axis in order) for values in (self.shape, self.strides))
        return View(self.offset, shape, strides, self.itemsize, self.swapped)

    def broadcast(self, shape: tuple[int, ...]) -> View | None:
        """These elements seen with `shape` by NumPy's rules, or None where they do not fit."""
        missing = len(shape) - len(self.shape)
        if missing < 0:
            return None
        own, steps = (1,) * missing + self.shape, (0,) * missing + self.strides
        if any(length not in (1, wanted) for length, wanted in zip(own, shape, strict=True)):
            return None
        strides = tuple(step if length == wanted else 0 for length, wanted, step in zip(own, shape, steps, strict=True))
        return View(self.offset, shape, strides, self.itemsize, self.swapped)

    def span(self, box: Box) -> tuple[int, int]:
        """The first byte of a box's elements, and the number of bytes up to the end of its last."""
        first = sum(index * stride for index, stride in zip(box.first, self.strides, strict=True))
        last = sum((length - 1) * stride for length, stride in zip(box.extent, self.strides, strict=True))
        return self.offset + first * self.itemsize, (last + 1) * self.itemsize


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of a C-ordered tensor."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= max(length, 1)
    return tuple(reversed(strides))


def ordered_strides(shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a dense tensor whose axes lie in this order, from slowest to fastest."""
    dense = row_major(tuple(shape[axis] for axis in order))
    return tuple(dense[order.index(axis)] for axis in range(len(shape)))


def index_of(position: int | None, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The index of an element of a C-ordered tensor from its position; None of None."""
    if position is None:
        return None
    index = []
    for length in reversed(shape):
        position, rest = divmod(position, length)
        index.append(rest)
    return tuple(reversed(index))
