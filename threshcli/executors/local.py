"""The files of a call one after another on this machine; the tiles of each are shared by all workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from threshcli import __version__
from threshcli.engine.crew import Crew
from threshcli.engine.files import FileRun, Progress, Settings, largest_tile, tile_bytes, workers
from threshcli.engine.outcome import file_result
from threshcli.engine.solving import Planned, Solver
from threshcli.engine.studying import Desk
from threshcli.errors import DeviceError, OutputError, ThreshError
from threshcli.kernels.base import Kernels
from threshcli.plan.files import FilePlan, MapFiles, plan_file, read_header
from threshcli.plan.names import Job, display_name
from threshcli.plan.request import Request
from threshcli.plan.tensors import Known
from threshcli.results import Failure, FileResult, FileStatus, RunResult
from threshcli.storage import local


@dataclass(frozen=True, slots=True)
class Silent:
    """Progress that nobody watches."""

    def advance(self, nbytes: int) -> None:
        """Nothing to tell."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What the files of a call share: workers, maps, and with `--scope global` the thresholds of each job and the
    copies of pipes."""

    settings: Settings
    solver: Solver
    strict: bool
    known: dict[int, Known] = field(default_factory=dict)
    held: dict[str, local.Source] = field(default_factory=dict)


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

    def run(self, jobs: Sequence[Job]) -> RunResult:
        """Work on all files. UsageError only for what makes the whole call impossible."""
        began = time.perf_counter()
        device, make = self.kernels or kernels_for(self.request.device)
        if self.request.names.out_dir is not None and not self.request.names.dry_run:
            _make_folder(self.request.names.out_dir)
        self._check_patterns(jobs)
        crew = Crew(workers(self.request), make)
        settings = Settings(crew, tile_bytes(self.request, device), largest_tile(self.request), self.progress)
        results = []
        with ExitStack() as stack:
            work = _Work(settings, self._solver(crew, device, settings), strict=len(jobs) == 1)
            if self.request.is_fitted and self.request.fit.scope.kind == "global" and not self._plans_only:
                self._solve_all(jobs, work, stack)
            for number, job in enumerate(jobs):
                results.append(self._attempt(job, work, number))
                if self.done is not None:
                    self.done(results[-1])
        return RunResult(
            version=__version__,
            command=self.request.command,
            operator=self.request.rule.operator(),
            params=self.request.params(),
            device=device,
            files=tuple(results),
            seconds=time.perf_counter() - began,
        )

    def _check_patterns(self, jobs: Sequence[Job]) -> None:
        """A pattern that matches no tensor of any file is a mistake, told before the first output."""
        selection = self.request.selection
        if len(jobs) < 2 or not (selection.keep or selection.exclude):
            return
        names: list[str] = []
        for job in jobs:
            try:
                contents = read_header(job.input)[0]
            except ThreshError:
                continue  # told when its turn comes
            names += [tensor.name or display_name(job.input) for tensor in contents.tensors]
        selection.check(names)

    @property
    def _plans_only(self) -> bool:
        return self.request.names.dry_run and not self.solve_only

    def _solver(self, crew: Crew, device: str, settings: Settings) -> Solver:
        """Thresholds are worked out with NumPy whatever the device: the data comes from a file."""
        from threshcli.kernels.numpy import NumpyKernels

        workers = crew if device == "cpu" and self.kernels is None else Crew(crew.size, NumpyKernels)
        fit = self.request.fit
        tile_bytes, told = min(settings.tile_bytes, 1 << 21), settings.progress.advance
        desk = Desk(workers, tile_bytes, fit.ignore_zero, verify=self.solve_only, advance=told)
        return Solver(self.request, desk, MapFiles())

    def _solve_all(self, jobs: Sequence[Job], work: _Work, stack: ExitStack) -> None:
        """Work out what all inputs share; the first that cannot be read ends the call, since without it every threshold
        would be another."""
        planned = []
        for job in jobs:
            reading = Job(job.input, None, None)  # what becomes of outputs is settled when their turn comes
            with ExitStack() as closing:
                try:
                    source = closing.enter_context(local.Source(job.input))
                    plan = plan_file(self.request, reading, source, work.solver.maps, strict=False)
                except ThreshError as error:
                    raise error.located(job.input) from error
                planned.append(Planned(plan, source.path))
                if source.path != job.input:  # a pipe can be read once: its copy is kept
                    work.held[job.input] = source
                    stack.push(closing.pop_all())
        work.known.update(enumerate(work.solver.together(planned)))

    def _attempt(self, job: Job, work: _Work, number: int) -> FileResult:
        if self.request.skip_existing and job.output is not None and Path(job.output).exists():
            return FileResult(input=job.input, output=job.output, status="skipped")
        try:
            return self._file(job, work, number)
        except ThreshError as error:
            return _failed(job, error)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            hint = "use fewer --jobs or less --max-memory"
            return _failed(job, DeviceError("the memory does not suffice", hint=hint))

    def _file(self, job: Job, work: _Work, number: int) -> FileResult:
        began = time.perf_counter()
        held = work.held.get(job.input)
        with local.Source(job.input) if held is None else nullcontext(held) as source:
            maps, known = work.solver.maps, work.known.get(number)
            plan = plan_file(self.request, job, source, maps, strict=work.strict, known=known)
            if self._plans_only:
                return self._planned(plan, began, "dry-run")
            if self.request.is_fitted and known is None:
                known = work.solver.each(Planned(plan, source.path))
                plan = plan_file(self.request, job, source, maps, strict=work.strict, known=known)
            if self.solve_only:
                return self._planned(plan, began, "read")
            return FileRun(self.request, plan, source, work.settings).run(began)

    def _planned(self, plan: FilePlan, began: float, status: FileStatus) -> FileResult:
        seconds = time.perf_counter() - began
        return file_result(plan, self.request.rule, None, seconds, status=status, moments=False)


def kernels_for(device: str) -> tuple[str, Callable[[], Kernels]]:
    """The device that is meant, and how to make a worker's kernels for it; torch is only loaded for an accelerator."""
    if device == "cpu":
        from threshcli.kernels.numpy import NumpyKernels

        return device, NumpyKernels
    from threshcli.kernels.torch import TorchKernels, check_device

    found = check_device(device)
    return kernels_for("cpu") if found == "cpu" else (found, lambda: TorchKernels(found))


def _make_folder(path: str) -> None:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be made a folder: {error.strerror}", file=path) from error


def _is_out_of_memory(error: Exception) -> bool:
    """Python's own error, or that of an accelerator's library, which is not imported here to be named."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _failed(job: Job, error: ThreshError) -> FileResult:
    elsewhere = error.file not in (None, job.input)
    message = str(error) if elsewhere else error.what
    failure = Failure(message=message, hint=error.hint, exit_code=error.exit_code, elsewhere=elsewhere)
    return FileResult(input=job.input, output=job.output, status="failed", error=failure)
