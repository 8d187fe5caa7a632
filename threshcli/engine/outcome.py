"""From counts to what the report tells of a file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from threshcli.dtypes import DType
from threshcli.plan.files import FilePlan
from threshcli.plan.tensors import TensorPlan
from threshcli.results import FileResult, FileStatus, TensorResult, ThresholdUsed
from threshcli.rules.base import slot_of
from threshcli.stats import Counts
from threshcli.thresholds.base import Answer, Bound, Fixed, Mapped, Pending, Spread

Used = ThresholdUsed | tuple[ThresholdUsed, ...] | None


def file_result(
    plan: FilePlan,
    counts: Mapping[int, Counts] | None,
    seconds: float,
    *,
    status: FileStatus,
    moments: bool,
) -> FileResult:
    """The result of a file that went through; without `counts`, of one that was only planned."""
    used, about = _thresholds(plan, counts or {}), _about(plan)
    tensors = tuple(
        _tensor_result(item, None if counts is None else counts.get(item.out.source) or Counts(), told, each, moments)
        for item, told, each in zip(plan.tensors, used, about, strict=True)
    )
    return FileResult(
        input=plan.job.input,
        output=plan.job.output,
        residual=plan.job.residual,
        sidecar=None if plan.sidecar is None else plan.sidecar.path,
        status=status,
        format=plan.contents.container,
        bytes_in=plan.size,
        bytes_out=plan.planned_size,
        seconds=seconds,
        tensors=tensors,
        warnings=(*plan.warnings, *_threshold_warnings(plan), *_nan_warnings(tensors)),
    )


def _thresholds(plan: FilePlan, counts: Mapping[int, Counts]) -> Sequence[Used]:
    """What is told of thresholds, by tensor; the same for files that are planned alike, unless it is counted."""
    found: Sequence[Used] | None = plan.kept.get("thresholds")
    if found is None:
        if any(isinstance(bound, Mapped) for item in plan.tensors for bound in item.bounds.values()):
            each = ((item, counts.get(item.out.source)) for item in plan.tensors)
            return [_of_all_steps(item, own) if item.applied else None for item, own in each]
        alike = {id(item.bounds): item for item in plan.tensors}  # tensors that are planned alike have the very same
        told = {bounds: _of_all_steps(item, None) for bounds, item in alike.items() if item.applied}
        found = plan.kept["thresholds"] = [told.get(id(item.bounds)) for item in plan.tensors]
    return found


def _threshold_warnings(plan: FilePlan) -> list[str]:
    found: list[tuple[int, str]] | None = plan.kept.get("warnings")
    if found is None:
        each = ((number, bound) for number, item in enumerate(plan.tensors) for bound in item.bounds.values())
        found = plan.kept["warnings"] = [(number, text) for number, bound in each for text in _said(bound)]
    return [f"tensor {plan.tensors[number].name!r}: {text}" for number, text in found]


def _said(bound: Bound) -> Iterator[str]:
    """What is to be said of a threshold; of those along an axis the first of it."""
    if isinstance(bound, Fixed) and bound.found is not None and bound.found.warning:
        yield bound.found.warning
    if isinstance(bound, Spread):
        said = [(index, answer.warning) for index, answer in enumerate(bound.found) if answer.warning]
        if said:
            yield f"{said[0][1]} (index {said[0][0]} of axis {bound.axis}, the first of {len(said):,})"


def _nan_warnings(tensors: tuple[TensorResult, ...]) -> list[str]:
    found = [(item.name, item.nan or 0, item.inf or 0) for item in tensors if item.nan or item.inf]
    return [f"tensor {name!r} holds {nan:,} NaN and {inf:,} infinite values" for name, nan, inf in found]


def _about(plan: FilePlan) -> Sequence[Mapping[str, Any]]:
    """What is told of each tensor whatever is counted of it, but for its name; the same for files planned alike."""
    found: Sequence[Mapping[str, Any]] | None = plan.kept.get("about")
    if found is None:
        known: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        each = map(_planned, plan.tensors)
        found = plan.kept["about"] = [known.setdefault(tuple(about.values()), about) for about in each]
    return found


def _planned(plan: TensorPlan) -> dict[str, Any]:
    return {
        "shape": plan.tensor.shape,
        "dtype": plan.tensor.dtype.name,
        "out_dtype": plan.out.dtype.name if plan.packed is None else plan.packed.stored.dtype.name,
        "packing": plan.unpacked if plan.packed is None else plan.packed.packing,
        "applied": plan.applied,
        "reason": plan.reason,
        "steps": tuple(item.step.name for item in plan.steps if item.step) if plan.applied else (),
        "operator": plan.rule.operator() if plan.applied else "",
        "elements": math.prod(plan.tensor.shape),
    }


def _tensor_result(
    plan: TensorPlan, counts: Counts | None, used: Used, about: Mapping[str, Any], moments: bool
) -> TensorResult:
    if counts is None or not plan.applied:
        return TensorResult(name=plan.name, threshold=used, **about)
    rule = plan.rule
    return TensorResult(
        name=plan.name,
        threshold=used,
        **about,
        selected=counts.selected,
        kept=None if rule.decides else counts.selected,
        changed=counts.changed,
        zeros_before=counts.zeros_before,
        zeros_after=counts.zeros_after,
        nan=counts.nan,
        inf=counts.inf,
        min=counts.low,
        max=counts.high,
        mean=_mean(counts) if moments else None,
        norm_before=math.sqrt(counts.squares.total) if moments or rule.norms else None,
        norm_after=math.sqrt(counts.squares_after.total) if moments or rule.norms else None,
    )


def _mean(counts: Counts) -> float | None:
    usable = counts.elements - counts.nan - counts.inf
    return counts.sums.total / usable if usable else None


def _of_all_steps(plan: TensorPlan, counts: Counts | None) -> Used:
    """What is told of the thresholds of all steps."""
    used = [
        told
        for item in plan.steps
        for key, bound in item.bounds.items()
        for told in _used(item.prefix + key, bound, item.rule.arithmetic(item.tensor.dtype), counts)
    ]
    return used[0] if len(used) == 1 else tuple(used) or None


def thresholds_used(bounds: Mapping[str, Bound], dtype: DType) -> Used:
    """What is told of the thresholds of a tensor, by key; its elements meet them in `dtype`."""
    used = [item for key, bound in bounds.items() for item in _used(key, bound, dtype, None)]
    return used[0] if len(used) == 1 else tuple(used) or None


def _used(key: str, bound: Bound, dtype: DType, counts: Counts | None) -> list[ThresholdUsed]:
    """What is told of a threshold: one, or one for each of several cuts."""
    slot = slot_of(key)
    if isinstance(bound, Pending):
        return [ThresholdUsed(spec=bound.spec, slot=slot, worked_out=True)]
    if isinstance(bound, Spread):
        return [_spread(slot, bound, dtype)]
    if isinstance(bound, Fixed):
        plain = [bound.plain(value, dtype) for value in bound.values]
        return [_worked(ThresholdUsed(spec=bound.spec, slot=slot, value=value), bound.found) for value in plain]
    low, high = bound.extremes or (None, None)
    if counts is not None:
        low, high = counts.cuts.get(key, (None, None))
    return [ThresholdUsed(spec=bound.spec, slot=slot, min=low, max=high)]


def _worked(used: ThresholdUsed, found: Answer | None) -> ThresholdUsed:
    if found is None:
        return used
    return replace(
        used,
        value=used.value if found.usable else None,
        worked_out=True,
        usable=found.usable,
        unusable=found.unusable,
        asked=found.asked,
        tied=found.tied,
        above=found.above,
    )


def _spread(slot: str, bound: Spread, dtype: DType) -> ThresholdUsed:
    found = bound.found
    ranked = bool(found) and all(answer.above is not None for answer in found)
    values = tuple(
        Fixed(bound.spec, answer.values[0], answer.above, answer).plain(answer.values[0], dtype) for answer in found
    )
    return ThresholdUsed(
        spec=bound.spec,
        slot=slot,
        min=min(values, default=None),
        max=max(values, default=None),
        worked_out=True,
        usable=sum(answer.usable for answer in found),
        unusable=sum(answer.unusable for answer in found),
        asked=sum(answer.asked or 0 for answer in found) if ranked else None,
        tied=sum(answer.tied or 0 for answer in found) if ranked else None,
        axis=bound.axis,
        values=values,
        places=tuple(answer.above or 0 for answer in found) if ranked else None,
    )
