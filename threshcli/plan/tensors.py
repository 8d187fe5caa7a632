"""One tensor, settled: what is done with it, by which thresholds, in which dtype and order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from threshcli.containers.base import Container, Contents, OutTensor, Tensor
from threshcli.dtypes import DType, Real
from threshcli.errors import InternalError, UsageError
from threshcli.packings.base import Packed
from threshcli.plan.request import Request, Step
from threshcli.rules.base import Rule, Slot, crossed, slot_of
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
    step: Step | None = None
    """What is done; None where nothing is, or where nobody but the engine's caller knows."""

    @property
    def rule(self) -> Rule:
        """The rule that is applied; only where one is."""
        if self.step is None:
            raise InternalError(f"no rule is applied to {self.name!r}")
        return self.step.rule


class Place(NamedTuple):
    """Where a tensor stands: its file, the contents of that, its index in them, its name for people and patterns."""

    file: str
    contents: Contents
    number: int
    name: str


_Cut = tuple[Real, float]

Known = Mapping[tuple[int, str], Fixed | Spread | Mapped]
"""Thresholds that were worked out, by the tensor's index in its file and the slot."""


def plan_tensor(request: Request, where: Place, kind: Container, maps: Maps, known: Known) -> TensorPlan:
    """The plan of one tensor of a file; UsageError, naming it, where rule, thresholds or output cannot take it."""
    contents, index, name = where.contents, where.number, where.name
    tensor, steps = contents.tensors[index], request.steps_for(name)
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
            swapped=kind.keeps_byte_order and tensor.view.swapped,
            source=index,
            copied=True,
        ),
        applied=False,
        reason="not selected",
        bounds={},
    )
    try:
        return _with_step(copied, request, steps[0], where, maps, known) if steps else copied
    except UsageError as error:
        raise UsageError(f"tensor {name!r}: {error.what}", hint=error.hint) from error


def _with_step(plan: TensorPlan, request: Request, step: Step, where: Place, maps: Maps, known: Known) -> TensorPlan:
    """The plan of a tensor that is worked on; UsageError where that is not possible."""
    tensor, rule = plan.tensor, step.rule
    out_dtype = step.out_dtype or rule.output(tensor.dtype)
    refusal = rule.refusal(tensor.dtype, out_dtype)
    if refusal is not None:
        return plan._replace(reason=refusal, step=step)
    if request.packing is not None:  # which knows elements in one order only
        plain = tuple(range(len(tensor.shape)))
        plan = plan._replace(view=tensor.view.permuted(plain), out=replace(plan.out, order=plain, swapped=False))
    check_dtypes(rule, tensor.dtype, out_dtype)
    rule.check_shape(tensor.shape)
    if step.axes is not None:
        step.axes.of(len(tensor.shape))
    bounds = _bind(step, where, plan.out.order, maps, known)
    rule.check_cuts(sum(map(cuts_of, bounds.values())), out_dtype)
    return plan._replace(
        out=replace(plan.out, dtype=out_dtype, copied=False),
        applied=True,
        reason=None,
        bounds=bounds,
        mask=_mask(step, where, maps),
        step=step,
    )


def check_dtypes(rule: Rule, dtype: DType, out: DType) -> None:
    """UsageError where the rule's constants, or the values that it keeps, have no place in the output's dtype."""
    for option, number in rule.constants():
        number.code(out, option)
    policy = rule.nan_policy
    if policy.action == "keep" and rule.decides and dtype.is_float and not out.is_float:
        hint = "use --nan below, above or fill=V" if rule.levels else "leave it out, or use --nan fill=V"
        raise UsageError(f"--nan keep cannot keep NaN in {out.name}", hint=hint)
    if out is dtype or out.compared.is_float or rule.decides:
        return
    fits = not dtype.is_float and dtype.is_real and out.kind in ("int", "uint")
    if not fits or not (out.keys.low <= dtype.keys.low and dtype.keys.high <= out.keys.high):
        raise UsageError(
            f"values of {dtype.name} do not all fit in {out.name}",
            hint="use the rule binary for masks, or a floating-point --out-dtype",
        )


def _bind(step: Step, where: Place, order: tuple[int, ...], maps: Maps, known: Known) -> Mapping[str, Bound]:
    tensor = where.contents.tensors[where.number]
    bounds: dict[str, Bound] = {}
    for slot in step.rule.slots:
        found: list[Bound] = []
        for key, source in step.thresholds.items():
            if slot_of(key) != slot.name:
                continue
            if isinstance(source, Worked):
                _check_source(step, source, slot, tensor)
            fitted = Fitted(
                where.name, tensor.shape, tensor.dtype, order, step.broadcast, where.file, slot.name, step.axes
            )
            for bound in source.bind_all(fitted, maps) if slot.many else (source.bind(fitted, maps),):
                known_bound = known.get((where.number, key), bound) if isinstance(bound, Pending) else bound
                found += each_cut(known_bound, getattr(source, "cuts", 1)) if slot.many else (known_bound,)
        bounds |= zip(slot.keys(len(found)), found, strict=False)
    check_ranks(step.rule, bounds, math.prod(tensor.shape))
    for values in combinations(bounds):
        step.rule.check_values(tensor.dtype, values)
    return bounds


def each_cut(bound: Bound, cuts: int) -> Iterator[Bound]:
    """The single cuts of a source that gives so many."""
    if isinstance(bound, Fixed) and bound.found is not None:
        for value in bound.found.values:
            yield bound._replace(value=value, found=bound.found._replace(values=(value,)))
    elif isinstance(bound, Spread):
        for place in range(cuts):
            own = (answer._replace(values=(answer.values[place],)) for answer in bound.found)
            yield bound._replace(found=tuple(own))
    else:
        yield bound


def cuts_of(bound: Bound) -> int:
    """How many cuts a threshold will be."""
    return bound.source.cuts if isinstance(bound, Pending) and isinstance(bound.source, Worked) else 1


def check_ranks(rule: Rule, bounds: Mapping[str, Bound], elements: int) -> None:
    """UsageError where of two equal cuts of one slot, in a tensor of so many elements, the first leaves more of those
    that are equal to it below."""
    reached = getattr(rule, "compare", None) == "ge"
    for (first, low), (second, high) in pairwise(bounds.items()):
        pairs = (
            _matched(*(_places(bound, elements, reached) for bound in (low, high)))
            if slot_of(first) == slot_of(second)
            else []
        )
        if any(a[0] == b[0] and a[1] < b[1] for a, b in pairs):
            raise crossed(first, second)


def _places(bound: Bound, elements: int, reached: bool) -> list[_Cut]:
    """A number, or those along an axis, with the position before which elements equal to it are above it."""
    found = [(bound.value, bound.above)] if isinstance(bound, Fixed) else []
    if isinstance(bound, Spread):
        found = [(answer.values[0], answer.above) for answer in bound.found]
    everywhere = elements // max(1, len(found))
    return [
        (value, (math.inf if reached else 0) if above is None else math.inf if above == everywhere else above)
        for value, above in found
    ]


def _matched(a: list[_Cut], b: list[_Cut]) -> Iterator[tuple[_Cut, _Cut]]:
    """What meets each other of two lists, of which one may stand for the whole axis."""
    for index in range(max(len(a), len(b)) if a and b else 0):
        yield a[index % len(a)], b[index % len(b)]


def _mask(step: Step, where: Place, maps: Maps) -> Mapped | None:
    """The elements of `--estimate-mask` that stand for a tensor's, in C order."""
    path = step.fit.mask
    source = None if path is None else MapThreshold.parse("@" + path)
    if source is None:
        return None
    tensor = where.contents.tensors[where.number]
    plain = tuple(range(len(tensor.shape)))
    return source.bind(Fitted(where.name, tensor.shape, tensor.dtype, plain, step.broadcast, where.file), maps)


def _check_source(step: Step, source: Worked, slot: Slot, tensor: Tensor) -> None:
    """UsageError where a source that is worked out from data cannot serve this rule or this tensor."""
    rule, scope = step.rule, step.fit.scope
    source.check({tensor.dtype})
    if source.several and not slot.many:
        raise UsageError(f"{source.text} gives several cuts, and {step.name} takes one", hint="use otsu")
    if source.keeps_largest and getattr(rule, "compare", None) in ("lt", "le"):
        raise UsageError(
            f"{source.text} keeps the largest, --compare {getattr(rule, 'compare', '')} the smallest",
            hint="use --compare gt or ge, or a percentile such as p10",
        )
    rank = len(tensor.shape)
    if scope.kind == "axis" and not -rank <= scope.axis < rank:
        raise UsageError(f"has {rank} axes, and --scope is {scope}", hint="choose tensors with --tensor GLOB")


def combinations(bounds: Mapping[str, Bound]) -> Iterator[dict[str, Real]]:
    """The numbers that are compared with together: those of all slots, for each index along an axis."""
    numbers = {key: bound for key, bound in bounds.items() if isinstance(bound, Fixed | Spread)}
    lengths = [len(bound.found) for bound in numbers.values() if isinstance(bound, Spread)]
    for index in range(max(lengths, default=1)):
        yield {
            key: bound.value if isinstance(bound, Fixed) else bound.found[index].values[0]
            for key, bound in numbers.items()
        }
