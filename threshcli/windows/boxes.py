"""How a tensor is cut into boxes, and what stands for the elements that windows find outside of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from threshcli.windows.base import Array, Border

_LINE = 512  # elements side by side that are worth more than as many from all over


class Side(NamedTuple):
    """One axis of a box: thresholds are wanted for indices [first, stop), which takes elements [low, high); `before`
    and `after` are the places in those of what lies outside of the tensor."""

    first: int
    stop: int
    low: int
    high: int
    before: Array
    after: Array

    @property
    def wanted(self) -> int:
        return self.stop - self.first

    @property
    def reached(self) -> int:
        """The number of elements, with what stands for those outside."""
        return len(self.before) + self.high - self.low + len(self.after)

    @property
    def within(self) -> slice:
        """Where among the elements those are that thresholds are wanted for."""
        return slice(self.first - self.low, self.stop - self.low)


Box = tuple[Side, ...]


def side(length: int, first: int, stop: int, reach: int, border: Border) -> Side:
    """The indices [first, stop) of an axis, and what windows find around them."""
    low, high = max(0, first - reach), min(length, stop + reach)
    before = _inside(np.arange(first - reach, low), length, border) - low
    after = _inside(np.arange(high, stop + reach), length, border) - low
    return Side(first, stop, low, high, before, after)


def _inside(places: Array, length: int, border: Border) -> Array:
    """The index of the element that stands for each place."""
    if border == "reflect":
        found: Array = places % (2 * length)
        back: Array = 2 * length - 1 - found
    else:
        period = max(1, 2 * length - 2)
        found = places % period
        back = period - found
    return np.minimum(found, back, out=found)


def extents(shape: Sequence[int], reach: Sequence[int], most: int) -> tuple[int, ...]:
    """The extents of boxes of about `most` elements: halved where that adds the least to what has to be read."""
    found = list(shape)
    while math.prod(found) > most and max(found) > 1:
        worth = [extent / (2 * around + 1) for extent, around in zip(found, reach, strict=True)]
        worth[-1] = found[-1] / (2 * reach[-1] + _LINE)
        axis = max((axis for axis in range(len(found)) if found[axis] > 1), key=lambda axis: worth[axis])
        found[axis] = -(-found[axis] // 2)
    return tuple(found)


def cut(shape: Sequence[int], reach: Sequence[int], border: Border, most: int) -> Iterator[Box]:
    """The boxes of a tensor with elements, of about `most` elements each."""
    sides = [
        [side(length, first, min(length, first + extent), around, border) for first in range(0, length, extent)]
        for length, extent, around in zip(shape, extents(shape, reach, most), reach, strict=True)
    ]
    yield from product(*sides)
