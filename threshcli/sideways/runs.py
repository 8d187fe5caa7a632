"""Runs: stretches of True along the last axis of a block, the nodes of its graph.

A block has the shape (items, *spatial). It is laid out with one element of False behind the end of every spatial
axis, so that runs end where lines do, and a step along an axis leads from an edge to False and never to another line.
Positions are those in this layout, counted along the whole of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import mul
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from threshcli.tiles import row_major

Array = npt.NDArray[Any]

_DENSE = 20  # elements for each run under which counting along all elements is quicker than looking up the runs


class Runs(NamedTuple):
    """Runs in ascending order: the position of the first element of each, and that after its last."""

    starts: Array
    ends: Array

    def at(self, chosen: Any) -> Runs:
        """Some of them."""
        return Runs(self.starts[chosen], self.ends[chosen])


@dataclass(frozen=True)
class Layout:
    """How blocks of a shape (items, *spatial) are laid out, and which steps lead to neighbours."""

    items: int
    spatial: tuple[int, ...]
    full: bool
    """Whether elements that touch at corners are neighbours, too."""

    @property
    def shape(self) -> tuple[int, ...]:
        """That of blocks."""
        return (self.items, *self.spatial)

    @cached_property
    def padded(self) -> tuple[int, ...]:
        return (self.items, *(length + 1 for length in self.spatial))

    @cached_property
    def size(self) -> int:
        return math.prod(self.padded)

    @cached_property
    def plane(self) -> int:
        """Positions from one index of the slowest spatial axis to the next."""
        return row_major(self.padded)[1]

    @property
    def widening(self) -> int:
        """How many elements before its start and behind its end a run of another line may begin or end, and touch."""
        return int(self.full)

    def steps(self) -> list[int]:
        """Positions from a line to those before it that are its neighbours, the nearest first."""
        inner = self._strides[1:-1]
        if not self.full:
            return sorted(inner)
        return sorted(sum(map(mul, way, inner)) for way in _ways(len(inner)) if way > (0,) * len(way))

    def faces(self) -> list[int]:
        """Positions from a line to its neighbours in the plane before it, less those of a plane."""
        inner = self._strides[2:-1]
        return [sum(map(mul, way, inner)) for way in _ways(len(inner))] if self.full else [0]

    @cached_property
    def _strides(self) -> tuple[int, ...]:
        return row_major(self.padded)

    def lay(self, mask: Array) -> Array:
        """A block laid out, with one more element of False before it."""
        flat = np.zeros(self.size + 1, np.bool_)
        self.inside(flat[1:])[...] = mask
        return flat

    def inside(self, flat: Array) -> Array:
        """The elements of a block within their layout."""
        found: Array = flat.reshape(self.padded)[(slice(None), *(slice(length) for length in self.spatial))]
        return found

    def painted(self, runs: Runs) -> Array:
        """The block that has these runs: what begins and ends where they do."""
        ends = np.zeros(self.size, np.bool_)
        ends[runs.starts] = True
        ends[runs.ends] = True
        return self.inside(np.logical_xor.accumulate(ends))


def _ways(axes: int) -> Iterator[tuple[int, ...]]:
    """Where a line's neighbours may lie, and itself."""
    return itertools.product((-1, 0, 1), repeat=axes)


class Found:
    """The runs of a block, and where others lie among them."""

    def __init__(self, layout: Layout, mask: Array) -> None:
        flat = layout.lay(mask)
        self._edges = flat[1:] != flat[:-1]
        places = np.flatnonzero(self._edges)
        self.runs = Runs(places[0::2].copy(), places[1::2].copy())
        self._dense = self.runs.starts.size * _DENSE > layout.size

    @cached_property
    def _passed(self) -> Array:
        """How many starts and ends lie at each position or before it; the first element is for the position -1."""
        counts = np.empty(self._edges.size + 1, np.int32 if self._edges.size < 1 << 31 else np.int64)
        counts[0] = 0
        counts[1:] = self._edges
        np.cumsum(counts, out=counts)
        return counts

    def holding(self, positions: Array) -> Array:
        """The number of the run that holds each of these positions."""
        if self._dense:
            found: Array = self._passed[positions + 1] >> 1
            return found
        return np.searchsorted(self.runs.starts, positions, "right") - 1

    def overlaps(self, step: int, widening: int) -> tuple[int, Array, Array]:
        """What runs of this block overlap when moved back by a step, those from a number on that can overlap any: that
        number; the first run that each overlaps, and that after the last (not above the first if there is none)."""
        begin = int(np.searchsorted(self.runs.starts, step))
        starts = self.runs.starts[begin:] - (step + widening)
        ends = self.runs.ends[begin:] - (step - widening)
        if not self._dense:
            return begin, *overlapped(self.runs, starts, ends)
        starts += 1
        first, last = self._passed[starts], self._passed[ends]
        last += 1
        return begin, np.right_shift(first, 1, out=first), np.right_shift(last, 1, out=last)


def overlapped(runs: Runs, starts: Array, ends: Array) -> tuple[Array, Array]:
    """The first of the runs that overlap each stretch, and that after the last."""
    return np.searchsorted(runs.ends, starts, "right"), np.searchsorted(runs.starts, ends, "left")


def pairs(owners: Array, first: Array, last: Array) -> tuple[Array, Array]:
    """Each owner with all of first, first + 1, ..., last - 1."""
    many = last - first
    offsets = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
    return np.repeat(owners, many), np.repeat(first, many) + offsets
