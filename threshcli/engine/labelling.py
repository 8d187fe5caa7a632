"""Masks of `hysteresis`: connected components of a tensor of any size, slab by slab.

Slabs are compared and labelled by all workers; what connects them is settled in their order. A worker needs up to some
80 bytes for an element of its slab, and a slab has one plane of the slowest spatial axis at least: so memory grows with
the size of a plane (there are fewer workers where they would need more than they have), and with nothing else. Where
one plane needs more than there is, the longest axis is taken for the slowest: its planes are the smallest. Masks, and
what is open until the last slab is seen, lie in scratch files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice

import numpy as np

from threshcli.engine.beside import Job, dense
from threshcli.engine.crew import Crew
from threshcli.engine.cuts import Cuts
from threshcli.engine.reading import read_elements
from threshcli.kernels.base import Kernels
from threshcli.plan.tensors import TensorPlan
from threshcli.rules.base import Components
from threshcli.sideways.components import SLAB, Array, Labelled, Part, Parts, Sweep, labelled
from threshcli.sideways.runs import Runs
from threshcli.stats import Counts
from threshcli.storage.scratch import Scratch
from threshcli.thresholds.base import Bound, Mapped
from threshcli.tiles import Tile, View, tile_elements

_ALONE = 1 << 21  # bytes under which a second thread costs more than it gains
_SHARE = 80  # bytes that labelling takes for an element, measured on noise


def label(job: Job, item: TensorPlan, crew: Crew, room: Scratch, offset: int) -> tuple[View, Counts]:
    """Write the mask of a tensor to `room`; returns where it lies, and the extremes of thresholds that vary."""
    shape, order = item.tensor.shape, item.out.order
    spatial = range(len(shape)) if job.axes is None else job.axes.of(len(shape))
    inner = _inner([axis for axis in order if axis in spatial], shape, job.memory * job.workers // _SHARE)
    walk = (*(axis for axis in order if axis not in spatial), *inner)
    full = isinstance(job.rule.beside, Components) and job.rule.beside.full
    slabs = _Slabs(job, walked(item, walk), Parts.of([shape[axis] for axis in walk], len(spatial), full))
    with ExitStack() as stack:
        slabs.run(crew, room, offset, _Open(job.output, stack))
    view = dense(tuple(shape[axis] for axis in walk), offset)
    return view.permuted(tuple(walk.index(axis) for axis in order)), slabs.counted()


def _inner(axes: list[int], shape: Sequence[int], most: int) -> list[int]:
    """Spatial axes as they are walked over: as they lie, or, where a plane of the slowest has more elements than there
    is memory for, the longest first."""
    slowest = next((axis for axis in axes if shape[axis] != 1), None)
    if slowest is None or math.prod(shape[axis] for axis in axes if axis != slowest) <= most:
        return axes
    longest = max(axes, key=lambda axis: shape[axis])
    return [longest, *(axis for axis in axes if axis != longest)]


def walked(item: TensorPlan, order: tuple[int, ...]) -> TensorPlan:
    """The plan of a tensor whose axes are walked over in another order, its maps with it."""
    places = tuple(item.out.order.index(axis) for axis in order)
    bounds: Mapping[str, Bound] = {
        slot: bound._replace(view=bound.view.permuted(places)) if isinstance(bound, Mapped) else bound
        for slot, bound in item.bounds.items()
    }
    return item._replace(view=item.view.permuted(places), out=replace(item.out, order=order), bounds=bounds)


class _Slabs:
    """The work on one tensor."""

    def __init__(self, job: Job, item: TensorPlan, parts: Parts) -> None:
        self._job, self._item, self._parts = job, item, parts
        self._cuts = Cuts(job.rule, item, job.maps)
        self._counts: dict[int, Counts] = {}
        widest = max([item.view.itemsize, *(b.view.itemsize for b in item.bounds.values() if isinstance(b, Mapped))])
        self._most = tile_elements(job.tile_bytes, widest)

    def run(self, crew: Crew, room: Scratch, offset: int, still_open: _Open) -> None:
        """Label as many slabs at a time as there are workers, then settle them."""

        def patch(part: Part, runs: Runs) -> None:
            held = bytearray(part.stop - part.start)
            room.read_into(offset + part.start, memoryview(held))
            mask = np.frombuffer(held, np.bool_).reshape(part.layout.shape)
            room.write(offset + part.start, _bytes(mask | part.layout.painted(runs)))

        sweep = Sweep(patch, still_open)
        alone = self._item.view.elements * self._item.view.itemsize < _ALONE
        parts = self._parts.cut(max(1, min(SLAB, self._job.memory // _SHARE)))
        at_once = self._job.memory * crew.size // (_SHARE * self._parts.plane)  # where a plane takes more than a share
        while batch := list(islice(parts, 1 if alone else max(1, min(crew.size, at_once)))):
            found: dict[int, Labelled] = {}

            def work(part: Part, k: Kernels, found: dict[int, Labelled] = found) -> None:
                found[part.start] = self._labelled(part, k)

            crew.run(iter(batch), work, alone=alone)
            for part in batch:
                room.write(offset + part.start, _bytes(sweep.settle(part, found[part.start])))

    def _labelled(self, part: Part, k: Kernels) -> Labelled:
        low, high = (np.empty(part.stop - part.start, np.bool_) for _ in range(2))
        view = self._item.view
        counts = self._counts.setdefault(id(k), Counts())
        for start in range(part.start, part.stop, self._most):
            k.reset()
            tile = Tile(start, min(start + self._most, part.stop))
            raw = k.buffer(tile.count * view.itemsize)
            read_elements(self._job.source, view, tile.start, tile.stop, raw)
            x = k.load(raw, self._item.tensor.dtype, swapped=view.swapped)
            own = slice(tile.start - part.start, tile.stop - part.start)
            for mask, cut in zip((low, high), self._cuts.tile(k, tile, counts), strict=True):
                np.copyto(mask[own], k.compare(x, "gt", cut))
            self._job.advance(tile.count * view.itemsize)
        return labelled(part.layout, low.reshape(part.layout.shape), high.reshape(part.layout.shape))

    def counted(self) -> Counts:
        """What all workers have counted."""
        total = Counts()
        for counts in self._counts.values():
            total.merge(counts)
        return total


class _Open:
    """A stack of arrays in a scratch file, which is made when it is needed."""

    def __init__(self, output: str | None, stack: ExitStack) -> None:
        self._output, self._stack = output, stack
        self._file: Scratch | None = None
        self._held: list[list[tuple[int, np.dtype[np.generic], int]]] = []
        self._end = 0

    def push(self, arrays: Sequence[Array]) -> None:
        if self._file is None:
            self._file = self._stack.enter_context(Scratch(self._output, 0))
        places = []
        for array in arrays:
            places.append((self._end, array.dtype, array.size))
            self._file.write(self._end, _bytes(array))
            self._end += array.nbytes
        self._held.append(places)

    def pop(self) -> Sequence[Array]:
        return [self._read(*place) for place in self._held.pop()]

    def _read(self, start: int, kind: np.dtype[np.generic], count: int) -> Array:
        held = bytearray(count * kind.itemsize)
        if self._file is not None:
            self._file.read_into(start, memoryview(held))
        self._end = min(self._end, start)
        return np.frombuffer(held, kind)


def _bytes(array: Array) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
