"""Thresholds worked out for the files of a call; imported where there are any to be worked out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace

from threshcli.engine.maps import MapSources
from threshcli.engine.solving import Planned, Share, Solver
from threshcli.engine.studying import Desk
from threshcli.errors import InputError, ThreshError
from threshcli.plan.files import FilePlan, plan_file
from threshcli.plan.fit import Scope
from threshcli.plan.names import Job, parts
from threshcli.plan.opening import tensor_file
from threshcli.plan.request import Request
from threshcli.plan.sharing import Sharing
from threshcli.plan.tensors import Known
from threshcli.storage import local
from threshcli.thresholds.base import Fixed, Mapped, Maps, Spread

Number = tuple[int, int]
"""Which job of a call, and which shard of the checkpoint that it stands for."""


def _together(scope: Scope) -> bool:
    return scope.kind == "global"


def _by_file(scope: Scope) -> bool:
    return scope.kind == "file"


@dataclass(frozen=True, slots=True)
class Fitting:
    """Works out what a request asks for: for each file when its turn comes, or once for all of them."""

    request: Request
    desk: Desk
    maps: Maps
    _shared: dict[Number, tuple[tuple[int, ...], Known]] = field(default_factory=dict)
    """The fingerprint and the thresholds of each file that shares some; it is planned again when its turn comes."""
    _held: dict[str, local.Source] = field(default_factory=dict)

    @property
    def is_shared(self) -> bool:
        """Whether all files of the call have a threshold together."""
        return any(self._solvers(_together))

    def _solvers(
        self, wanted: Callable[[Scope], bool], place: int = 0, opened: MapSources | None = None
    ) -> Iterator[Solver]:
        """Who works out the thresholds of the scopes that are wanted, of steps in this place."""
        for step in self.request.steps:
            if step.is_fitted and step.place == place and wanted(step.fit.scope):
                yield Solver(step, replace(self.desk, ignore_zero=step.fit.ignore_zero), self.maps, opened)

    def share_all(self, jobs: Sequence[Job], stack: ExitStack) -> None:
        """Work out what all inputs of the call share."""
        self.share(_numbered(jobs), stack)

    def share(
        self,
        jobs: Mapping[Number, Job],
        stack: ExitStack,
        who: str = "all inputs together",
        wanted: Callable[[Scope], bool] = _together,
    ) -> None:
        """Work out what several inputs share; the first that cannot be read ends that, since without it every threshold
        would be another."""
        solvers = list(self._solvers(wanted))
        shares: list[list[Share]] = [[] for _ in solvers]
        fingerprints, sharing = [], Sharing(self.request, "global")
        for place, job in enumerate(jobs.values()):
            reading = Job(job.input, None, None, job.whole)  # what becomes of outputs is settled when their turn comes
            with ExitStack() as closing:
                try:
                    source = closing.enter_context(tensor_file(job.input))
                    plan = plan_file(self.request, reading, source, self.maps)
                except ThreshError as error:
                    error.located(job.input)
                    raise
                for solver, own in zip(solvers, shares, strict=True):
                    own.extend(solver.shares(place, Planned(plan, source.path)))
                sharing.add(plan.tensors)
                fingerprints.append(plan.fingerprint)
                if source.path != job.input:  # a pipe can be read once: its copy is kept
                    self._held[job.input] = source
                    stack.push(closing.pop_all())
        if wanted is _together:  # that of one file is checked by its plan
            sharing.check()
        known: list[dict[tuple[int, str], Fixed | Spread | Mapped]] = [{} for _ in fingerprints]
        for solver, several in zip(solvers, shares, strict=True):
            for place, found in solver.together(several, who):
                known[place].update(found)
        for number, fingerprint, one in zip(jobs, fingerprints, known, strict=True):
            before = self._shared.get(number)
            self._shared[number] = fingerprint, {**(before[1] if before else {}), **one}

    def source(self, job: Job) -> AbstractContextManager[local.Source]:
        """An input; of a pipe the copy, if there is one."""
        held = self._held.get(job.input)
        return tensor_file(job.input) if held is None else nullcontext(held)

    def share_checkpoint(self, number: int, jobs: Sequence[Job], stack: ExitStack) -> None:
        """Work out what the shards of the `number`-th input share: to them it is one file."""
        if any(self._solvers(_by_file)):
            shards = {(number, part): job for part, job in enumerate(jobs)}
            self.share(shards, stack, "the checkpoint", _by_file)

    def has(self, number: Number) -> bool:
        """Whether thresholds of a file are worked out already."""
        return number in self._shared

    def known(self, number: Number, plan: FilePlan, source: local.Source, stack: ExitStack) -> Known:
        """The thresholds of first steps in a planned file, the `number`-th of the call; the stack closes the maps among
        them."""
        found: dict[tuple[int, str], Fixed | Spread | Mapped] = {}
        if number in self._shared:
            fingerprint, known = self._shared.pop(number)
            if fingerprint != plan.fingerprint:
                raise InputError("has changed since the thresholds were worked out", hint="run the command again")
            found |= known
        planned = Planned(plan, source.path)
        for solver in self._solvers(lambda scope: not _together(scope) and not (plan.job.whole and _by_file(scope))):
            found |= solver.each(planned)
            found |= solver.mapped(planned, self.request.max_memory, stack)
        return found

    def later(self, place: int, plan: FilePlan, source: local.Source, stack: ExitStack) -> Known:
        """The thresholds of steps in a later place, of a file that is planned with those of the steps before."""
        found: dict[tuple[int, str], Fixed | Spread | Mapped] = {}
        planned, opened = Planned(plan, source.path), stack.enter_context(MapSources())
        for solver in self._solvers(lambda scope: True, place, opened):
            found |= solver.each(planned)
            found |= solver.mapped(planned, self.request.max_memory, stack)
        return found


def _numbered(jobs: Sequence[Job]) -> dict[Number, Job]:
    """The jobs of all files, those of the shards in place of indexes."""
    return {(number, part): one for number, job in enumerate(jobs) for part, one in enumerate(parts(job))}
