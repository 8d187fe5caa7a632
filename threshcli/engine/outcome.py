"""From counts to what the report tells of a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from threshcli.dtypes import DType
from threshcli.plan.files import FilePlan
from threshcli.plan.tensors import TensorPlan
from threshcli.results import FileResult, FileStatus, TensorResult, ThresholdUsed
from threshcli.rules.base import Rule
from threshcli.spec import Number
from threshcli.stats import Counts
from threshcli.thresholds.base import Bound, Fixed


def file_result(
    plan: FilePlan,
    rule: Rule,
    counts: Mapping[int, Counts] | None,
    seconds: float,
    *,
    status: FileStatus,
    moments: bool,
) -> FileResult:
    """The result of a file that went through; without `counts`, of one that was only planned."""
    tensors = tuple(
        _tensor_result(item, rule, None if counts is None else counts.get(item.out.source, Counts()), moments=moments)
        for item in plan.tensors
    )
    return FileResult(
        input=plan.job.input,
        output=plan.job.output,
        residual=plan.job.residual,
        status=status,
        format=plan.contents.container,
        bytes_in=plan.size,
        bytes_out=plan.planned_size,
        seconds=seconds,
        tensors=tensors,
        warnings=(*plan.warnings, *_nan_warnings(tensors)),
    )


def _nan_warnings(tensors: tuple[TensorResult, ...]) -> list[str]:
    found = [(item.name, item.nan or 0, item.inf or 0) for item in tensors if item.nan or item.inf]
    return [f"tensor {name!r} holds {nan:,} NaN and {inf:,} infinite values" for name, nan, inf in found]


def _tensor_result(plan: TensorPlan, rule: Rule, counts: Counts | None, *, moments: bool) -> TensorResult:
    result = TensorResult(
        name=plan.name,
        shape=plan.tensor.shape,
        dtype=plan.tensor.dtype.name,
        out_dtype=plan.out.dtype.name,
        applied=plan.applied,
        reason=plan.reason,
        threshold=_thresholds(plan, counts),
        elements=math.prod(plan.tensor.shape),
    )
    if counts is None or not plan.applied:
        return result
    return replace(
        result,
        selected=counts.selected,
        kept=None if rule.levels else counts.selected,
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


def _thresholds(plan: TensorPlan, counts: Counts | None) -> ThresholdUsed | tuple[ThresholdUsed, ...] | None:
    used = tuple(_used(slot, bound, plan.tensor.dtype, counts) for slot, bound in plan.bounds.items())
    return used[0] if len(used) == 1 else used or None


def _used(slot: str, bound: Bound, dtype: DType, counts: Counts | None) -> ThresholdUsed:
    if isinstance(bound, Fixed):
        value = Number(bound.spec, bound.value).plain
        if dtype.is_float:  # what was compared with: the number rounded to the dtype
            value = float(dtype.value(dtype.key(bound.value)))
        return ThresholdUsed(spec=bound.spec, value=value)
    low, high = (None, None) if counts is None else counts.cuts.get(slot, (None, None))
    return ThresholdUsed(spec=bound.spec, min=low, max=high)
