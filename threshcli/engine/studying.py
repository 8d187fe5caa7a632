"""Studies at work: passes over a population with all workers, until each study has its answer."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np

from threshcli import containers
from threshcli.containers.base import Region
from threshcli.engine.crew import Crew
from threshcli.engine.ledger import crc_of, require
from threshcli.engine.maps import MapSources
from threshcli.engine.population import Piece, Population, Stretch
from threshcli.engine.reading import Bytes, read_elements
from threshcli.errors import InputError, ThreshError
from threshcli.kernels import _numpy_complex as pairs
from threshcli.kernels import _numpy_convert as convert
from threshcli.kernels.base import Kernels
from threshcli.storage.local import Source
from threshcli.studies.base import VALUE, Array, Fold, Sample, Study, run_in_memory
from threshcli.tiles import Tile, tile_elements

_ALONE = 1 << 21  # bytes under which a second thread costs more than it gains
_GROUP = 1 << 23  # bytes of slices along an axis that are read together

Folds = Sequence[Fold[Any]]


def _nobody(nbytes: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where studies are done: the workers (their kernels are NumPy's), the bytes of a tile, whether zeros are left out,
    and whether stored checksums are to be compared since nobody else reads all the data."""

    crew: Crew
    tile_bytes: int
    ignore_zero: bool = False
    verify: bool = False
    advance: Callable[[int], None] = _nobody
    """Told of bytes that are read, those of the first pass over everything."""
    unchecked: dict[tuple[str, tuple[int, ...]], list[Region]] = field(default_factory=dict)
    """Of files that were looked at, the regions whose checksums have not been compared yet, in order."""

    def answers(self, population: Population, studies: Sequence[Study[Any]], who: str) -> list[Any]:
        """The answers of studies that look at one population; a pass serves all that are still at work. An InputError
        of a study itself is said of `who`."""
        if self.verify:
            self.check_stored(population)
        found: list[Any] = [None] * len(studies)
        due: dict[int, Fold[Any]] = {}
        states: dict[int, Any] = dict.fromkeys(range(len(studies)))
        advance = self.advance
        while states:
            for number, state in states.items():
                try:
                    due[number] = studies[number].send(state)
                except StopIteration as ended:
                    found[number] = ended.value
                    due.pop(number, None)
                except InputError as error:
                    raise InputError(f"{who} {error.what}", hint=error.hint) from error
            folds = list(dict.fromkeys(due.values()))  # studies that ask the same share the work
            total = dict(zip(folds, self._pass(population, folds, advance), strict=True))
            states = {number: _handed_out(fold, total, list(due.values())) for number, fold in due.items()}
            if any(fold.stretches(population.elements) is None for fold in folds):
                advance = _nobody
        return found

    def _pass(self, population: Population, folds: Folds, advance: Callable[[int], None]) -> list[Any]:
        """The state of each fold over the population. Files are opened one after the other, however many there are."""
        total = [fold.nothing(population.dtype) for fold in folds]
        widest = max([max(piece.dtype.itemsize, piece.view.itemsize) for piece in population.pieces], default=1)
        size = tile_elements(self.tile_bytes, widest)
        whole = [number for number, fold in enumerate(folds) if fold.stretches(population.elements) is None]
        if whole:
            told = replace(self, advance=advance)
            told._read(population, population.everything(size), folds, whole, total, alone=False)
        for number, fold in enumerate(folds):
            ends = fold.stretches(population.elements)
            if ends is not None:
                told, some = replace(self, advance=_nobody), population.some(ends, size)
                told._read(population, some, folds, [number], total, alone=True)
        return total

    def _read(
        self,
        population: Population,
        stretches: Iterator[Stretch],
        folds: Folds,
        wanted: list[int],
        total: list[Any],
        *,
        alone: bool,
    ) -> None:
        """Add the states of some folds over these stretches to `total`. Samples are read `alone`: two workers would
        spend more time on taking turns at the interpreter than on the few elements of each stretch."""
        small = population.elements * population.dtype.itemsize < _ALONE
        for (path, file), several in groupby(stretches, key=lambda item: (item.piece.path, item.piece.file)):
            states: dict[int, list[Any]] = {}

            def fold_one(stretch: Stretch, k: Kernels, states: dict[int, list[Any]] = states) -> None:
                own = states.setdefault(id(k), [folds[number].nothing(population.dtype) for number in wanted])
                k.reset()
                sample = self._sample(source, maps, stretch, k, population)
                for place, number in enumerate(wanted):
                    own[place] = folds[number].add(own[place], folds[number].fold(sample))
                self.advance(stretch.tile.count * stretch.piece.dtype.itemsize)

            try:
                with Source(path) as source, MapSources() as maps:
                    self.crew.run(several, fold_one, alone=alone or small or source.size < _ALONE)
                    source.check_unchanged()
                    maps.check_unchanged()
            except ThreshError as error:
                error.located(file)
                raise
            for own in states.values():
                for place, number in enumerate(wanted):
                    total[number] = folds[number].add(total[number], own[place])

    def _sample(self, source: Source, maps: MapSources, stretch: Stretch, k: Kernels, population: Population) -> Sample:
        piece, tile = stretch.piece, stretch.tile
        if source.fingerprint != piece.fingerprint:
            raise InputError("changed while it was read", hint="run it again")
        data = _elements(source, piece, tile, k)
        mask = self._mask(maps, piece, tile, k, data)

        def room(count: int, kind: Any) -> Array:
            found: Array = np.frombuffer(k.buffer(count * np.dtype(kind).itemsize), kind)
            return found

        own = piece.dtype.compared
        if own is not population.dtype:
            data = convert.cast(VALUE.see(data, own, room), own, population.dtype)
        return Sample(data, population.dtype, stretch.position, mask, room)

    def _mask(self, maps: MapSources, piece: Piece, tile: Tile, k: Kernels, data: Array) -> Array | None:
        """Which of these elements belong to the population; None for all."""
        mask: Array | None = None
        if self.ignore_zero:
            own = piece.dtype.compared
            mask = convert.native(VALUE.see(data, own), own) != 0
        if piece.mask is not None:
            bound = piece.mask
            other = Piece(bound.path, bound.path, bound.fingerprint, bound.view, bound.dtype)
            wanted = convert.native(_elements(maps.open(bound), other, tile, k), bound.dtype) != 0
            mask = wanted if mask is None else mask & wanted
        return mask

    def elements(self, source: Source, maps: MapSources, piece: Piece, k: Kernels) -> tuple[Array, Array | None]:
        """All elements of a piece, as they are stored, and which of them belong to the population; None for all."""
        tile = Tile(0, piece.view.elements)
        data = _elements(source, piece, tile, k)
        return data, self._mask(maps, piece, tile, k, data)

    def slices(self, piece: Piece, axis: int, begin: Callable[[], list[Study[Any]]], who: str) -> list[list[Any]]:
        """For each index along an axis the answers of its studies, which `begin` makes when its turn comes. Slices are
        read many at a time and studied in memory; those that are too large for that, one by one like tensors."""
        if self.verify:
            self.check_stored(Population([piece]))
        desk, count, kind = replace(self, verify=False), piece.view.shape[axis], piece.dtype.compared
        slice_bytes = piece.view.elements // max(1, count) * piece.dtype.itemsize
        if slice_bytes > _GROUP:
            return [
                desk.answers(
                    Population([piece.slices(axis, index, 1)]), begin(), f"{who} at index {index} of axis {axis}"
                )
                for index in range(count)
            ]
        many = max(1, _GROUP // max(1, slice_bytes))
        groups = iter([range(first, min(first + many, count)) for first in range(0, count, many)])
        found: dict[int, list[Any]] = {}
        with Source(piece.path) as source, MapSources() as maps:

            def study_group(group: range, k: Kernels) -> None:
                k.reset()
                part = piece.slices(axis, group.start, len(group))
                data, mask = self.elements(source, maps, part, k)
                data = data.reshape(len(group), -1)
                masks = [None] * len(group) if mask is None else mask.reshape(data.shape)
                for number, index in enumerate(group):
                    studies = begin()
                    try:
                        own = [run_in_memory(one, data[number], kind, masks[number]) for one in studies]
                    except InputError as error:
                        where = f"{who} at index {index} of axis {axis}"
                        raise InputError(f"{where} {error.what}", hint=error.hint) from error
                    found[index] = own
                self.advance(part.view.elements * piece.dtype.itemsize)

            self.crew.run(groups, study_group, alone=piece.view.elements * piece.dtype.itemsize < _ALONE)
            source.check_unchanged()
        return [found[index] for index in range(count)]

    def check_stored(self, population: Population) -> None:
        """Compare the stored CRC-32, where the container has any, of all that is read: once, however often it is."""
        for (path, file), pieces in groupby(population.pieces, key=lambda piece: (piece.path, piece.file)):
            offsets = sorted({piece.view.offset for piece in pieces})
            try:
                with Source(path) as source:
                    known = path, source.fingerprint
                    if known not in self.unchecked:
                        self.unchecked[known] = sorted(containers.identify(source).read(source).regions)
                    regions = self.unchecked[known]
                    for offset in offsets:
                        at = bisect_right(regions, offset, key=lambda region: region.offset) - 1
                        if at >= 0 and offset < regions[at].offset + regions[at].size:
                            require(regions[at], crc_of(source.read, regions[at]))
                            del regions[at]
            except ThreshError as error:
                error.located(file)
                raise


def _handed_out(fold: Fold[Any], total: dict[Fold[Any], Any], due: list[Fold[Any]]) -> Any:
    """A fold's state for one study, which may alter it: a copy where others are to have it too."""
    return copy.deepcopy(total[fold]) if due.count(fold) > 1 else total.pop(fold)


def _elements(source: Bytes, piece: Piece, tile: Tile, k: Kernels) -> Array:
    """Elements of a piece as `Lens.see` wants them stored."""
    raw = k.buffer(tile.count * piece.view.itemsize)
    read_elements(source, piece.view, tile.start, tile.stop, raw)
    if piece.before is None:
        block = k.load(raw, piece.dtype.compared, swapped=piece.view.swapped)
    else:
        block = piece.before.made(k, raw, tile)
    found: Array = np.asarray(block.data)
    return found if piece.dtype.part is None else pairs.elements(found, piece.dtype)
