"""One file, settled to the last byte."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from threshcli import containers
from threshcli.containers.base import Container, Contents, Copy, Skeleton
from threshcli.errors import OutputError, ThreshError, UsageError
from threshcli.plan.names import Job, display_name
from threshcli.plan.opening import tensor_file
from threshcli.plan.packs import Measured, check_unpacked, packed, placed, stored
from threshcli.plan.provenance import KEY, left_beside, provenance, sidecar_of, unlike
from threshcli.plan.request import Request
from threshcli.plan.sharing import check_shared
from threshcli.plan.tensors import Known, TensorPlan, plan_tensors
from threshcli.storage import local, streams
from threshcli.thresholds.base import Maps

_LONGEST_NOTE = 1 << 26


class OutputPlan(NamedTuple):
    """One output file: its path, its bytes but for the elements, and how it takes its place."""

    path: str
    skeleton: Skeleton
    replace: bool
    fsync: bool
    stream: bool = False
    """Whether it is written from end to end, to standard output, a FIFO, a descriptor."""

    @property
    def beside(self) -> str | None:
        """The path beside which there is room for what is made on the way; None for a stream, which has no folder."""
        return None if self.stream else self.path


class FilePlan(NamedTuple):
    """One input file, settled: the engine asks no questions after this."""

    job: Job
    contents: Contents
    size: int
    fingerprint: tuple[int, ...]
    tensors: tuple[TensorPlan, ...]
    output: OutputPlan | None
    residual: OutputPlan | None
    sidecar: OutputPlan | None
    """The recipe beside the output."""
    warnings: tuple[str, ...]
    planned_size: int
    """Bytes of the output, whether or not it is to be written."""
    kept: dict[str, Any]
    """What the engine has made of this plan and can use again for files that are planned alike."""
    unmeasured: bool = False
    """Whether a first pass has to tell how large it is: until then it is planned for the most that it may be."""
    recipe: Mapping[str, str] = {}
    """What the metadata of the output says of how it was made."""


def read_header(path: str) -> tuple[Contents, tuple[int, ...]]:
    """Contents and fingerprint of a file; errors name it."""
    try:
        with tensor_file(path) as source:
            return containers.identify(source).read(source), source.fingerprint
    except ThreshError as error:
        error.located(path)
        raise


class Settled(NamedTuple):
    """What is settled of a file by its header, its tensors' names, and the formats of its outputs: all but where these
    are. `kept` is for what the engine makes of it, so that files alike share that."""

    contents: Contents
    tensors: tuple[TensorPlan, ...]
    skeleton: Skeleton
    residual: Skeleton | None
    note: bytes
    """The recipe, for a file of its own."""
    warnings: tuple[str, ...]
    """What is to be said of the output's format."""
    unmeasured: bool
    kept: dict[str, Any]
    recipe: Mapping[str, str]
    """What the metadata of the output says of how it was made."""


def plan_file(request: Request, job: Job, source: local.Source, maps: Maps) -> FilePlan:
    """The plan of one input, open as `source`, with nothing worked out of its data, and one of several, so that another
    file may have what a pattern matches; UsageError, InputError or OutputError where there can be none."""
    settled = settle(request, job, containers.identify(source).read(source), maps, strict=False)
    return file_plan(request, job, source, settled)


def settle(
    request: Request,
    job: Job,
    contents: Contents,
    maps: Maps,
    *,
    strict: bool,
    known: Known | None = None,
    measured: Measured | None = None,
    recipe: Mapping[str, str] | None = None,
) -> Settled:
    """What becomes of a file with these contents; UsageError or InputError where nothing can. `strict` refuses patterns
    that match no tensor; in a batch another file may have those. `known` are thresholds that were worked out: without
    them the plan has them pending; likewise what was `measured` for packed tensors. A `recipe` that is given stands in
    its metadata in place of its own. A shard stays what it is, and as it is if nothing in it is worked on; whether
    there is anything the whole checkpoint shows."""
    kind, names = _kind(request, job, contents), names_of(contents, job.input)
    idle = request.idle_patterns(names) if strict and job.whole is None else []
    tensors = plan_tensors(request, job.input, contents, names, kind, maps, known or {})
    _refused(tensors, alone=job.whole is None)
    check_unpacked(contents.metadata, tensors)
    if job.whole is None:
        check_shared(request, "file", tensors)
    origin = _origin(contents) if kind.name == contents.container else None
    made_by = provenance(request, tensors, _before(request, job, contents), job.input, maps)
    if recipe is None:
        recipe = {KEY: json.dumps(made_by, sort_keys=True)} if request.provenance else {}
    kept = {} if origin is None else origin.metadata
    packs = packed(request.packing, kind, tensors, measured, kept, strict=strict)
    outs = tuple(out for plan in packs.tensors for out in stored(plan))
    skeleton = kind.skeleton(outs, origin, {**recipe, **packs.metadata})
    residual, tensors = _residual(job, contents, placed(packs.tensors, skeleton), recipe)
    return Settled(
        contents=contents,
        tensors=tuple(tensors),
        skeleton=skeleton,
        residual=residual,
        note=json.dumps(made_by, sort_keys=True, indent=2).encode() + b"\n" if request.sidecar else b"",
        warnings=(*(contents.notes if origin is None else ()), *packs.warnings, *unlike(request, made_by), *idle),
        unmeasured=measured is None and request.packing is not None and request.packing.measured,
        kept={},
        recipe=recipe,
    )


def file_plan(request: Request, job: Job, source: local.Source, settled: Settled) -> FilePlan:
    """The plan of a file of which all else is settled: where its outputs go, and that they may."""
    left = settled.residual
    residual = None if left is None else plan_output(request, source, job.residual, left, in_place=False)
    skeleton, tensors, sidecar = settled.skeleton, settled.tensors, None
    if request.sidecar and job.output is not None and any(plan.applied for plan in tensors):
        if streams.is_stream(job.output):
            raise UsageError("--sidecar has no place beside a stream", hint="write to a file, or leave it out")
        note, beside = settled.note, sidecar_of(job.output)
        sidecar = plan_output(request, source, beside, Skeleton(len(note), ((0, note),), ()), request.names.in_place)
    if job.whole is not None and not any(plan.applied for plan in tensors):
        skeleton = Skeleton(source.size, (), (None,) * len(tensors), (Copy(0, 0, source.size),))
        tensors = tuple(plan._replace(place=None) for plan in tensors)
    output = plan_output(request, source, job.output, skeleton, request.names.in_place)
    stale = left_beside(output.path) if output is not None and output.replace and sidecar is None else ()
    return FilePlan(
        job=job,
        contents=settled.contents,
        size=source.size,
        fingerprint=source.fingerprint,
        tensors=tensors,
        output=output,
        residual=residual,
        sidecar=sidecar,
        warnings=(*_refused(tensors, alone=False), *settled.warnings, *stale),
        planned_size=skeleton.size,
        kept=settled.kept,
        recipe=settled.recipe,
        unmeasured=settled.unmeasured,
    )


def _before(request: Request, job: Job, contents: Contents) -> str | None:
    """What is noted of the input in its metadata, or beside it where that is where recipes are to be."""
    if KEY in contents.metadata or not request.sidecar:
        return contents.metadata.get(KEY)
    beside = sidecar_of(job.input)
    if not os.path.isfile(beside):  # noqa: PTH113 - that of a path object raises an error for a name that is too long
        return None
    with local.Source(beside) as source:
        return source.read(0, source.size).decode("utf-8", "replace") if source.size <= _LONGEST_NOTE else None


def _origin(contents: Contents) -> Contents:
    """An input as its output's model, without its recipe, which is not the output's."""
    if KEY not in contents.metadata:
        return contents
    return replace(contents, metadata={key: text for key, text in contents.metadata.items() if key != KEY})


def names_of(contents: Contents, path: str) -> list[str]:
    """What the tensors of a file are called; one without a name as the file."""
    stem = display_name(path)
    return [tensor.name or stem for tensor in contents.tensors]


def _kind(request: Request, job: Job, contents: Contents) -> Container:
    """The container of the output."""
    if job.whole is not None:
        return containers.registered()[contents.container]
    return containers.for_output(job.output or "", request.names.to, contents.container)


def refused(tensors: Sequence[TensorPlan]) -> list[TensorPlan]:
    """Tensors that were selected, and that their rules cannot work on."""
    return [plan for plan in tensors if not plan.applied and plan.step is not None]


def nothing_else(first: TensorPlan) -> UsageError:
    """The error where there is nothing but tensors that their rules cannot work on, of which this is the first."""
    return UsageError(f"tensor {first.name!r}: {first.reason}", hint=first.rule.remedy(first.tensor.dtype))


def _refused(tensors: Sequence[TensorPlan], *, alone: bool) -> list[str]:
    """Warnings of selected tensors that their rules cannot work on; UsageError if there are no others in a file that
    stands `alone`."""
    found = refused(tensors)
    if alone and found and not any(plan.applied for plan in tensors):
        raise nothing_else(found[0])
    return [f"tensor {plan.name!r} is copied unchanged: {plan.reason}" for plan in found]


def plan_output(
    request: Request, source: local.Source, path: str | None, skeleton: Skeleton, in_place: bool
) -> OutputPlan | None:
    """How an output takes its place; OutputError where something stands there that may not be replaced."""
    if path is None:
        return None
    try:
        return _check_output(request, source, path, skeleton, in_place)
    except OutputError as error:
        error.located(path)
        raise


def _check_output(request: Request, source: local.Source, path: str, skeleton: Skeleton, in_place: bool) -> OutputPlan:
    if not streams.is_named(path) and local.is_free(path):
        if request.names.dry_run and not request.names.makes_folders:
            local.check_folder(path)
        return OutputPlan(path, skeleton, replace=False, fsync=bool(request.fsync))
    if streams.is_stream(path):
        if in_place:
            raise OutputError("is not a regular file", hint="use -o or -O")
        streams.check(path)
        return OutputPlan(path=path, skeleton=skeleton, replace=False, fsync=False, stream=True)
    target = local.resolve(path)
    old = local.existing(target)
    if old is not None and not in_place:
        if (old.st_dev, old.st_ino) == source.identity:
            raise OutputError("is the input itself", hint="use --in-place to replace it")
        if not (request.overwrite or request.skip_existing):
            raise OutputError("exists already", hint="use --overwrite to replace it, or --skip-existing to leave it")
    fsync = old is not None if request.fsync is None else request.fsync
    return OutputPlan(path=target, skeleton=skeleton, replace=old is not None, fsync=fsync)


def _residual(
    job: Job, contents: Contents, tensors: list[TensorPlan], recipe: Mapping[str, str]
) -> tuple[Skeleton | None, list[TensorPlan]]:
    """The output of what the rule drops: the tensors that it works on, and no others."""
    if job.residual is None:
        return None, tensors
    kind: Container = containers.for_output(job.residual, None, contents.container)
    origin = contents if kind.name == contents.container else None
    wanted = [plan for plan in tensors if plan.applied]
    outs = tuple(
        replace(
            plan.out,
            name=plan.tensor.name if origin else plan.name,
            dtype=plan.tensor.dtype,
            swapped=kind.keeps_byte_order(contents.container) and plan.tensor.view.swapped,
        )
        for plan in wanted
    )
    if any(kind.axes(plan.out.order) != plan.out.order for plan in wanted):
        raise UsageError(f"--residual {job.residual} cannot keep Fortran order", hint="give it the output's format")
    skeleton = kind.skeleton(outs, origin, recipe)
    places = {plan.out.source: place for plan, place in zip(wanted, skeleton.places, strict=True)}
    placed = [
        plan._replace(
            residual_place=places.get(plan.out.source),
            residual_swapped=kind.keeps_byte_order(contents.container) and plan.tensor.view.swapped,
        )
        for plan in tensors
    ]
    return skeleton, placed
