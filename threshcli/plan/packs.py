"""What of an output is packed, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from threshcli import packings
from threshcli.containers.base import Container, OutTensor, Skeleton
from threshcli.errors import UsageError
from threshcli.packings.base import PREFIX, Packing, Sizes
from threshcli.plan.tensors import TensorPlan, cuts_of

Measured = Mapping[int, Sizes]
"""What a first pass has measured, by the index of each packed tensor in its file."""


class Packs(NamedTuple):
    """The tensors of an output, those packed that can be; what the metadata and people are told of them."""

    tensors: list[TensorPlan]
    metadata: dict[str, str]
    warnings: list[str]


def packed(
    packing: Packing | None,
    kind: Container,
    tensors: list[TensorPlan],
    measured: Measured | None,
    before: Mapping[str, str],
    *,
    strict: bool,
) -> Packs:
    """The plans of all tensors with `packing` applied to those that the rule is applied to; `before` is the metadata
    that an output has of its input. UsageError where nothing
    can be packed and (`strict`) no other file may be meant, or the rule or the container cannot have it at all."""
    if packing is None:
        return Packs(tensors, {}, [])
    if packing.formats is not None and kind.name not in packing.formats:
        formats = ", ".join(packing.formats)
        raise UsageError(
            f"--pack {packing.name} writes {formats}, not {kind.name}",
            hint=f"name the output so, or say --to {formats}",
        )
    made: list[TensorPlan] = []
    outs: list[OutTensor] = []
    left: dict[str, list[str]] = {}
    for plan in tensors:
        if plan.applied:
            last = plan.steps[-1]
            packing.check(last.rule, sum(map(cuts_of, last.bounds.values())))
        reason = packing.refusal(plan.out) if plan.applied else None
        if reason is not None:
            left.setdefault(reason, []).append(plan.name)
        elif plan.applied:
            outs.append(plan.out)
            sizes = None if measured is None else measured[plan.out.source]
            plan = plan._replace(packed=packing.pack(plan.out, sizes))  # noqa: PLW2901 - the same tensor, packed
        made.append(plan)
    told = [f"{_first(names)} not packed: {reason}" for reason, names in left.items()]
    if told and not outs and strict:
        raise UsageError(f"nothing can be packed: {told[0]}", hint=f"--pack {packing.name} needs other tensors")
    said = {packing.key: packing.metadata(outs, before)} if outs else {}
    return Packs(made, said, told + _sizes(packing, made, measured))


def check_unpacked(metadata: Mapping[str, str], tensors: Sequence[TensorPlan]) -> None:
    """UsageError where a rule would take for numbers what is packed."""
    if not any(key.startswith(PREFIX) for key in metadata):
        return
    for packing in packings.registered().values():
        names = packing.told(metadata)
        for plan in tensors:
            if plan.applied and plan.tensor.name in names:
                raise UsageError(
                    f"tensor {plan.name!r} is packed, as {packing.name}",
                    hint=f"make it what it was: thresh unpack; or leave it out: -x {plan.name!r}",
                )


def _first(names: list[str]) -> str:
    """One tensor, or several by their first."""
    if len(names) == 1:
        return f"tensor {names[0]!r} is"
    return f"{len(names):,} tensors (the first: {names[0]!r}) are"


def _sizes(packing: Packing, tensors: Sequence[TensorPlan], measured: Measured | None) -> list[str]:
    """Warnings of sizes that are not known, or are larger than what was to become smaller."""
    if measured is None and packing.measured:
        return ["the size depends on the data: what is told of it is the most that it may be"]
    found = []
    for plan in tensors:
        if plan.packed is not None:
            dense, small = plan.out.nbytes, sum(part.nbytes for part in plan.packed.parts)
            if small > dense:
                found.append(f"tensor {plan.name!r} takes {small:,} bytes packed, {dense:,} as it is")
    return found


def stored(plan: TensorPlan) -> tuple[OutTensor, ...]:
    """The tensors of the container that stand for one."""
    return (plan.out,) if plan.packed is None else plan.packed.parts


def placed(tensors: Sequence[TensorPlan], skeleton: Skeleton) -> list[TensorPlan]:
    """The plans with the places that the skeleton has for them."""
    places = iter(skeleton.places)
    found = []
    for plan in tensors:
        own = [next(places) for _ in stored(plan)]
        if plan.packed is None:
            found.append(plan._replace(place=own[0]))
        else:
            found.append(plan._replace(place=own[0], places=tuple(place for place in own if place is not None)))
    return found
