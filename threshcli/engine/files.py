"""One file: its units of work, its checksums, its output."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple, TypeVar

from threshcli.engine.abreast import Steps
from threshcli.engine.copies import Part, work_together
from threshcli.engine.ledger import Ledger, crc_of, require
from threshcli.engine.maps import MapSources
from threshcli.engine.outcome import file_result
from threshcli.engine.reading import Input, read_elements
from threshcli.engine.sizes import Settings
from threshcli.engine.tensor import TensorWork, by_plan, works_of
from threshcli.engine.units import Unit, checked_inline, units_of
from threshcli.kernels.base import Kernels
from threshcli.packings.base import Piece
from threshcli.plan.files import FilePlan, OutputPlan
from threshcli.plan.request import Request
from threshcli.plan.tensors import TensorPlan
from threshcli.results import FileResult
from threshcli.stats import Counts
from threshcli.storage.local import Target
from threshcli.storage.streams import Stream
from threshcli.thresholds.base import Mapped
from threshcli.tiles import Tile

T = TypeVar("T")
_LIGHT = 1 << 16  # bytes of a tensor, on an average, under which calls of the system take longer than its elements
_ALONE = 1 << 21  # files up to so many bytes are not worth a second thread
_TOGETHER = 1 << 23  # files under so many bytes are not worth another process

Output = Target | Stream


class _Found(NamedTuple):
    """What a process has found in the units that it did."""

    counts: dict[tuple[int, int], Counts]
    read: Ledger
    written: Ledger
    left: Ledger
    met: list[tuple[int, int]]


class FileRun:
    """The work on one planned file."""

    def __init__(self, request: Request, plan: FilePlan, source: Input, settings: Settings) -> None:
        self._request, self._plan, self._source, self._settings = request, plan, source, settings
        self._counts: dict[tuple[int, int], Counts] = {}
        self._read, self._written, self._left = Ledger(), Ledger(), Ledger()
        self._met: list[tuple[int, int]] = []  # bytes of packed tensors in which bits of several tiles are to lie
        self._maps = MapSources()
        self._ends: list[Callable[[], object]] = [self._maps.close]
        alike = self._shared("alike", lambda: by_plan(plan.tensors), alike=True)
        self._work: dict[int, TensorWork] = self._shared("work", self._works, alike)
        self._inline = checked_inline(plan) if plan.contents.regions else {}
        self._light = plan.size <= _LIGHT * len(plan.tensors) and plan.size <= settings.largest_tile
        self._target: Output | None = None
        self._residual: Output | None = None

    def _shared(self, name: str, make: Callable[[], T], alike: bool) -> T:
        """What is made once for all files that are planned alike."""
        found: T | None = self._plan.kept.get(name) if alike else None
        if found is None:
            found = make()
            if alike:
                self._plan.kept[name] = found
        return found

    def _works(self) -> dict[int, TensorWork]:
        return works_of(self._plan.tensors, self._maps.open, means=self._request.moments)

    def steps(self, began: float) -> Steps[FileResult]:
        """Do it: the output is complete at the end, and absent if it raises. `began` is a perf_counter."""
        light = self._light  # all that it needs is in memory
        try:
            if light:
                self._source.hold()
            self._target = self._begin(self._plan.output)
            self._residual = self._begin(self._plan.residual)
            sidecar = self._begin(self._plan.sidecar)
            began += yield light
            self._look_sideways()
            self._work_all()
            began += yield light
            self._check_regions()
            self._source.check_unchanged()
            self._maps.check_unchanged()
            self._join_bits()
            self._finish(self._plan.sidecar, sidecar, Ledger())
            self._finish(self._plan.residual, self._residual, self._left)
            self._finish(self._plan.output, self._target, self._written)
        finally:
            self._end()
        began += yield light
        seconds = time.perf_counter() - began
        return file_result(self._plan, self._summed(), seconds, status="written", moments=self._request.moments)

    def _end(self) -> None:
        """Let go of all that was open, the latest first; whatever goes wrong with one, the others are let go of."""
        while self._ends:
            try:
                self._ends.pop()()
            except BaseException:
                self._end()
                raise

    def _look_sideways(self) -> None:
        """For rules that do, make the masks of what they select, or get ready to."""
        for step in self._request.steps:
            if not step.rule.sideways:
                continue
            from threshcli.engine.beside import Job, prepare

            stack = ExitStack()
            self._ends.append(stack.close)
            job = Job.of(step, self._request.max_memory, self._plan, self._source, self._maps.open, self._settings)
            own = [item for plan in self._plan.tensors for item in plan.steps if item.step is step]
            for number, (beside, counts) in prepare(job, own, stack).items():
                self._work[number].beside = beside
                self._counts[number, 0] = counts

    def _work_all(self) -> None:
        crew, size = self._settings.crew, self._plan.size
        if size <= _ALONE:
            crew.run(iter(self._shared("units", lambda: list(self._units()), alike=True)), self._do, alone=True)
            return
        if not crew.copies or crew.size < 2 or size < _TOGETHER:
            crew.run(self._units(), self._do, alone=crew.copies)
            return
        bounds = (bound for item in self._plan.tensors if item.applied for bound in item.bounds.values())
        for mapped in (bound for bound in bounds if isinstance(bound, Mapped)):
            self._maps.open(mapped)  # once for all processes
        for target in (self._target, self._residual):
            if target is not None:
                target.take_turns()
        for found in work_together(Part(self._units, self._do, self._found, self._passed), crew.kernels()):
            self._add(found)

    def _found(self) -> _Found:
        return _Found(self._counts, self._read, self._written, self._left, self._met)

    def _add(self, found: _Found) -> None:
        """Add what another process has found."""
        self._counts |= found.counts
        self._read.merge(found.read)
        self._written.merge(found.written)
        self._left.merge(found.left)
        self._met += found.met

    def _passed(self, unit: Unit) -> None:
        """Tell of the progress that another process has made, or is about to make."""
        if unit.number is not None:
            self._settings.progress.advance(unit.tile.count * self._plan.tensors[unit.number].view.itemsize)
        elif unit.target is not None:
            self._settings.progress.advance(unit.tile.count)

    def _summed(self) -> dict[int, Counts]:
        """The counts of each tensor, over all workers."""
        total: dict[int, Counts] = {}
        for (source, _), counts in self._counts.items():
            if source in total:
                total[source].merge(counts)
            else:
                total[source] = counts
        return total

    def _begin(self, output: OutputPlan | None) -> Output | None:
        if output is None:
            return None
        size, held = output.skeleton.size, self._light and output.skeleton.size <= self._settings.largest_tile
        target: Output
        if output.stream:
            target = Stream(output.path, size, self._settings.stdout)
        else:
            target = Target(output.path, size, replace=output.replace, fsync=output.fsync, held=held)
        self._ends.append(target.discard)
        for offset, data in output.skeleton.segments:
            target.write(offset, data)
        return target

    def _finish(self, output: OutputPlan | None, target: Output | None, ledger: Ledger) -> None:
        if output is None or target is None:
            return
        checksums = output.skeleton.checksums
        for checksum, known in zip(checksums, ledger.crcs(checksums), strict=True):
            crc = crc_of(target.read, checksum) if known is None else known
            for place in checksum.at:
                target.write(place, crc.to_bytes(4, "little"))
        target.commit()

    def _units(self) -> Iterator[Unit]:
        return units_of(self._plan, self._settings, self._inline, self._work)

    def _do(self, unit: Unit, k: Kernels) -> None:
        k.reset()
        if unit.number is None:
            self._copy(unit, k)
            return
        plan, tile = self._plan.tensors[unit.number], unit.tile
        nbytes = tile.count * plan.view.itemsize
        raw = k.buffer(nbytes)
        read_elements(self._source, plan.view, tile.start, tile.stop, raw)
        crc = None
        if plan.out.source in self._inline:
            crc = zlib.crc32(raw)
            self._read.add(plan.view.offset + tile.start * plan.view.itemsize, nbytes, crc)
        if plan.applied:
            alike = self._plan.tensors[unit.number : unit.number + unit.many]
            counts, names = [self._counts_of(item, k) for item in alike], [item.name for item in alike]
            worked = self._work[plan.out.source].tile(k, raw, tile, counts, names)
            if plan.packed is not None:
                self._write_packed(plan, plan.packed.pieces(tile, worked.out))
            else:
                self._write(self._target, self._plan.output, self._written, plan.place, tile, worked.out)
            if worked.residual is not None:
                self._write(self._residual, self._plan.residual, self._left, plan.residual_place, tile, worked.residual)
        else:
            if plan.view.swapped and not plan.out.swapped:
                raw, crc = k.store(k.load(raw, plan.tensor.dtype.compared, swapped=True)), None
            self._write(self._target, self._plan.output, self._written, plan.place, tile, raw, crc)
        self._settings.progress.advance(nbytes)

    def _counts_of(self, plan: TensorPlan, k: Kernels) -> Counts:
        """The counts of a tensor: each worker counts for itself."""
        key = plan.out.source, id(k)
        found = self._counts.get(key)
        return self._counts.setdefault(key, Counts()) if found is None else found

    def _copy(self, unit: Unit, k: Kernels) -> None:
        """Bytes that are copied as they are, or only checked."""
        raw = k.buffer(unit.tile.count)
        self._source.read_into(unit.tile.start, raw)
        crc = zlib.crc32(raw)
        self._read.add(unit.tile.start, unit.tile.count, crc)
        if unit.target is not None and self._target is not None:
            self._target.write(unit.target, raw)
            self._written.add(unit.target, unit.tile.count, crc)
            self._settings.progress.advance(unit.tile.count)

    def _write(
        self,
        target: Output | None,
        output: OutputPlan | None,
        ledger: Ledger,
        place: int | None,
        tile: Tile,
        data: memoryview,
        crc: int | None = None,
    ) -> None:
        if target is None or output is None or place is None:
            return
        offset = place + tile.start * (len(data) // tile.count)
        target.write(offset, data)
        if output.skeleton.checksums:
            ledger.add(offset, len(data), zlib.crc32(data) if crc is None else crc)

    def _write_packed(self, plan: TensorPlan, pieces: Iterator[Piece]) -> None:
        """What is stored of a tile of a packed tensor."""
        if self._target is None or self._plan.output is None:
            return
        for piece in pieces:
            offset = plan.places[piece.part] + piece.offset
            if piece.shared:
                self._met.append((offset, piece.data[0]))
                continue
            self._target.write(offset, piece.data)
            if self._plan.output.skeleton.checksums:
                self._written.add(offset, len(piece.data), zlib.crc32(piece.data))

    def _join_bits(self) -> None:
        """What packed tensors hold besides the pieces of their tiles: constants, and bytes in which tiles meet."""
        if self._target is None:
            return
        for plan in self._plan.tensors:
            if plan.packed is not None:
                self._write_packed(plan, plan.packed.constants())
        joined: dict[int, int] = {}
        for offset, bits in self._met:
            joined[offset] = joined.get(offset, 0) | bits
        for offset, bits in joined.items():
            self._target.write(offset, bytes((bits,)))

    def _check_regions(self) -> None:
        regions = self._plan.contents.regions
        for region, crc in zip(regions, self._read.crcs(regions), strict=True):
            require(region, crc)
