"""Thresholds that an output tells of, in place of those that would have to be worked out to compare it.

An output tells of the number, and not of a cut by rank which elements equal to it are above it. So there are two
readings, with all of them below and with all of them above; each element has to be as one of the two has it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from threshcli.dtypes import Real
from threshcli.plan.files import FilePlan
from threshcli.plan.tensors import Known, TensorPlan
from threshcli.thresholds.base import Answer, Fixed, Pending


def remembered(plan: FilePlan, text: str, *, above: bool) -> Known | None:
    """The thresholds that are pending in a plan, as the text in its output tells them; None unless it tells them all.
    Elements equal to them are all `above` them, or none."""
    try:
        told = json.loads(text).get("thresholds")
    except (ValueError, RecursionError, AttributeError):
        return None
    known: dict[tuple[int, str], Fixed] = {}
    for item in plan.tensors:
        for key, bound in _pending(item).items():
            value = _value(told, item, key)
            if value is None:
                return None
            place = item.view.elements if above else 0
            known[item.out.source, key] = Fixed(bound.spec, value, place, Answer((value,), place))
    return known


def _pending(item: TensorPlan) -> Mapping[str, Pending]:
    """What is pending of a tensor, by key."""
    bounds = {step.prefix + key: bound for step in item.steps for key, bound in step.bounds.items()}
    return {key: bound for key, bound in bounds.items() if isinstance(bound, Pending)}


def _value(told: Any, item: TensorPlan, key: str) -> Real | None:
    """The number that is told of one threshold of a tensor; None where there is none, or several."""
    own = told.get(item.name) if isinstance(told, dict) and len(item.steps) == 1 else None
    values = own.get(key) if isinstance(own, dict) else None
    if not isinstance(values, list) or len(values) != 1:
        return None
    if values[0] in ("inf", "-inf"):
        return float(values[0])
    plain = isinstance(values[0], int | float) and not isinstance(values[0], bool) and math.isfinite(values[0])
    return Fraction(values[0]) if plain else None
