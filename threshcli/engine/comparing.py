"""Whether a file that stands where an output would go is that output: its fixed bytes, and elements made once more.

Small files are made once more as a whole, larger ones in stretches that are spread evenly over each tensor, but for
those with rules that look at neighbours or with packed tensors. Tensors whose thresholds are not known are left out:
their names, dtypes, shapes and sizes are in the fixed bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from threshcli.engine.files import FileRun
from threshcli.engine.reading import Input, read_elements
from threshcli.engine.sizes import Progress, Settings
from threshcli.engine.tensor import TensorWork
from threshcli.engine.units import Unit, units_of
from threshcli.errors import InputError, OutputError
from threshcli.kernels.base import Kernels
from threshcli.plan.files import FilePlan, OutputPlan
from threshcli.plan.request import Request
from threshcli.plan.tensors import TensorPlan
from threshcli.stats import Counts
from threshcli.storage.local import Source
from threshcli.thresholds.base import Pending
from threshcli.tiles import Tile

WHOLE = 1 << 20
"""Bytes of an input up to which every element is made once more."""
_STRETCHES = 16  # of a tensor
_MOST = 256  # of a file, but for one at each end of a tensor
_ELEMENTS = 4096  # of a stretch


class _Silent(Progress):
    """Nobody watches."""

    def advance(self, nbytes: int) -> None:
        """Nothing was made."""


def different(what: str, path: str) -> OutputError:
    """The error of an output that exists, and is not the one that is asked for."""
    hint = "use --overwrite to make it again, or write to another folder"
    return OutputError(f"exists already, {what}", hint=hint, file=path)


class Witness:
    """An output that exists, in the place of one in the making: what would be written has to be there already."""

    def __init__(self, output: OutputPlan) -> None:
        try:
            self._source = Source(output.path)
        except InputError as error:
            raise different(f"and {error.what}", output.path) from error
        if self._source.size != output.skeleton.size:
            size = self._source.size
            self.close()
            raise different(f"with {size:,} bytes in place of {output.skeleton.size:,}", output.path)

    def hold(self) -> None:
        """Read all of it at once."""
        self._source.hold()

    def write(self, offset: int, data: memoryview | bytes) -> None:
        """OutputError unless these bytes are there."""
        if self._source.read(offset, len(data)) != data:
            raise different("with other values: it is of another input, or made in another way", self._source.name)

    def fixed(self, offset: int, data: bytes, holes: Sequence[int]) -> None:
        """OutputError unless these fixed bytes are there, but for checksums at the `holes`."""
        wanted, found = bytearray(data), bytearray(self._source.read(offset, len(data)))
        for hole in holes:
            for raw in (wanted, found):
                raw[hole - offset : hole - offset + 4] = bytes(4)
        if wanted != found:
            raise different("with another header: it is of other tensors, or made in another way", self._source.name)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that are there."""
        return self._source.read(offset, size)

    def close(self) -> None:
        self._source.close()


class Comparing(FileRun):
    """Does what a plan says, as far as is needed, and compares it with the outputs that exist."""

    def __init__(
        self, request: Request, plan: FilePlan, source: Input, settings: Settings, other: FilePlan | None = None
    ) -> None:
        """`other` is a second reading of the plan: each element has to be as one of the two has it."""
        chosen = tuple(item for item in plan.tensors if not _is_pending(item))
        kept = plan.kept.setdefault("comparing", {})
        settings = settings._replace(progress=_Silent())
        super().__init__(request, plan._replace(tensors=chosen, kept=kept), source, settings)
        self._others = {
            item.out.source: TensorWork(item, self._maps.open, means=False)
            for item in (other.tensors if other else ())
            if item.applied and not _is_pending(item)
        }

    def compare(self) -> None:
        """OutputError unless each output that exists is what would be written."""
        try:
            if self._light:
                self._source.hold()
            self._target = self._begin(self._plan.output)  # type: ignore[assignment]  # it only has to be met
            self._residual = self._begin(self._plan.residual)  # type: ignore[assignment]
            self._look_sideways()
            crew = self._settings.crew
            crew.run(self._compared(), self._do, alone=crew.copies or self._plan.size <= WHOLE)
            self._join_bits()
        finally:
            self._end()

    def _do(self, unit: Unit, k: Kernels) -> None:
        try:
            super()._do(unit, k)
        except OutputError:
            if unit.number is None or not self._is_either(self._plan.tensors[unit.number], unit.tile, k):
                raise

    def _is_either(self, plan: TensorPlan, tile: Tile, k: Kernels) -> bool:
        """Whether each element of a tile is there as one of the two readings has it, in the residual as well."""
        if plan.packed is not None or plan.out.source not in self._others:
            return False
        found = []
        for work in (self._work[plan.out.source], self._others[plan.out.source]):
            k.reset()
            raw = k.buffer(tile.count * plan.view.itemsize)
            read_elements(self._source, plan.view, tile.start, tile.stop, raw)
            made = work.tile(k, raw, tile, [Counts()], [plan.name])
            same = _same(self._target, plan.place, tile, made.out)
            found.append(same & _same(self._residual, plan.residual_place, tile, made.residual))
        return bool((found[0] | found[1]).all())

    def _begin(self, output: OutputPlan | None) -> Witness | None:  # type: ignore[override]
        if output is None or not output.replace:
            return None
        try:
            witness = Witness(output)
            self._ends.append(witness.close)
            if self._light:
                witness.hold()
            holes = sorted(place for checksum in output.skeleton.checksums for place in checksum.at)
            for offset, data in output.skeleton.segments:
                witness.fixed(offset, data, holes[bisect_left(holes, offset) : bisect_left(holes, offset + len(data))])
        except InputError as error:
            raise different(f"and {error.what}", output.path) from error
        return witness

    def _compared(self) -> Iterator[Unit]:
        if is_whole(self._plan):
            return units_of(self._plan, self._settings, self._inline, {})  # one by one: not all may be as they were
        return self._stretches()

    def _stretches(self) -> Iterator[Unit]:
        many = _stretches_of(len(self._plan.tensors))
        for number, item in enumerate(self._plan.tensors):
            if item.place is not None or item.applied:
                for tile in spread(item.view.elements, _ELEMENTS, many):
                    yield Unit(tile, number)
        copies = self._plan.output.skeleton.copies if self._plan.output else ()
        for copy in copies:
            for tile in spread(copy.size, _ELEMENTS, _stretches_of(len(copies))):
                yield Unit(Tile(copy.source + tile.start, copy.source + tile.stop), None, copy.target + tile.start)


def _same(there: Any, place: int | None, tile: Tile, made: memoryview | None) -> Any:
    """Which elements of a tile are in an output, if there is one."""
    if there is None or place is None or made is None:
        return np.ones(tile.count, bool)
    found = there.read(place + tile.start * (len(made) // tile.count), len(made))
    return (np.frombuffer(made, np.uint8) == np.frombuffer(found, np.uint8)).reshape(tile.count, -1).all(axis=1)


def _stretches_of(parts: int) -> int:
    """How many stretches are made once more of each of so many parts of a file."""
    return max(2, min(_STRETCHES, _MOST // max(1, parts)))


def spread(elements: int, size: int, many: int) -> Iterator[Tile]:
    """So many stretches of so many elements, spread evenly from the first to the last; all if they are no more."""
    if elements <= size * many:
        yield from (Tile(start, min(start + size, elements)) for start in range(0, elements, size))
        return
    for number in range(many):
        start = (elements - size) * number // (many - 1)
        yield Tile(start, start + size)


def is_whole(plan: FilePlan) -> bool:
    """Whether every element is to be made once more: where that is quickly done, or some cannot be made without all."""
    return plan.size <= WHOLE or any(map(_leans, plan.tensors))


def is_pending(plan: FilePlan) -> bool:
    """Whether thresholds of a plan are not worked out."""
    return any(map(_is_pending, plan.tensors))


def _is_pending(item: TensorPlan) -> bool:
    return any(isinstance(bound, Pending) for step in item.steps for bound in step.bounds.values())


def _leans(item: TensorPlan) -> bool:
    """Whether elements of a tensor lean on what lies outside of a stretch."""
    return item.applied and (item.packed is not None or any(step.rule.sideways for step in item.steps))
