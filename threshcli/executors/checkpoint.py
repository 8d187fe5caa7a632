"""A sharded checkpoint: all of its shards, one after another, and its index last, when all of them are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from threshcli.engine.comparing import different
from threshcli.errors import InputError, ThreshError, UsageError
from threshcli.executors.endings import failed
from threshcli.plan.checkpoint import CheckpointPlan, plan_checkpoint, retold
from threshcli.plan.files import OutputPlan
from threshcli.plan.names import Job
from threshcli.plan.request import Request
from threshcli.results import Failure, FileResult, FileStatus
from threshcli.storage.local import Source, Target
from threshcli.thresholds.base import Maps


@dataclass(frozen=True, slots=True)
class CheckpointRun:
    """The work on the checkpoint that one input, its index, stands for.

    `attempt` works on a shard, the `number`-th from 0; `share` is told of all of them before, and works out what they
    have in common. `status` is that of an index that is not written, or "written"."""

    request: Request
    job: Job
    maps: Maps
    attempt: Callable[[Job, int], FileResult]
    share: Callable[[Sequence[Job]], None]
    status: FileStatus
    strict: bool
    renames: bool = False
    """Whether the outputs have tensors of other names: the index is known when they are there."""

    def results(self) -> Iterator[FileResult]:
        """A result for each shard as it ends, then that of the index; for a checkpoint that cannot be worked on as a
        whole the latter alone."""
        began = time.perf_counter()
        try:
            self._check_place()
            plan = plan_checkpoint(self.request, self.job, self.maps, strict=self.strict)
            done = not self.renames and self._is_done(plan)
            self.share(plan.jobs)
        except ThreshError as error:
            yield failed(self.job, error)
            return
        missing: FileResult | None = None
        for number, shard in enumerate(plan.jobs):
            result = self._shard(plan, shard, number)
            missing = missing or (result if result.status == "failed" else None)
            yield result
        yield self._index(plan, began, done=done) if missing is None else self._without(missing)

    def _check_place(self) -> None:
        """UsageError where a killed run would leave shards that their index contradicts."""
        if self.renames and self.request.names.in_place:
            what = "stands for a whole checkpoint, which is not packed or unpacked in place"
            raise UsageError(what, hint="write it to another folder: -O FOLDER")

    def _is_done(self, plan: CheckpointPlan) -> bool:
        """Whether the index that would be written is there, with --skip-existing; OutputError where another is, unless
        it may be replaced."""
        output = plan.output
        if not self.request.skip_existing or output is None or not output.replace:
            return False
        with Source(output.path) as there:
            if there.size == len(plan.text) and there.read(0, there.size) == plan.text:
                return True
        if not self.request.overwrite:
            raise different("and is not the index of this checkpoint", output.path)
        return False

    def _shard(self, plan: CheckpointPlan, shard: Job, number: int) -> FileResult:
        try:
            with Source(shard.input) as source:
                if source.fingerprint != plan.fingerprints[number]:
                    raise InputError("has changed since its checkpoint was looked at", hint="run the command again")
        except ThreshError as error:
            return failed(shard, error)
        return replace(self.attempt(shard, number), whole=self.job.input)

    def _index(self, plan: CheckpointPlan, began: float, *, done: bool) -> FileResult:
        try:
            if self.renames and self.status == "written":
                plan = retold(plan)
                done = self._is_done(plan)
            if plan.output is not None and self.status == "written" and not done:
                write(plan.output)
        except ThreshError as error:
            return failed(self.job, error)
        return FileResult(
            input=self.job.input,
            output=self.job.output,
            status="skipped" if done else self.status,
            format="index",
            bytes_in=0 if done else len(plan.read.text),
            bytes_out=0 if done else len(plan.text),
            seconds=time.perf_counter() - began,
            warnings=plan.notes,
        )

    def _without(self, missing: FileResult) -> FileResult:
        """An index is not written without all of its shards."""
        code = missing.error.exit_code if missing.error else 70
        message = f"is not written: {missing.input} failed, and an index is complete or absent"
        error = Failure(message=message, hint="run it again with --skip-existing", exit_code=code)
        return FileResult(input=self.job.input, output=self.job.output, status="failed", error=error)


def write(output: OutputPlan) -> None:
    """An output of nothing but fixed bytes; complete or absent."""
    target = Target(output.path, output.skeleton.size, replace=output.replace, fsync=output.fsync)
    try:
        for offset, data in output.skeleton.segments:
            target.write(offset, data)
        target.commit()
    finally:
        target.discard()
