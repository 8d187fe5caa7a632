"""Whether a file that stands where an output would go is that output: its fixed bytes, and elements made once more.

Small files are made once more as a whole, larger ones in stretches that are spread evenly over each tensor. What cannot
be made in stretches (thresholds that are not worked out, rules that look at neighbours, packed tensors) is left out of
those: its names, dtypes, shapes and sizes are in the fixed bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from threshcli.engine.files import FileRun, Input
from threshcli.engine.sizes import Progress, Settings
from threshcli.engine.units import Unit
from threshcli.errors import InputError, OutputError
from threshcli.plan.files import FilePlan, OutputPlan
from threshcli.plan.request import Request
from threshcli.plan.tensors import TensorPlan
from threshcli.storage.local import Source
from threshcli.thresholds.base import Pending
from threshcli.tiles import Tile

WHOLE = 1 << 20
"""Bytes of an input up to which every element is made once more."""
WORKED_OUT = 1 << 23
"""The same, where elements cannot be made in stretches."""
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

    def close(self) -> None:
        self._source.close()


class Comparing(FileRun):
    """Does what a plan says, as far as is needed, and compares it with the outputs that exist."""

    def __init__(self, request: Request, plan: FilePlan, source: Input, settings: Settings) -> None:
        chosen = plan.tensors if is_whole(plan) else tuple(item for item in plan.tensors if not _leans(item))
        kept = plan.kept.setdefault("comparing", {})
        settings = settings._replace(progress=_Silent())
        super().__init__(request, plan._replace(tensors=chosen, kept=kept), source, settings)

    def compare(self) -> None:
        """OutputError unless each output that exists is what would be written."""
        with ExitStack() as stack:
            stack.enter_context(self._maps)
            if self._light:
                self._source.hold()
            self._target = self._begin(self._plan.output, stack)  # type: ignore[assignment]  # it only has to be met
            self._residual = self._begin(self._plan.residual, stack)  # type: ignore[assignment]
            self._look_sideways(stack)
            self._settings.crew.run(self._compared(), self._do, alone=True)
            self._join_bits()

    def _begin(self, output: OutputPlan | None, stack: ExitStack) -> Witness | None:  # type: ignore[override]
        if output is None or not output.replace:
            return None
        try:
            witness = Witness(output)
            stack.callback(witness.close)
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
            return self._units()
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
    """Whether every element of a file is to be made once more."""
    if is_pending(plan):
        return False
    return not plan.unmeasured and plan.size <= (WORKED_OUT if any(map(_leans, plan.tensors)) else WHOLE)


def is_pending(plan: FilePlan) -> bool:
    """Whether thresholds of a plan are not worked out."""
    return any(map(_is_pending, plan.tensors))


def _is_pending(item: TensorPlan) -> bool:
    return any(isinstance(bound, Pending) for step in item.steps for bound in step.bounds.values())


def _leans(item: TensorPlan) -> bool:
    """Whether elements of a tensor lean on what lies outside of a stretch, or on what is not known yet."""
    if not item.applied:
        return False
    sideways = any(step.rule.sideways for step in item.steps)
    return sideways or item.packed is not None or _is_pending(item)
