"""Thresholds worked out for the files of a call; imported where there are any to be worked out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace

from threshcli.engine.solving import Planned, Solver
from threshcli.engine.studying import Desk
from threshcli.errors import InputError, ThreshError
from threshcli.plan.files import FilePlan, plan_file
from threshcli.plan.names import Job
from threshcli.plan.request import Request
from threshcli.plan.tensors import Known
from threshcli.storage import local
from threshcli.thresholds.base import Fixed, Mapped, Maps, Spread


@dataclass(frozen=True, slots=True)
class Fitting:
    """Works out what a request asks for: for each file when its turn comes, or once for all of them."""

    request: Request
    desk: Desk
    maps: Maps
    _shared: dict[int, tuple[FilePlan, Known]] = field(default_factory=dict)
    _held: dict[str, local.Source] = field(default_factory=dict)

    @property
    def is_shared(self) -> bool:
        """Whether all files of the call have a threshold together."""
        return any(self._solvers(together=True))

    def _solvers(self, *, together: bool) -> Iterator[Solver]:
        """Who works out what is the same for all files, or all else."""
        for step in self.request.steps:
            if step.is_fitted and (step.fit.scope.kind == "global") == together:
                yield Solver(step, replace(self.desk, ignore_zero=step.fit.ignore_zero), self.maps)

    def share(self, jobs: Sequence[Job], stack: ExitStack) -> None:
        """Work out what all inputs share; the first that cannot be read ends the call, since without it every threshold
        would be another."""
        planned = []
        for job in jobs:
            reading = Job(job.input, None, None)  # what becomes of outputs is settled when their turn comes
            with ExitStack() as closing:
                try:
                    source = closing.enter_context(local.Source(job.input))
                    plan = plan_file(self.request, reading, source, self.maps, strict=False)
                except ThreshError as error:
                    raise error.located(job.input) from error
                planned.append(Planned(plan, source.path))
                if source.path != job.input:  # a pipe can be read once: its copy is kept
                    self._held[job.input] = source
                    stack.push(closing.pop_all())
        known: list[dict[tuple[int, str], Fixed | Spread | Mapped]] = [{} for _ in planned]
        for solver in self._solvers(together=True):
            for own, found in zip(known, solver.together(planned), strict=True):
                own.update(found)
        self._shared.update(enumerate(zip([item.plan for item in planned], known, strict=True)))

    def source(self, job: Job) -> AbstractContextManager[local.Source]:
        """An input; of a pipe the copy, if there is one."""
        held = self._held.get(job.input)
        return local.Source(job.input) if held is None else nullcontext(held)

    def known(self, number: int, plan: FilePlan, source: local.Source, stack: ExitStack) -> Known:
        """The thresholds of a planned file, the `number`-th of the call; the stack closes the maps among them."""
        found: dict[tuple[int, str], Fixed | Spread | Mapped] = {}
        if number in self._shared:
            before, known = self._shared[number]
            if before.fingerprint != plan.fingerprint:
                raise InputError("has changed since the thresholds were worked out", hint="run the command again")
            found |= known
        planned = Planned(plan, source.path)
        for solver in self._solvers(together=False):
            found |= solver.each(planned)
            found |= solver.mapped(planned, self.request.max_memory, stack)
        return found
