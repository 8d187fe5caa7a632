"""What an output's metadata says of how it was made: a recipe, with nothing of when, where or by whom."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from threshcli.dtypes import Real
from threshcli.plan.request import Entry, Request, Step, by_slot, without_folder
from threshcli.plan.tensors import TensorPlan
from threshcli.rules.base import slot_of
from threshcli.spec import Number
from threshcli.thresholds.base import Fixed, Maps
from threshcli.thresholds.report import About, ReportThreshold

Asked = Callable[[Step], Mapping[str, object]]
KEY = "thresh"
"""The key of the metadata that it stands under."""


def sidecar_of(path: str) -> str:
    """The file beside an output that holds its recipe, where that is wanted."""
    return f"{path}.{KEY}.json"


def left_beside(path: str) -> tuple[str, ...]:
    """A warning where a recipe lies beside an output that is made in another way."""
    beside = sidecar_of(path)
    if not os.path.exists(beside):  # noqa: PTH110 - that of a path object raises an error where it cannot look
        return ()
    return (f"{beside} tells of what was there before: remove it, or renew it with --sidecar",)


def provenance(
    request: Request, tensors: Sequence[TensorPlan], before: str | None, file: str, maps: Maps
) -> dict[str, object]:
    """The recipe of an output, with the thresholds that were worked out for it, and (`before`, the text of that) the
    recipe of its input. Thresholds of a report of this very file are noted as what was asked for there."""
    about = About(file, {plan.name: (plan.tensor.shape, plan.tensor.dtype.name) for plan in tensors if plan.applied})
    found = recipe_of(request, folders=False, asked=lambda step: _asked(step, about, maps))
    used = _used(tensors)
    if used:
        found["thresholds"] = used
    if before is not None:
        found["before"] = history(before)
    return found


def without_packing(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata of which the recipe does not tell that the output was packed."""
    found = dict(metadata)
    try:
        told = json.loads(found.get(KEY, ""))
    except (ValueError, RecursionError):
        return found
    if isinstance(told, dict) and told.pop("pack", None) is not None:
        found[KEY] = json.dumps(told, sort_keys=True)
    return found


def recipe_of(request: Request, *, folders: bool, asked: Asked = lambda _: {}) -> dict[str, object]:
    """What makes of the same input the same output; files are named as they were given, or without their folders. What
    was `asked` for stands in place of a step's thresholds."""
    entries = [_entry(entry, folders, asked) for entry in request.entries]
    found: dict[str, object] = entries[0] if len(entries) == 1 else {"rules": entries}
    return found if request.packing is None else {**found, "pack": request.packing.name}


def history(text: str) -> list[object]:
    """What was done before, as an earlier recipe tells it: the recipes one after the other, that one last."""
    try:
        found = json.loads(text)
        before = found.pop("before", []) if isinstance(found, dict) else []
        if isinstance(found, dict) and isinstance(before, list):
            return [*before, json.loads(json.dumps(found))]
    except (ValueError, RecursionError):
        pass
    return [text]  # none of ours, yet not ours to drop


def _asked(step: Step, about: About, maps: Maps) -> Mapping[str, object]:
    """What a report was asked for from which a step has its thresholds, if that can be done again with the same answer;
    several reports, or other thresholds that are worked out, must have been asked for alike."""
    found: dict[str, object] = {}
    for key, source in step.thresholds.items():
        if isinstance(source, ReportThreshold):
            own = source.asked(slot_of(key), about, maps)
            fit = {name: value for name, value in own.items() if name not in step.specs}
            other = {name: value for name, value in found.items() if name not in step.specs} if found else fit
            if not own or fit != other:
                return {}
            found |= own
    return {} if step.is_fitted else found


def _entry(entry: Entry, folders: bool, asked: Asked) -> dict[str, object]:
    selection = entry.selection
    patterns: dict[str, Sequence[str]] = {
        "tensors": selection.keep,
        "exclude": selection.exclude,
        "regex": [item.pattern for item in selection.regex],
    }
    found: dict[str, object] = {name: list(texts) for name, texts in patterns.items() if texts}
    if entry.optional:
        found["optional"] = True
    steps = [_step(step, folders) | dict(asked(step)) for step in entry.steps]
    return found | ({"keep": True} if not steps else steps[0] if len(steps) == 1 else {"steps": steps})


def _step(step: Step, folders: bool) -> dict[str, object]:
    """A rule and its options, numbers exact."""
    name = str if folders else without_folder
    texts = {key: name(text) for key, text in step.specs.items()}
    stated = {**step.params(), **by_slot(texts), **step.exact()}
    if step.fit.mask is not None:
        stated["estimate_mask"] = name("@" + step.fit.mask)[1:]
    return {"rule": step.name, **stated}


def unlike(request: Request, found: Mapping[str, Any]) -> list[str]:
    """Warnings where a recipe that was noted by thresh does not give what it was noted of: the input has another past,
    or thresholds over all inputs are others."""
    noted, said = request.noted, []
    if noted is None:
        return []
    if _read(noted.get("before", [])) != _read(found.get("before", [])):
        said.append("the recipe was noted of a file that other rules had been applied to before than to this one")
    shared = any(step.is_fitted and step.fit.scope.kind == "global" for step in request.steps)
    old, new = noted.get("thresholds"), found.get("thresholds")
    if shared and isinstance(old, dict) and isinstance(new, dict):
        both = old.keys() & new.keys()
        if any(_read(old[name]) != _read(new[name]) for name in both):
            said.append(
                "thresholds over all inputs are others than the recipe notes: name all files that it was made from"
            )
    return said


def _read(value: object) -> object:
    """A part of a recipe with its numbers as Python's own, however they were read."""
    try:
        return json.loads(json.dumps(value, default=float))
    except (ValueError, RecursionError):
        return None


def _used(tensors: Sequence[TensorPlan]) -> dict[str, object]:
    """The thresholds that were worked out, by tensor name and slot."""
    found: dict[str, object] = {}
    for plan in tensors:
        own: dict[str, list[object]] = {}
        for item in plan.steps if plan.applied else ():
            dtype = item.rule.arithmetic(item.tensor.dtype)
            for key, bound in item.bounds.items():
                if isinstance(bound, Fixed) and bound.found is not None:
                    values = [_plain(bound.compared(value, dtype)) for value in bound.values]
                    own.setdefault(slot_of(item.prefix + key), []).extend(values)
        if own:
            found[plan.name] = own
    return found


def _plain(value: Real) -> object:
    """JSON has no infinities."""
    return str(value) if isinstance(value, float) else Number.of(value).plain


def with_thresholds(planned: str, found: str) -> str:
    """A text that was planned before thresholds were worked out, with those of another that is alike."""
    return found if alike(planned, found) else planned


def alike(one: str, other: str) -> bool:
    """Whether two texts tell of the same, but for thresholds that were worked out."""
    return _without_thresholds(one) == _without_thresholds(other)


def _without_thresholds(text: str) -> object:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(found, dict):
        return text
    return {name: value for name, value in found.items() if name != "thresholds"}
