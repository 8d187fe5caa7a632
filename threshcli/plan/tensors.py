"""One tensor, settled: what is done with it, by which thresholds, in which dtype and order."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from threshcli.containers.base import Container, Contents, OutTensor, Tensor
from threshcli.errors import InternalError, UsageError
from threshcli.packings.base import Packed
from threshcli.plan.bounds import check_dtypes, check_ranks, check_source, combinations, each_cut
from threshcli.plan.request import Entry, Request, Step
from threshcli.rules._chain import Chain, Link
from threshcli.rules.base import Rule, slot_of
from threshcli.thresholds.base import Bound, Fitted, Fixed, Mapped, Maps, Pending, Spread, Worked
from threshcli.thresholds.map import MapThreshold
from threshcli.tiles import View


class TensorPlan(NamedTuple):
    """One tensor: where it is read, what is done, where it goes.

    `view` is the input in the order of the output's bytes; `reason` says why the rule is not applied. Places are byte
    offsets of the first element in the output and the residual; None where nothing is written by elements.
    """

    tensor: Tensor
    name: str
    view: View
    out: OutTensor
    applied: bool
    reason: str | None
    bounds: Mapping[str, Bound]
    mask: Mapped | None = None
    place: int | None = None
    residual_place: int | None = None
    residual_swapped: bool = False
    packed: Packed | None = None
    """How it is stored, if not element by element; then `places` are those of its parts."""
    places: tuple[int, ...] = ()
    unpacked: str | None = None
    """How it is packed in the input, if it is."""
    step: Step | None = None
    """What is done, if it is one step; None where nothing is, or where nobody but the engine's caller knows."""
    chain: tuple[TensorPlan, ...] = ()
    """Several steps, each as if it read the file that the one before had written."""

    def named(self, name: str) -> TensorPlan:
        """The same plan for a tensor of another name."""
        return self.__class__(self[0], name, *self[2:])

    def moved(self, tensor: Tensor, name: str, called: str, source: int) -> TensorPlan:
        """The same plan for a tensor that is as this one and lies elsewhere, which is `called` so in the output."""
        out, view = self.out, View(tensor.view.offset, *self.view[1:])
        out = OutTensor(called, out.dtype, out.shape, out.order, out.swapped, source, out.copied)
        found = self.__class__(tensor, name, view, out, *self[4:])
        if not self.chain:
            return found
        each = (item.moved(tensor._replace(dtype=item.tensor.dtype), name, called, source) for item in self.chain)
        return found._replace(chain=tuple(each))

    @property
    def prefix(self) -> str:
        """What stands before keys where there are several steps."""
        return self.step.prefix if self.step else ""

    @property
    def steps(self) -> tuple[TensorPlan, ...]:
        """What is done step by step."""
        return self.chain or (self,)

    @property
    def rule(self) -> Rule:
        """The rule that is applied; only where one is."""
        if self.chain:
            return Chain(links=tuple(link_of(item) for item in self.chain))
        if self.step is None:
            raise InternalError(f"no rule is applied to {self.name!r}")
        return self.step.rule


class Place(NamedTuple):
    """Where a tensor stands: its file, the contents of that, its index in them, its name for people and patterns."""

    file: str
    contents: Contents
    number: int
    name: str


Known = Mapping[tuple[int, str], Fixed | Spread | Mapped]
"""Thresholds that were worked out, by the tensor's index in its file and the slot, after the step's prefix."""


def plan_tensors(
    request: Request, file: str, contents: Contents, names: Sequence[str], kind: Container, maps: Maps, known: Known
) -> list[TensorPlan]:
    """The plans of the tensors of a file, whose output is of this kind; UsageError, naming the first of them that rule,
    thresholds or output cannot take. What differs in nothing but names and places is planned once."""
    plans: list[TensorPlan] = []
    alike: dict[Hashable, TensorPlan] = {}
    for index, (name, entry) in enumerate(zip(names, request.entries_for(names), strict=True)):
        tensor = contents.tensors[index]
        look = id(entry), tensor.dtype, tensor.shape, tensor.view[1:]
        plan = alike.get(look)
        if plan is not None:
            called = tensor.name if kind.name == contents.container else name
            plans.append(plan.moved(tensor, name, called, index))
            continue
        plan = _plan_tensor(request, entry, Place(file, contents, index, name), kind, maps, known)
        plans.append(plan)
        if not known and (entry is None or all(step.by_header for step in entry.steps)):
            alike[look] = plan
    return plans


def _plan_tensor(
    request: Request, entry: Entry | None, where: Place, kind: Container, maps: Maps, known: Known
) -> TensorPlan:
    """The plan of one tensor, by the entry that has it."""
    contents, index, name = where.contents, where.number, where.name
    tensor = contents.tensors[index]
    plain = tuple(range(len(tensor.shape)))
    opaque = tensor.dtype.kind == "opaque"
    order = plain if opaque else kind.axes(tensor.view.order or plain)
    copied = TensorPlan(
        tensor=tensor,
        name=name,
        view=tensor.view if opaque else tensor.view.permuted(order),
        out=OutTensor(
            name=tensor.name if kind.name == contents.container else name,
            dtype=tensor.dtype,
            shape=tensor.shape,
            order=order,
            swapped=kind.keeps_byte_order(contents.container) and tensor.view.swapped,
            source=index,
            copied=True,
        ),
        applied=False,
        reason="not selected" if entry is None else "kept",
        bounds={},
    )
    try:
        start = copied if request.packing is None or opaque else _in_plain_order(copied)
        done = _with_steps(start, entry.steps, where, maps, known) if entry else copied
    except UsageError as error:
        raise UsageError(f"tensor {name!r}: {error.what}", hint=error.hint) from error
    return done if done.applied else copied._replace(reason=done.reason, step=done.step)


def _in_plain_order(plan: TensorPlan) -> TensorPlan:
    """The order of elements that packings know."""
    plain = tuple(range(len(plan.tensor.shape)))
    return plan._replace(view=plan.tensor.view.permuted(plain), out=replace(plan.out, order=plain, swapped=False))


def link_of(plan: TensorPlan) -> Link:
    """A step as a link of a chain."""
    rule, given = plan.rule, [slot_of(key) for key in plan.bounds]
    cuts = 1 if rule.sideways else sum(max(1, given.count(slot.name)) for slot in rule.slots)
    return Link(plan.step.name if plan.step else "", rule, plan.tensor.dtype, plan.out.dtype, cuts)


def _with_steps(copied: TensorPlan, steps: Sequence[Step], where: Place, maps: Maps, known: Known) -> TensorPlan:
    """The plan of a tensor that all steps work on, or none."""
    if len(steps) < 2:
        return _with_step(copied, steps[0], where, maps, known) if steps else copied
    chain: list[TensorPlan] = []
    before = copied
    for number, step in enumerate(steps, 1):
        what = f"step {number}, {step.name}"
        try:
            _check_place(step, steps[: number - 1])
            done = _with_step(before, step, where, maps, known)
        except UsageError as error:
            raise UsageError(f"{what}: {error.what}", hint=error.hint) from error
        if not done.applied:
            return copied._replace(reason=f"{what}: {done.reason}", step=step)
        chain.append(done)
        before = done._replace(tensor=done.tensor._replace(dtype=done.out.dtype))
    bounds = {item.prefix + key: bound for item in chain for key, bound in item.bounds.items()}
    return copied._replace(
        out=chain[-1].out, applied=True, reason=None, bounds=bounds, mask=chain[0].mask, chain=tuple(chain)
    )


def _check_place(step: Step, before: Sequence[Step]) -> None:
    """UsageError where a step cannot come after others."""
    hint = "run the steps before it by themselves"
    if before and step.rule.sideways:
        raise UsageError("looks at neighbours, which the steps before it change", hint=f"make it the first, or {hint}")
    if not before or not step.is_fitted:
        return
    if before[0].rule.sideways:
        what = f"its threshold is worked out from what {before[0].name} makes, which looks at neighbours itself"
        raise UsageError(what, hint=hint)
    if step.fit.scope.kind in ("file", "global"):
        what = f"a threshold over what steps before it make of several tensors has no --scope {step.fit.scope}"
        raise UsageError(what, hint=f"use --scope tensor, or {hint}")


def _with_step(plan: TensorPlan, step: Step, where: Place, maps: Maps, known: Known) -> TensorPlan:
    """The plan of a tensor that is worked on; UsageError where that is not possible."""
    tensor, rule = plan.tensor, step.rule
    out_dtype = step.out_dtype or rule.output(tensor.dtype)
    refusal = rule.refusal(tensor.dtype, out_dtype)
    if refusal is not None:
        return plan._replace(applied=False, reason=refusal, step=step)
    check_dtypes(rule, tensor.dtype, out_dtype)
    rule.check_shape(tensor.shape)
    if step.axes is not None:
        step.axes.of(len(tensor.shape))
    bounds = _bind(step, where, plan, maps, known)
    rule.check_cuts(sum(map(cuts_of, bounds.values())), out_dtype)
    return plan._replace(
        out=replace(plan.out, dtype=out_dtype, copied=False),
        applied=True,
        reason=None,
        bounds=bounds,
        mask=_mask(step, where, maps),
        step=step,
    )


def _bind(step: Step, where: Place, plan: TensorPlan, maps: Maps, known: Known) -> Mapping[str, Bound]:
    tensor, order = plan.tensor, plan.out.order
    bounds: dict[str, Bound] = {}
    for slot in step.rule.slots:
        found: list[Bound] = []
        for key, source in step.thresholds.items():
            if slot_of(key) != slot.name:
                continue
            if isinstance(source, Worked):
                check_source(step, source, slot, tensor)
            fitted = Fitted(
                where.name, tensor.shape, tensor.dtype, order, step.broadcast, where.file, slot.name, step.axes
            )
            for bound in source.bind_all(fitted, maps) if slot.many else (source.bind(fitted, maps),):
                settled = known.get((where.number, step.prefix + key), bound) if isinstance(bound, Pending) else bound
                found += each_cut(settled, getattr(source, "cuts", 1)) if slot.many else (settled,)
        bounds |= zip(slot.keys(len(found)), found, strict=False)
    check_ranks(step.rule, bounds, math.prod(tensor.shape))
    for values in combinations(bounds):
        step.rule.check_values(tensor.dtype, values)
    return bounds


def cuts_of(bound: Bound) -> int:
    """How many cuts a threshold will be."""
    return bound.source.cuts if isinstance(bound, Pending) and isinstance(bound.source, Worked) else 1


def _mask(step: Step, where: Place, maps: Maps) -> Mapped | None:
    """The elements of `--estimate-mask` that stand for a tensor's, in C order."""
    path = step.fit.mask
    source = None if path is None else MapThreshold.parse("@" + path)
    if source is None:
        return None
    tensor = where.contents.tensors[where.number]
    plain = tuple(range(len(tensor.shape)))
    return source.bind(Fitted(where.name, tensor.shape, tensor.dtype, plain, step.broadcast, where.file), maps)
