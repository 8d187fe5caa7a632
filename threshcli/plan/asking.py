"""From the arguments of a command, texts as people write them, to a request."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_type_hints

from threshcli import packings, thresholds
from threshcli.dtypes import DTYPES, DType
from threshcli.errors import UsageError
from threshcli.plan.fit import Fit, Scope
from threshcli.plan.names import Names
from threshcli.plan.request import Entry, Request, Step
from threshcli.plan.selection import Selection
from threshcli.rules.base import Rule, Slot
from threshcli.spec import Axes, Number, Numbers, parse_size
from threshcli.thresholds.base import Threshold

DECIDING: Mapping[str, Any] = {
    "scope": "tensor",
    "ties": "first",
    "scale": None,
    "offset": None,
    "at_least": None,
    "at_most": None,
    "ignore_zero": False,
    "estimate_mask": None,
    "bins": 256,
    "axes": None,
    "broadcast": False,
    "out_dtype": None,
}
"""The options of every rule that decide what is written, as they are when they are not given."""


def request_of(name: str, rule: type[Rule], given: Mapping[str, Any], *, moments: bool) -> Request:
    """The request that a command's arguments make; `moments` says whether the report tells means and norms. Raises
    UsageError."""
    selection = Selection(tuple(given["tensor"] or ()), tuple(given["exclude"] or ()))
    return request_with((Entry(selection, (step_of(name, rule, given),)),), name, given, moments=moments)


def step_of(name: str, rule: type[Rule], given: Mapping[str, Any]) -> Step:
    """A rule with all that decides what it writes, from the command's arguments; UsageError."""
    made = rule(**_fields_of(rule, given))
    asked = {slot: _texts_of(given[slot.name]) for slot in rule.slots}
    made.check(frozenset(slot.name for slot, texts in asked.items() if texts))
    specs, parsed = _thresholds_of(asked)
    fit = fitting(given)
    fit.check(parsed)
    return Step(
        rule=made,
        name=name,
        thresholds=parsed,
        specs=specs,
        fit=fit,
        axes=axes_of(given["axes"]),
        out_dtype=dtype_of(given["out_dtype"]),
        broadcast=given["broadcast"],
    )


def request_with(entries: tuple[Entry, ...], command: str, given: Mapping[str, Any], *, moments: bool) -> Request:
    """The request of these entries: where outputs go and how the work is done comes from a command's arguments."""
    return Request(
        entries=entries,
        command=command,
        names=Names(
            output=given["output"],
            out_dir=given["out_dir"],
            keep_tree=given["keep_tree"],
            in_place=given["in_place"],
            residual=given.get("residual"),
            to=given["to"],
            rule=command,
            dry_run=given["dry_run"],
        ),
        packing=None if given.get("pack") is None else packings.find(given["pack"]),
        overwrite=given["overwrite"],
        skip_existing=given["skip_existing"],
        fsync=given["fsync"],
        provenance=not given["no_provenance"],
        sidecar=given["sidecar"],
        device=given["device"],
        jobs=jobs_of(given["jobs"]),
        max_memory=parse_size(given["max_memory"]),
        moments=moments,
    )


def fitting(given: Mapping[str, Any]) -> Fit:
    """How thresholds are worked out, from the command's arguments."""
    numbers = {name: given[name] for name in ("scale", "offset", "at_least", "at_most")}
    return Fit(
        scope=Scope.parse(given["scope"]),
        ties=given["ties"],
        ignore_zero=given["ignore_zero"],
        mask=given["estimate_mask"],
        bins=given["bins"],
        **{
            name: None if text is None else _number_of(f"--{name.replace('_', '-')}", text)
            for name, text in numbers.items()
        },
    )


def axes_of(text: str | None) -> Axes | None:
    """The axes that `--axes` names."""
    return None if text is None else Axes.parse(text.removeprefix("="))


def jobs_of(text: str) -> int:
    """The number of workers that `--jobs` asks for."""
    if text == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise UsageError(f"--jobs {text!r} is not a number of workers", hint="use auto, or a number from 1")
    return int(text)


def parsed_as(kind: Any) -> Any:
    """The type that a field of a rule is read as from text, if it has a way of its own."""
    return next((one for one in (kind, *get_args(kind)) if hasattr(one, "parse")), None)


def _fields_of(rule: type[Rule], given: Mapping[str, Any]) -> dict[str, Any]:
    """The rule's fields from the command's arguments."""
    hints = get_type_hints(rule)
    values: dict[str, Any] = {}
    for item in rule.options():
        value = given[item.name]
        if value is None:
            continue
        parsed = parsed_as(hints[item.name])
        if parsed in (Number, Numbers):
            value = _number_of(f"--{item.name}", value, parsed)
        elif parsed is not None:
            value = parsed.parse(value)
        values[item.name] = value
    return values


def _number_of(option: str, text: str, kind: Any = Number) -> Any:
    try:
        return kind.parse(text.removeprefix("="))
    except UsageError as error:
        raise UsageError(f"{option}: {error.what}", hint=error.hint) from error


def _texts_of(value: str | list[str] | None) -> list[str]:
    """What was given for a slot, once or repeatedly."""
    return [text.removeprefix("=") for text in ([value] if isinstance(value, str) else value or [])]


def _thresholds_of(asked: Mapping[Slot, Sequence[str]]) -> tuple[dict[str, str], dict[str, Threshold]]:
    """The thresholds by key: their texts, and what these mean."""
    specs: dict[str, str] = {}
    parsed: dict[str, Threshold] = {}
    for slot, texts in asked.items():
        read = (thresholds.parse_list(text) if slot.many else [(text, thresholds.parse(text))] for text in texts)
        found = [pair for pairs in read for pair in pairs]
        for key, (text, source) in zip(slot.keys(len(found)), found, strict=False):
            specs[key], parsed[key] = text, source
    return specs, parsed


def dtype_of(name: str | None) -> DType | None:
    """The dtype that `--out-dtype` names; None for that of the input."""
    if name is None or name == "keep":
        return None
    if name not in DTYPES:
        raise UsageError(f"--out-dtype {name!r} is not a dtype", hint=f"there are {', '.join(DTYPES)}")
    return DTYPES[name]
