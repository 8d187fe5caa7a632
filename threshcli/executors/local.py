"""The files of a call one after another on this machine; the tiles of each are shared by all workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from threshcli import __version__
from threshcli.engine.abreast import Steps, abreast, finish
from threshcli.engine.copies import possible
from threshcli.engine.crew import Crew
from threshcli.engine.files import FileRun
from threshcli.engine.measuring import Measuring
from threshcli.engine.outcome import file_result
from threshcli.engine.sizes import Progress, Settings, largest_tile, tile_bytes, workers
from threshcli.errors import OutputError, ThreshError, out_of_memory
from threshcli.executors.devices import kernels_for
from threshcli.executors.endings import failed, is_out_of_memory, not_done, skipped
from threshcli.executors.patterns import check_patterns, check_shared_by_all
from threshcli.executors.sharing import SMALL, Share, shares, together
from threshcli.kernels.base import Kernels
from threshcli.plan.alike import Planner
from threshcli.plan.files import FilePlan
from threshcli.plan.index import is_index
from threshcli.plan.maps import MapFiles
from threshcli.plan.names import Job
from threshcli.plan.opening import tensor_file
from threshcli.plan.provenance import recipe_of
from threshcli.plan.request import Request
from threshcli.results import FileResult, FileStatus, RunResult
from threshcli.storage.streams import Sink

if TYPE_CHECKING:
    from threshcli.executors.existing import Existing
    from threshcli.executors.fitting import Fitting, Number

Told = TypeVar("Told")

_AT_ONCE = 1 << 16  # bytes of files that are read whole, with their headers, by one call of the system


class Silent:
    """Progress that nobody watches."""

    def advance(self, nbytes: int) -> None:
        """Nothing to tell."""


class _Work(NamedTuple):
    """What the files of a call share: workers, maps, and who works out thresholds, if any are to be."""

    settings: Settings
    planner: Planner
    fitting: Fitting | None
    folders: list[str]
    """The latest ones that were made: the next file goes there too, mostly."""

    def alone(self, executor: Executor, make: Callable[[], Kernels], device: str, maps: MapFiles) -> _Work:
        """The same for one worker of several, each of which does whole files."""
        crew = Crew(1, make, copies=True)
        single = executor._work(crew, device, maps, strict=False)
        if self.fitting is None or single.fitting is None:
            return single
        return single._replace(fitting=replace(self.fitting, desk=single.fitting.desk))


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs a request file by file; a file that fails costs that file and no other."""

    request: Request
    progress: Progress = field(default_factory=Silent)
    done: Callable[[FileResult], None] | None = None
    """Told of each file as it ends."""
    kernels: tuple[str, Callable[[], Kernels]] | None = None
    """A device's name and its kernels, instead of those of the request."""
    solve_only: bool = False
    """Work out the thresholds and write nothing."""
    copies: bool = False
    """Whether the process is ours alone, so that workers may be copies of it."""
    fail_fast: bool = False
    """Whether the first failure is the end: the other files are not done."""
    part: bool = False
    """Whether there are more files in other calls: patterns may be for those."""
    stdout: Sink | None = None
    """Where an output called `-` goes."""

    def run(self, jobs: Sequence[Job]) -> RunResult:
        """Work on all files, and keep all results. UsageError only for what makes the whole call impossible."""
        began = time.perf_counter()
        results = []
        for result in self.each(jobs, lambda number, file: file):
            results.append(result)
            if self.done is not None:
                self.done(result)
        return self.about(time.perf_counter() - began, tuple(results))

    def about(self, seconds: float = 0.0, files: tuple[FileResult, ...] = ()) -> RunResult:
        """A call that took so long, with these results."""
        return RunResult(
            version=__version__,
            command=self.request.command,
            operator=self.request.operator,
            decides=self.request.decides,
            params=self.request.params() or self._recipe() or {},
            recipe=self._recipe(),
            device=self._device()[0],
            files=files,
            seconds=seconds,
        )

    def _recipe(self) -> dict[str, object] | None:
        """What does the same again, where rules are applied."""
        applies = bool(self.request.entries) and self.request.command != "solve"
        return recipe_of(self.request, folders=True) if applies else None

    def _device(self) -> tuple[str, Callable[[], Kernels]]:
        return self.kernels or kernels_for(self.request.device)

    def each(self, jobs: Sequence[Job], tell: Callable[[int, FileResult], Told]) -> Iterator[Told]:
        """Work on all files, one after another, and give what `tell` makes of each result and its number, in order.
        Nothing else is kept. `tell` may be called in a copy of this process, and changes nothing."""
        device, make = self._device()
        if self.request.names.out_dir is not None and not self.request.names.dry_run:
            make_folder(self.request.names.out_dir)
        if not self.part:
            check_patterns(self.request, jobs)
        own = device == "cpu" and self.copies and possible()
        crew = Crew(workers(self.request, device), make, copies=own)
        with ExitStack() as stack:
            maps = MapFiles()
            stack.callback(maps.close)
            if self._plans_only:
                check_shared_by_all(self.request, jobs, maps)
            work = self._work(crew, device, maps, strict=len(jobs) == 1 and not self.part)
            if work.fitting is not None and work.fitting.is_shared:
                work.fitting.share_all(jobs, stack)
            single, count, stopped = None, 0, False
            several = own and not self._plans_only and not self.fail_fast
            for share in shares(jobs, crew.size if several else 1, alone=self.fail_fast):
                if not share.sizes:
                    for result in map(not_done, share.jobs) if stopped else self._results(share, work):
                        stopped |= self.fail_fast and result.status == "failed"
                        yield tell(count, result)
                        count += 1
                    continue
                single = single or work.alone(self, make, device, maps)
                yield from self._together(share, work, single, partial(_later, tell, count - share.start))
                count += len(share.jobs)

    def _together(
        self, share: Share, work: _Work, single: _Work, tell: Callable[[int, FileResult], Told]
    ) -> Iterator[Told]:
        """A share of small files, done by all workers."""
        yield from together(
            share,
            work.settings.crew.kernels(),
            lambda number, job: self._attempt(job, single, (number, 0)),
            tell,
            lambda size: self.progress.advance(size * self.request.passes),
        )

    def _work(self, crew: Crew, device: str, maps: MapFiles, *, strict: bool) -> _Work:
        """What is shared by the files that are done by these workers."""
        sizes = tile_bytes(self.request, device), largest_tile(self.request, device)
        settings = Settings(crew, *sizes, self.progress, self.stdout)
        planner = Planner(self.request, maps, strict=strict)
        return _Work(settings, planner, self._fitting(settings, device, maps), [])

    @property
    def _plans_only(self) -> bool:
        return self.request.names.dry_run and not self.solve_only

    def _fitting(self, settings: Settings, device: str, maps: MapFiles) -> Fitting | None:
        """Who works thresholds out, with NumPy whatever the device: the data comes from a file."""
        if not self.request.is_fitted or self._plans_only:
            return None
        from threshcli.engine.studying import Desk
        from threshcli.executors.fitting import Fitting
        from threshcli.kernels.numpy import NumpyKernels

        own = device == "cpu" and self.kernels is None
        crew = settings.crew if own else Crew(settings.crew.size, NumpyKernels)
        tile_bytes, told = min(settings.tile_bytes, 1 << 21), settings.progress.advance
        return Fitting(self.request, Desk(crew, tile_bytes, verify=self.solve_only, advance=told), maps)

    def _results(self, share: Share, work: _Work) -> Iterator[FileResult]:
        """What becomes of inputs, in order: one result each, or several of a checkpoint that an index stands for."""
        if is_index(share.jobs[0].input):
            return self._checkpoint(share.jobs[0], work, share.start)
        return abreast(self._attempt(job, work, (number, 0)) for number, job in enumerate(share.jobs, share.start))

    def _checkpoint(self, job: Job, work: _Work, number: int) -> Iterator[FileResult]:
        """What becomes of the files that an index stands for."""
        from threshcli.executors.checkpoint import CheckpointRun

        with ExitStack() as stack:
            yield from CheckpointRun(
                self.request,
                job,
                work.planner.maps,
                attempt=lambda shard, part: finish(self._attempt(shard, work, (number, part))),
                share=lambda shards: work.fitting.share_checkpoint(number, shards, stack) if work.fitting else None,
                status="read" if self.solve_only else "dry-run" if self._plans_only else "written",
                strict=work.planner.strict,
                renames=self._renames,
            ).results()

    @property
    def _renames(self) -> bool:
        """Whether outputs may have tensors of other names than inputs."""
        return self.request.packing is not None

    def _attempt(self, job: Job, work: _Work, number: Number) -> Steps[FileResult]:
        try:
            return (yield from self._file(job, work, number))
        except ThreshError as error:
            return failed(job, error)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return failed(job, out_of_memory())

    def _file(self, job: Job, work: _Work, number: Number) -> Steps[FileResult]:
        began = time.perf_counter()
        fitting = work.fitting
        with ExitStack() as stack:
            source = stack.enter_context(tensor_file(job.input) if fitting is None else fitting.source(job))
            if source.size <= _AT_ONCE and not self._plans_only:
                source.hold()
            began += yield source.size <= SMALL
            job = self.request.names.known(job, source)
            plan = work.planner.plan(job, source)
            existing = self._existing(plan, work, number)
            waits = existing is not None and not self._plans_only and existing.can_wait(plan)
            if existing is not None and not waits and existing.is_done(plan, source):
                return skipped(job)
            if self._plans_only:
                return self._planned(plan, began, "dry-run")
            known = None
            if fitting is not None:
                known = fitting.known(number, plan, source, stack)
                plan = work.planner.plan(job, source, known)
                for place in self.request.later_places:
                    known = {**known, **fitting.later(place, plan, source, stack)}
                    plan = work.planner.plan(job, source, known)
            if self.solve_only:
                return self._planned(plan, began, "read")
            if plan.unmeasured:
                measured = Measuring(self.request, plan, source, work.settings).measured()
                plan = work.planner.plan(job, source, known, measured)
            if existing is not None and waits and existing.is_done(plan, source):
                return skipped(job)
            self._make_folders(plan, work)
            return (yield from FileRun(self.request, plan, source, work.settings).steps(began))

    def _existing(self, plan: FilePlan, work: _Work, number: Number) -> Existing | None:
        """Who knows whether the outputs of a file are there already, if that is of interest."""
        outputs = (plan.output, plan.residual)
        if not self.request.skip_existing or not any(output is not None and output.replace for output in outputs):
            return None
        from threshcli.executors.existing import Existing

        shared = work.fitting is not None and work.fitting.has(number)
        return Existing(self.request, work.planner, work.settings, shared)

    def _make_folders(self, plan: FilePlan, work: _Work) -> None:
        """Those of the outputs, where their names come from the inputs' folders."""
        for output in (plan.output, plan.residual):
            beside = None if output is None else output.beside
            folder = "" if beside is None else beside[: beside.rfind("/") + 1]
            if folder and folder not in work.folders and self.request.names.makes_folders:
                make_folder(folder)
                work.folders[:] = [folder, *work.folders[:1]]

    def _planned(self, plan: FilePlan, began: float, status: FileStatus) -> FileResult:
        seconds = time.perf_counter() - began
        return file_result(plan, None, seconds, status=status, moments=False)


def _later(tell: Callable[[int, FileResult], Told], by: int, number: int, file: FileResult) -> Told:
    """What is told of the result of a job: those before may have had more than one."""
    return tell(number + by, file)


def make_folder(path: str) -> None:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be made a folder: {error.strerror}", file=path) from error
