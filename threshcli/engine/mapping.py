"""Thresholds from a window around each element: maps of the tensors of a file, made box by box with all workers.

The maps lie one behind the other in a scratch file, in C order of each tensor's axes, until the file is done. A box is
read with as many elements around it as its windows reach; what becomes of it depends on those alone.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from threshcli.dtypes import FLOAT64
from threshcli.engine.copies import Part, work_together
from threshcli.engine.maps import MapSources
from threshcli.engine.population import Piece, Population
from threshcli.engine.studying import Desk
from threshcli.errors import InputError, UsageError
from threshcli.kernels._arena import Arena
from threshcli.kernels._numpy_convert import native
from threshcli.kernels.base import Kernels
from threshcli.plan.fit import Fit
from threshcli.plan.request import Step
from threshcli.plan.tensors import TensorPlan
from threshcli.storage.local import Source
from threshcli.storage.scratch import Scratch
from threshcli.studies.base import Array
from threshcli.studies.counted import extent
from threshcli.thresholds.base import Extremes, Mapped, Windowed
from threshcli.tiles import View, row_major
from threshcli.windows.base import Window
from threshcli.windows.boxes import Box, cut
from threshcli.windows.local import thresholds

_NEEDED = 64  # bytes for each element of a box while it is worked on
_LEAST = 1 << 10  # elements of the smallest box worth having
_ALONE = 1 << 17  # elements under which a second worker costs more than it gains


class Subject(NamedTuple):
    """A tensor for which maps are to be made, and what errors call it."""

    item: TensorPlan
    piece: Piece
    who: str


class _Map(NamedTuple):
    """One map in the making: where it begins in the scratch file, what it is made of."""

    subject: Subject
    slot: str
    source: Windowed
    window: Window
    offset: int
    told: bool
    """Whether its progress counts: once a tensor, however many maps it has."""


class _Unit(NamedTuple):
    """A box of a map."""

    map: _Map
    box: Box


@dataclass(slots=True)
class Mapmaker:
    """Makes the maps of one step in one file; `memory` is for all workers."""

    step: Step
    desk: Desk
    memory: int
    _found: dict[int, tuple[float, float]] = field(default_factory=dict)
    _arenas: dict[int, Arena] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def maps(self, subjects: Sequence[Subject], output: str | None, stack: ExitStack) -> dict[tuple[int, str], Mapped]:
        """The maps by tensor and slot; the stack closes the file in which they lie."""
        if self.desk.verify:
            self.desk.check_stored(Population([subject.piece for subject in subjects]))
        planned = list(self._planned(subjects))
        size = sum(math.prod(made.subject.piece.view.shape) for made in planned) * FLOAT64.itemsize
        scratch = stack.enter_context(Scratch(output, size))
        if subjects and size:
            self._make(planned, subjects[0].piece, scratch)
        fingerprint = scratch.fingerprint
        keys = ((made.subject.item.out.source, self.step.prefix + made.slot) for made in planned)
        return {key: self._mapped(made, scratch, fingerprint) for key, made in zip(keys, planned, strict=True)}

    def _planned(self, subjects: Sequence[Subject]) -> Iterator[_Map]:
        offset, axes = 0, self.step.axes
        told = next(iter(self.step.thresholds)) if self.step.thresholds else None
        for whole in subjects:
            rank, dtype = len(whole.piece.view.shape), whole.piece.dtype.compared
            subject = whole if rank else whole._replace(piece=whole.piece.as_line())
            for slot, source in self.step.thresholds.items():
                if isinstance(source, Windowed):
                    extremes = self._extremes(subject) if source.needs_extremes else (0, 0)
                    window = source.window(source.spans(rank, axes) or (1,), dtype, extremes)
                    yield _Map(subject, slot, source, window, offset, told=slot == told)
                    offset += subject.piece.view.elements * FLOAT64.itemsize

    def _extremes(self, subject: Subject) -> Extremes:
        """The least and the largest element that can be used."""
        lens = self.step.fit.terms(self.step.rule.magnitude).lens
        (looked,) = replace(self.desk, advance=lambda _: None).answers(
            Population([subject.piece]), [extent(lens)], subject.who
        )
        return (0, 0) if looked.low is None or looked.high is None else (looked.low, looked.high)

    def _make(self, planned: Sequence[_Map], piece: Piece, scratch: Scratch) -> None:
        """All maps of the file that the piece is of."""
        crew = self.desk.crew
        most = max(_LEAST, self.memory // crew.size // _NEEDED)
        alone = sum(made.subject.piece.view.elements for made in planned) < _ALONE
        with Source(piece.path) as source, MapSources() as masks:
            if source.fingerprint != piece.fingerprint:
                raise InputError("changed while it was read", hint="run it again")

            def work(unit: _Unit, k: Kernels) -> None:
                self._do(unit, k, source, masks, scratch)

            if alone or crew.size == 1 or not crew.copies:
                crew.run(_units(planned, most), work, alone=alone)
            else:
                part = Part(lambda: _units(planned, most), work, lambda: self._found, self._passed)
                for found in work_together(part, crew.kernels()):
                    for offset, extremes in found.items():
                        self._tell(offset, *extremes)
            source.check_unchanged()
            masks.check_unchanged()

    def _do(self, unit: _Unit, k: Kernels, source: Source, masks: MapSources, scratch: Scratch) -> None:
        k.reset()
        made, box = unit
        lens = self.step.fit.terms(self.step.rule.magnitude).lens
        piece = made.subject.piece.box([(side.low, side.high) for side in box])
        data, usable = self.desk.elements(source, masks, piece, k)
        kind = piece.dtype.compared
        values = native(lens.see(data, kind), lens.dtype(kind)).reshape(piece.view.shape)
        usable = None if usable is None else usable.reshape(values.shape)
        arena = self._arenas.setdefault(id(k), Arena())
        arena.reset()
        try:
            found = thresholds(values, usable, made.window, box, arena)
        except OverflowError as error:
            raise InputError(
                f"{made.subject.who} has no {made.source.text}: it is beyond what float64 holds",
                hint="scale the data, or give a number",
            ) from error
        modify(found, self.step.fit)
        low, high = float(np.fmin.reduce(found, axis=None)), float(np.fmax.reduce(found, axis=None))
        if self.step.rule.magnitude and low < 0:
            raise UsageError(
                f"{made.subject.who}: {made.source.text} is negative somewhere, and magnitudes never are",
                hint="--at-least 0 raises it",
            )
        if low <= high:
            self._tell(made.offset, low, high)
        _write(scratch, made.offset, found, box, made.subject.piece.view.shape)
        self._passed(unit)

    def _passed(self, unit: _Unit) -> None:
        if unit.map.told:
            self.desk.advance(math.prod(side.wanted for side in unit.box) * unit.map.subject.piece.dtype.itemsize)

    def _tell(self, offset: int, low: float, high: float) -> None:
        """Keep the extremes of a map; there are none where it is nothing but NaN."""
        with self._lock:
            known = self._found.get(offset, (low, high))
            self._found[offset] = min(low, known[0]), max(high, known[1])

    def _mapped(self, made: _Map, scratch: Scratch, fingerprint: tuple[int, ...]) -> Mapped:
        shape, order = made.subject.item.tensor.shape, made.subject.item.out.order
        view = View(made.offset, shape, row_major(shape), FLOAT64.itemsize).permuted(order)
        extremes = self._found.get(made.offset)
        return Mapped(made.source.text, scratch.path, fingerprint, FLOAT64, view, made=True, extremes=extremes)


def _units(planned: Sequence[_Map], most: int) -> Iterator[_Unit]:
    """The boxes of all maps; a scalar is one of a single axis."""
    for made in planned:
        shape = made.subject.piece.view.shape
        if math.prod(shape):
            yield from (_Unit(made, box) for box in cut(shape, made.window.reach, made.window.border, most))


def modify(found: Array, fit: Fit) -> None:
    """Thresholds in place, as `Fit.modified` says; those that are NaN stay so."""
    for number, change in (
        (fit.scale, np.multiply),
        (fit.offset, np.add),
        (fit.at_least, np.maximum),
        (fit.at_most, np.minimum),
    ):
        if number is not None:
            change(found, float(FLOAT64.value(FLOAT64.key(number.value))), out=found)


def _write(scratch: Scratch, offset: int, found: Array, box: Box, shape: tuple[int, ...]) -> None:
    """A box of a map, in as few stretches as it makes."""
    steps = row_major(shape)
    inner = len(shape)  # the axes from here on lie side by side
    while inner and (inner == len(shape) or found.shape[inner] == shape[inner]):
        inner -= 1
    for index in np.ndindex(*found.shape[:inner]):
        inside = (*index, *(0,) * (len(shape) - inner))
        first = sum((side.first + at) * step for side, at, step in zip(box, inside, steps, strict=True))
        scratch.write(offset + first * FLOAT64.itemsize, found[index].reshape(-1).data)
