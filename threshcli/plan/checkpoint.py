"""A sharded checkpoint, settled from the headers of all its shards before any of them is worked on."""

from __future__ import annotations

from typing import NamedTuple

from threshcli.containers.base import Skeleton
from threshcli.errors import ThreshError
from threshcli.plan.files import (
    FilePlan,
    OutputPlan,
    nothing_else,
    plan_file,
    plan_output,
    read_header,
    refused,
)
from threshcli.plan.index import Index, Roll, Shard, read_index
from threshcli.plan.names import Job, shard_jobs
from threshcli.plan.request import Request
from threshcli.plan.sharing import Sharing
from threshcli.plan.tensors import TensorPlan
from threshcli.storage.local import Source
from threshcli.thresholds.base import Maps


class CheckpointPlan(NamedTuple):
    """The jobs of all shards with what tells when their files change, and the output of the index."""

    read: Index
    jobs: tuple[Job, ...]
    fingerprints: tuple[tuple[int, ...], ...]
    text: bytes
    output: OutputPlan | None
    notes: tuple[str, ...]


def plan_checkpoint(request: Request, job: Job, maps: Maps, *, strict: bool) -> CheckpointPlan:
    """The plan of the checkpoint whose index is the input of a job; InputError where index and shards contradict each
    other, and whatever `plan_file` raises of a shard. `strict` refuses patterns that match no tensor."""
    index = read_index(job.input)
    jobs = tuple(shard_jobs(job, index))
    seen, sharing = _Seen(Roll(index), [], []), Sharing(request, "file")
    for name, shard in zip(index.listed, jobs, strict=True):
        try:
            with Source(shard.input) as source:
                plan = plan_file(request, shard, source, maps)
        except ThreshError as error:
            error.located(shard.input)
            raise
        try:
            seen.roll.call(Shard.of(name, plan.contents))
        except ThreshError as error:
            error.located(job.input)
            raise
        seen.add(plan)
        sharing.add(plan.tensors)
    idle = request.idle_patterns(seen.names) if strict else []
    if seen.first is not None and not seen.applied:
        raise nothing_else(seen.first)
    sharing.check()
    text = index.text if seen.before == seen.after else index.resized(seen.after)
    with Source(job.input) as source:
        skeleton = Skeleton(len(text), ((0, text),), ())
        output = plan_output(request, source, job.output, skeleton, request.names.in_place)
    return CheckpointPlan(index, jobs, tuple(seen.fingerprints), text, output, (*seen.roll.notes(), *idle))


def retold(plan: CheckpointPlan) -> CheckpointPlan:
    """The plan with an index of what is in the outputs of all shards, which are there: their tensors have other names
    and sizes than those of the inputs."""
    names: dict[str, list[str]] = {}
    total = 0
    for shard, job in zip(plan.read.listed, plan.jobs, strict=True):
        contents, _ = read_header(job.output or job.input)
        names[shard] = list(Shard.of(shard, contents).names)
        total += sum(tensor.nbytes for tensor in contents.tensors)
    text = plan.read.renamed(names, total)
    output = plan.output and plan.output._replace(skeleton=Skeleton(len(text), ((0, text),), ()))
    return plan._replace(text=text, output=output)


class _Seen:
    """What the plans of the shards come to."""

    def __init__(self, roll: Roll, names: list[str], fingerprints: list[tuple[int, ...]]) -> None:
        self.roll, self.names, self.fingerprints = roll, names, fingerprints
        self.before = self.after = 0
        self.applied = False
        self.first: TensorPlan | None = None
        """The first that was selected, and that the rule cannot work on."""

    def add(self, plan: FilePlan) -> None:
        """Add a shard's; of it nothing else is kept."""
        self.names += [item.name for item in plan.tensors]
        self.fingerprints.append(plan.fingerprint)
        self.before += sum(item.tensor.nbytes for item in plan.tensors)
        self.after += sum(_nbytes(item) for item in plan.tensors)
        self.applied |= any(item.applied for item in plan.tensors)
        self.first = self.first or next(iter(refused(plan.tensors)), None)


def _nbytes(plan: TensorPlan) -> int:
    """Bytes of a tensor in the output."""
    return plan.view.elements * plan.out.dtype.itemsize if plan.applied else plan.tensor.nbytes
