"""One file: its units of work, its checksums, its output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple, TypeVar

from threshcli.engine.abreast import Steps
from threshcli.engine.copies import Part, work_together
from threshcli.engine.doing import Doing, Output
from threshcli.engine.ledger import Ledger, crc_of
from threshcli.engine.maps import MapSources
from threshcli.engine.outcome import file_result
from threshcli.engine.reading import Input
from threshcli.engine.sizes import Settings
from threshcli.engine.tensor import TensorWork, by_plan, works_of
from threshcli.engine.together import Party
from threshcli.engine.units import Unit, checked_inline, units_of
from threshcli.plan.files import FilePlan, OutputPlan
from threshcli.plan.request import Request
from threshcli.results import FileResult
from threshcli.stats import Counts
from threshcli.storage.local import Target
from threshcli.storage.streams import Stream
from threshcli.thresholds.base import Mapped

T = TypeVar("T")
_LIGHT = 1 << 16  # bytes of a tensor, on an average, under which calls of the system take longer than its elements
_ALONE = 1 << 21  # files up to so many bytes are not worth a second thread
_TOGETHER = 1 << 23  # files under so many bytes are not worth another process


class _Found(NamedTuple):
    """What a process has found in the units that it did."""

    counts: dict[tuple[int, int], Counts]
    read: Ledger
    written: Ledger
    left: Ledger
    met: list[tuple[int, int]]


class FileRun(Doing):
    """The work on one planned file."""

    def __init__(self, request: Request, plan: FilePlan, source: Input, settings: Settings) -> None:
        super().__init__(plan, source, settings)
        self._request = request
        self._maps = MapSources()
        self._ends: list[Callable[[], object]] = [self._maps.close]
        self._alike = self._shared("alike", lambda: by_plan(plan.tensors), alike=True)
        self._work: dict[int, TensorWork] = self._shared("work", self._works, self._alike)
        self._parties: tuple[Party, ...] = ()
        self.worked = False
        self._inline = checked_inline(plan) if plan.contents.regions else {}
        self._by_several = settings.crew.copies and settings.crew.size > 1 and plan.size >= _TOGETHER
        light = plan.size <= _LIGHT * len(plan.tensors) and plan.size <= settings.largest_tile
        self._light = light and not self._by_several  # what one process holds in memory no other can write to

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
            self._wait()
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

    def _all_units(self) -> Sequence[Unit]:
        """The units, in a list that serves all files that are planned alike."""
        return self._shared("units", lambda: list(self._units()), alike=True)

    def _wait(self) -> None:
        """Wait for the work on files alike, where they are so small that it is done for all of them."""
        if self._light and self._alike and self._plan.size <= _ALONE:
            self._parties = self._shared("parties", self._party, alike=True)
            for party in self._parties:
                party.join(self)

    def _party(self) -> tuple[Party, ...]:
        """Where files alike meet: those whose elements are one unit that a rule is applied to."""
        units = self._all_units()
        if len(units) > 1 or self._inline:
            return ()
        numbers = [unit.number for unit in units if unit.number is not None]
        applied = [plan for plan in (self._plan.tensors[number] for number in numbers) if plan.applied]
        return tuple(Party(units[0], self._work[plan.out.source], plan.view.itemsize) for plan in applied)

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
            if not any(party.work(self, crew) for party in self._parties):  # there is one at most
                crew.run(iter(self._all_units()), self._do, alone=True)
            return
        if not self._by_several:
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
