"""What is packed in a file, and the plan of an output without it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from threshcli import containers, packings
from threshcli.containers.base import Container, Contents, OutTensor, Tensor
from threshcli.errors import InputError, UsageError
from threshcli.packings.base import Folded, Given
from threshcli.plan.files import FilePlan, Settled, file_plan
from threshcli.plan.names import Job, display_name
from threshcli.plan.packs import placed
from threshcli.plan.provenance import without_packing
from threshcli.plan.request import Request
from threshcli.plan.tensors import TensorPlan
from threshcli.storage import local
from threshcli.tiles import View, row_major


class Unfolding(NamedTuple):
    """The plan of a file, as if its packed tensors lay behind its end, each from an offset on."""

    plan: FilePlan
    folded: tuple[tuple[int, Folded], ...]


def plan_unpacking(request: Request, job: Job, source: local.Source, given: Given) -> Unfolding:
    """The plan of one input, open as `source`, with what is packed in it unpacked and all else as it is. InputError,
    UsageError or OutputError where there can be none."""
    contents = containers.identify(source).read(source)
    kind = containers.for_output(job.output or "", request.names.to, contents.container)
    folded = {
        min(item.numbers): (item, name)
        for name, packing in packings.registered().items()
        for item in packing.packed_in(contents, source, given)
    }
    if not folded and job.whole is None:
        hint = "a mask in .npy or .pt does not tell what it is: say --shape 3,4, or --like FILE"
        raise InputError("holds nothing that is packed", hint=hint)
    gone = {number for item, _ in folded.values() for number in item.numbers}
    stored, places, plans, end = [], [], [], source.size
    for number, tensor in enumerate(contents.tensors):
        if number in folded:
            item, packing = folded[number]
            view = View(end, item.shape, row_major(item.shape), item.dtype.itemsize)
            made = Tensor(item.name, item.dtype, item.shape, view)
            plans.append(_plan(kind, made, contents, job, packing))
            places.append((end, item))
            stored.append(_values(item, contents))
            end += made.nbytes
        elif number not in gone:
            plans.append(_plan(kind, tensor, contents, job, None))
            stored.append(tensor)
    plans = [plan._replace(out=replace(plan.out, source=number)) for number, plan in enumerate(plans)]
    whole = replace(contents, tensors=tuple(plan.tensor for plan in plans), metadata=_metadata(contents))
    own = job._replace(whole=None) if folded else job  # a shard with nothing to unpack is copied as it is
    return Unfolding(file_plan(request, own, source, _settled(kind, whole, plans, stored)), tuple(places))


def _values(item: Folded, contents: Contents) -> Tensor:
    """Of the tensors that stand for one, that which holds its values; what it was packed from lay where this does."""
    parts = [contents.tensors[number] for number in item.numbers]
    return next((part for part in parts if part.dtype is item.dtype), parts[0])


def _plan(kind: Container, tensor: Tensor, contents: Contents, job: Job, packing: str | None) -> TensorPlan:
    """A tensor that is written as it is read."""
    name = tensor.name or display_name(job.input)
    plain = tuple(range(len(tensor.shape)))
    opaque = tensor.dtype.kind == "opaque"
    order = plain if opaque else kind.axes(tensor.view.order or plain)
    out = OutTensor(
        name=tensor.name if kind.name == contents.container else name,
        dtype=tensor.dtype,
        shape=tensor.shape,
        order=order,
        swapped=kind.keeps_byte_order(contents.container) and tensor.view.swapped,
        copied=packing is None,
    )
    view = tensor.view if opaque else tensor.view.permuted(order)
    return TensorPlan(tensor, name, view, out, applied=False, reason=None, bounds={}, unpacked=packing)


def _metadata(contents: Contents) -> dict[str, str]:
    """What the metadata says of all but packing."""
    own = {packing.key for packing in packings.registered().values()}
    return without_packing({key: text for key, text in contents.metadata.items() if key not in own})


def _settled(kind: Container, whole: Contents, plans: list[TensorPlan], stored: list[Tensor]) -> Settled:
    """What becomes of the file as if nothing in it were packed; bytes go in the order of those that are `stored`."""
    origin = replace(whole, tensors=tuple(stored)) if kind.name == whole.container else None
    skeleton = kind.skeleton(tuple(plan.out for plan in plans), origin, {})
    return Settled(
        contents=whole,
        tensors=tuple(placed(plans, skeleton)),
        skeleton=skeleton,
        residual=None,
        note=b"",
        warnings=whole.notes if origin is None else (),
        unmeasured=False,
        kept={},
        recipe={},
    )


def parse_shape(text: str) -> tuple[int, ...]:
    """Read lengths with commas between; nothing at all is the shape of one number. Raises UsageError."""
    words = text.replace("x", ",").split(",") if text.strip() else []
    if any(not word.strip().isascii() or not word.strip().isdigit() for word in words) or len(text) > 400:
        raise UsageError(f"--shape {text!r} is no shape", hint="write it as 3,4; '' is that of a single number")
    return tuple(int(word) for word in words)
