"""Hysteresis: the connected components of a mask that hold an element of another mask.

A component may wind through all of the data, so it is followed slab by slab, in memory that does not grow with the
data. On the way forward a *front*, the components at the last plane of what was seen, carries over what a slab needs
of all before it: which of its elements are connected, and which have a high element. Components that do not reach the
next front are settled by that; what reaches it is left open, and goes onto a stack. On the way back each front is
settled by the next one, and with it what was left open before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from threshcli.sideways.runs import Found, Layout, Runs, overlapped, pairs
from threshcli.sideways.union import connected, numbers

Array = npt.NDArray[Any]
Connectivity = Literal["faces", "full"]

YES, NO = -1, -2
SLAB = 1 << 18
"""Elements of a slab: its runs fit into the processor's cache."""


def hysteresis_mask(
    low: Array,
    high: Array,
    connectivity: Connectivity = "faces",
    axes: Sequence[int] | None = None,
    *,
    slab: int = SLAB,
) -> Array:
    """True where `low` is, in components of it that hold an element of `high`.

    Both are arrays of bool of one shape. `connectivity` "full" has elements that touch at corners in one component.
    Components stay within `axes` (all, if None): along others each index is an image of its own. As
    `skimage.filters.apply_hysteresis_threshold`. A 0-d array is one element.
    """
    order = spatial_last(low.ndim, axes)
    low, high = low.transpose(order), high.transpose(order)
    parts = Parts.of(low.shape, low.ndim if axes is None else len(axes), connectivity == "full")
    out = np.empty(low.shape, np.bool_)
    outs = out.reshape(-1)
    lows, highs = (np.ascontiguousarray(array).reshape(-1) for array in (low, high))

    def patch(part: Part, runs: Runs) -> None:
        block = outs[part.start : part.stop].reshape(part.layout.shape)
        block |= part.layout.painted(runs)

    sweep = Sweep(patch, Stack())
    for part in parts.cut(slab):
        own, shape = slice(part.start, part.stop), part.layout.shape
        found = labelled(part.layout, lows[own].reshape(shape), highs[own].reshape(shape))
        outs[own] = sweep.settle(part, found).reshape(-1)
    return out.transpose(sorted(range(low.ndim), key=order.__getitem__))


def spatial_last(rank: int, axes: Sequence[int] | None) -> tuple[int, ...]:
    """The order of axes with the spatial ones behind all others, each in their own order."""
    spatial = set(range(rank)) if axes is None else {axis % rank for axis in axes}
    return tuple(sorted(range(rank), key=lambda axis: (axis in spatial, axis)))


class Part(NamedTuple):
    """Elements [start, stop) of the data that are labelled together: whole items, or planes of one of them."""

    start: int
    stop: int
    layout: Layout
    begins: bool
    """Whether no part of the same item comes before it."""
    ends: bool


@dataclass(frozen=True)
class Parts:
    """Data of a shape whose last axes are spatial, in C order; axes of length 1 connect nothing and are left out."""

    items: int
    spatial: tuple[int, ...]
    full: bool

    @classmethod
    def of(cls, shape: Sequence[int], spatial: int, full: bool) -> Parts:
        """The last `spatial` axes of a shape as spatial ones."""
        split = len(shape) - spatial
        lengths = tuple(length for length in shape[split:] if length != 1) or (1,)
        return cls(math.prod(shape[:split]), lengths, full)

    @property
    def plane(self) -> int:
        """Elements of one index of the slowest spatial axis: the smallest part there can be."""
        return max(1, math.prod(self.spatial[1:]))

    def cut(self, elements: int) -> Iterator[Part]:
        """Parts of at most so many elements, but of one plane (or one element) at least."""
        item = math.prod(self.spatial)
        if not self.items * item:
            return
        if item <= elements:
            many = elements // item
            for first in range(0, self.items, many):
                count = min(many, self.items - first)
                layout = Layout(count, self.spatial, self.full)
                yield Part(first * item, (first + count) * item, layout, begins=True, ends=True)
            return
        length, plane = self.spatial[0], item // self.spatial[0]
        many = max(1, elements // plane)
        for start in range(0, self.items * item, item):
            for first in range(0, length, many):
                last = min(first + many, length)
                layout = Layout(1, (last - first, *self.spatial[1:]), self.full)
                yield Part(start + first * plane, start + last * plane, layout, begins=first == 0, ends=last == length)


class Labelled(NamedTuple):
    """The runs of a part, the number of each one's component within the part, and which components hold an element of
    the high mask."""

    runs: Runs
    component: Array
    flagged: Array


def labelled(layout: Layout, low: Array, high: Array) -> Labelled:
    """The components of a block (items, *spatial), as far as they are connected within it."""
    found = Found(layout, low)
    parent = numbers(found.runs.starts.size).copy()
    owners, others = [], []
    for step in layout.steps():
        begin, first, last = found.overlaps(step, layout.widening)
        hooks = last > first  # each run hooks onto the first one it meets: most links are made by that
        np.logical_and(hooks, parent[begin:] == numbers(parent.size)[begin:], out=hooks)
        np.copyto(parent[begin:], first, where=hooks)
        first += hooks
        some = np.flatnonzero(last > first)
        a, b = pairs(some + begin, first[some], last[some])
        owners.append(a)
        others.append(b)
    edges = (np.concatenate(ends) if ends else np.empty(0, np.int64) for ends in (owners, others))
    component, count = connected(parent, *edges)
    flagged = np.zeros(count, np.bool_)
    seeds = layout.lay(high & low)
    begun = np.flatnonzero(seeds[1:] > seeds[:-1])  # of each run of high elements the first
    flagged[component[found.holding(begun)]] = True
    return Labelled(found.runs, component, flagged)


class Front(NamedTuple):
    """The last plane of all that was seen: its runs, by positions in the plane; the component of each; which components
    have a high element."""

    runs: Runs
    component: Array
    flagged: Array


class Open(Protocol):
    """A stack of arrays: what is put last is taken first."""

    def push(self, arrays: Sequence[Array]) -> None: ...

    def pop(self) -> Sequence[Array]: ...


@dataclass
class Stack:
    """A stack in memory."""

    _held: list[Sequence[Array]] = field(default_factory=list)

    def push(self, arrays: Sequence[Array]) -> None:
        self._held.append(arrays)

    def pop(self) -> Sequence[Array]:
        return self._held.pop()


class Sweep:
    """Settles parts in their order. `patch` adds runs to the mask of an earlier part."""

    def __init__(self, patch: Callable[[Part, Runs], None], stack: Open) -> None:
        self._patch, self._stack = patch, stack
        self._parts: list[Part] = []
        self._front: Front | None = None

    def settle(self, part: Part, found: Labelled) -> Array:
        """The mask of a part as far as it is known: what is left open is False until `patch` is told of it. With the
        last part of an item all parts of it are settled."""
        front = self._front
        if part.begins and part.ends:
            return _mask(part, found, found.flagged[found.component])
        self._front, before, status = _joined(part, front, found)
        own = status[found.component]
        left = np.flatnonzero(own >= 0)
        self._stack.push((*found.runs.at(left), own[left], before))
        self._parts.append(part)
        mask = _mask(part, found, own == YES)
        if part.ends:
            mask = mask.copy()
            self._go_back()
        return mask

    def _go_back(self) -> None:
        """Settle what was left open, from the last part to the first."""
        self._front, truth = None, np.empty(0, np.bool_)
        while self._parts:
            part = self._parts.pop()
            starts, ends, components, before = self._stack.pop()
            stays = truth[components]
            if stays.any():
                self._patch(part, Runs(starts[stays], ends[stays]))
            known = before == YES
            later = before >= 0
            known[later] = truth[before[later]]
            truth = known


def _mask(part: Part, found: Labelled, stays: Array) -> Array:
    return part.layout.painted(found.runs if stays.all() else found.runs.at(stays))


def _joined(part: Part, front: Front | None, found: Labelled) -> tuple[Front, Array, Array]:
    """The front behind a part; what becomes of the components of the front before it, and of those of the part: YES,
    NO, or the number of the component of the new front that they belong to."""
    layout, known = part.layout, 0 if front is None else front.flagged.size
    flagged = found.flagged if front is None else np.concatenate((front.flagged, found.flagged))
    root, count = numbers(flagged.size), flagged.size
    if front is not None:
        a, b = _across(layout, front, found)
        root, count = connected(root.copy(), a, b + known)
    held = np.zeros(count, np.bool_)
    held[root[flagged]] = True
    number = np.full(count, NO)
    edge = layout.plane * (layout.spatial[0] - 1)
    first = found.runs.starts.size if part.ends else int(np.searchsorted(found.runs.ends, edge, "right"))
    ending = root[known + found.component[first:]]
    ends_here = np.zeros(count, np.bool_)
    ends_here[ending] = True
    at_end = np.flatnonzero(ends_here)
    number[at_end] = numbers(at_end.size)
    starts, ends = found.runs.at(slice(first, None))
    runs = Runs(np.maximum(starts - edge, 0), ends - edge)
    new = Front(runs, number[ending], held[at_end])
    number[held] = YES
    status = number[root]
    return new, status[:known], status[known:]


def _across(layout: Layout, front: Front, found: Labelled) -> tuple[Array, Array]:
    """Which components of the front touch which of the part behind it."""
    count = int(np.searchsorted(found.runs.starts, layout.plane))
    starts, ends = found.runs.at(slice(count))
    ends = np.minimum(ends, layout.plane)
    before, after = [], []
    for step in layout.faces():
        reach = layout.widening
        first, last = overlapped(front.runs, starts - (step + reach), ends - (step - reach))
        own, other = pairs(numbers(count), first, last)
        before.append(front.component[other])
        after.append(found.component[own])
    return np.concatenate(before), np.concatenate(after)
