"""What an output's metadata says of how it was made: a recipe, with nothing of when, where or by whom."""

from __future__ import annotations

import json
from collections.abc import Sequence

from threshcli.dtypes import Real
from threshcli.plan.request import Request, Step, by_slot, without_folder
from threshcli.plan.tensors import TensorPlan
from threshcli.rules.base import slot_of
from threshcli.spec import Number
from threshcli.thresholds.base import Fixed, Maps

KEY = "thresh"
"""The key of the metadata that it stands under."""


def provenance(request: Request, tensors: Sequence[TensorPlan], maps: Maps) -> dict[str, str]:
    """The text by its key, for containers that have room for it; none where it is not wanted."""
    if not request.provenance:
        return {}
    step = request.entries[0].steps[0]
    used = _used(tensors)
    more: dict[str, object] = {"thresholds": used} if used else {}
    if request.packing is not None:
        more["pack"] = request.packing.name
    return {KEY: json.dumps({**_stated(step, maps), **more}, sort_keys=True)}


def _stated(step: Step, maps: Maps) -> dict[str, object]:
    """A rule and its options, numbers exact."""
    elsewhere: dict[str, object] = {}
    texts: dict[str, str] = {}
    for key, source in step.thresholds.items():
        slot = slot_of(key)
        own = dict(source.provenance(slot, maps))
        texts[key] = without_folder(str(own.pop(slot, step.specs[key])))
        elsewhere |= own
    stated = {
        name: without_folder(value) if isinstance(value, str) else value
        for name, value in {**step.params(), **elsewhere, **by_slot(texts)}.items()
    }
    exact = {
        item.name: str(getattr(step.rule, item.name))
        for item in step.rule.options()
        if hasattr(getattr(step.rule, item.name), "plain")
    }
    return {"rule": step.name, **stated, **exact}


def _used(tensors: Sequence[TensorPlan]) -> dict[str, object]:
    """The thresholds that were worked out, by tensor name and slot."""
    found: dict[str, object] = {}
    for plan in tensors:
        own: dict[str, list[object]] = {}
        for key, bound in plan.bounds.items():
            if isinstance(bound, Fixed) and bound.found is not None:
                dtype = plan.rule.arithmetic(plan.tensor.dtype)
                values = [_plain(bound.compared(value, dtype)) for value in bound.values]
                own.setdefault(slot_of(key), []).extend(values)
        if own:
            found[plan.name] = own
    return found


def _plain(value: Real) -> object:
    """JSON has no infinities."""
    return str(value) if isinstance(value, float) else Number.of(value).plain
