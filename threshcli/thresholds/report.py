"""Thresholds of an earlier report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from reprlib import repr as shown
from typing import Any, ClassVar, NamedTuple, Self

from threshcli.dtypes import Real
from threshcli.errors import UsageError
from threshcli.near import near_names
from threshcli.thresholds.base import Answer, Fitted, Fixed, Maps, Spread, Threshold

LINES = (".ndjson", ".jsonl")
"""How the names of reports end that are a line a file."""
_INFINITE = {"Infinity": math.inf, "-Infinity": -math.inf}
_HINT = "work them out again: thresh solve FILE... -t SPEC --json"
_MAP = "write them to a map, and use that: thresh solve FILE -t SPEC -o MAP, then -t @MAP"
_FIT = ("scope", "ties", "scale", "offset", "at_least", "at_most", "ignore_zero", "estimate_mask", "bins")


def is_report(path: str) -> bool:
    """Whether a file that thresholds are read from is meant as a report: the others are maps."""
    return path.endswith((".json", *LINES))


class About(NamedTuple):
    """A file, and shapes and dtypes of the tensors in it that a rule works on, by name."""

    file: str
    tensors: Mapping[str, tuple[tuple[int, ...], str]]


@dataclass(frozen=True)
class ReportThreshold(Threshold):
    """`@report.json`, `@report.ndjson`: the thresholds that `solve --json`, or any rule with `--json` or `--report
    ndjson`, has reported, by tensor name.

    Where several files of the report have a tensor of that name, the same file counts, or one of the same name. A cut
    by rank comes with its ties, so that the same elements stay.
    """

    form: ClassVar[str] = "@report.json, @report.ndjson"
    meaning: ClassVar[str] = "thresholds worked out earlier, by tensor name"

    text: str
    path: str
    _held: dict[str, list[tuple[str, Any]]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        return cls(text, text[1:]) if text.startswith("@") and is_report(text) else None

    def bind(self, tensor: Fitted, maps: Maps) -> Fixed | Spread:
        found = self.bind_all(tensor, maps)
        if len(found) != 1:
            raise UsageError(
                f"{self.path} has {len(found)} thresholds for --{tensor.slot}", hint="this takes one; levels takes many"
            )
        return found[0]

    def bind_all(self, tensor: Fitted, maps: Maps) -> Sequence[Fixed | Spread]:
        entries = self._entries(tensor, self._by_name(maps.report(self.path)))
        if not entries:
            raise UsageError(
                f"{self.path} has no threshold for --{tensor.slot}", hint="use a report of the same rule, or of solve"
            )
        return [self._of(entry, tensor, maps) for entry in entries]

    def asked(self, slot: str, about: About, maps: Maps) -> Mapping[str, object]:
        """What was asked for, and how, when the report was made of this file: of one of its name, whose tensors had
        these shapes and dtypes. Empty where it was made of others."""
        report = maps.report(self.path)
        (params,) = _objects([report.get("params")]) or [{}]
        plain = {name: value for name, value in params.items() if isinstance(value, str | int | float)}
        asked = plain.get(slot, plain.get("threshold"))
        files = _objects(report.get("files"))
        same = [file for file in files if file.get("input") == about.file]
        same = same or [file for file in files if _last(str(file.get("input"))) == _last(about.file)]
        held = _objects(same[0].get("tensors")) if len(same) == 1 else []
        known = {str(item.get("name")): (item.get("shape"), item.get("dtype")) for item in held}
        if not about.tensors or not isinstance(asked, str) or asked.startswith("@"):
            return {}
        if any(known.get(name) != (list(shape), dtype) for name, (shape, dtype) in about.tensors.items()):
            return {}
        fit = {name: plain[name] for name in _FIT if name in plain}
        if "estimate_mask" in fit:
            fit["estimate_mask"] = _last(str(fit["estimate_mask"]))
        return {slot: asked, **fit}

    def _of(self, entry: Mapping[str, Any], tensor: Fitted, maps: Maps) -> Fixed | Spread:
        """A threshold of the report as this tensor's."""
        spec = entry.get("spec")
        (params,) = _objects([maps.report(self.path).get("params")]) or [{}]
        if params.get("scope") in ("file", "global"):
            entry = {**entry, "asked": None, "tied": None}  # asked of several tensors together: not of this one
        try:
            return _bound(spec if isinstance(spec, str) else self.text, entry, tensor)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(
                f"{self.path} holds no usable threshold for {tensor.name!r}: {error}",
                hint=getattr(error, "hint", None) or _HINT,
            ) from error

    def _by_name(self, report: Mapping[str, Any]) -> Mapping[str, list[tuple[str, Any]]]:
        """The thresholds of the report by tensor name, each with its file; gathered once for all tensors."""
        if not self._held:
            for file in _objects(report.get("files")):
                for item in _objects(file.get("tensors")):
                    if item.get("threshold") is not None:
                        found = str(file.get("input")), item["threshold"]
                        self._held.setdefault(str(item.get("name")), []).append(found)
        return self._held

    def _entries(self, tensor: Fitted, held: Mapping[str, list[tuple[str, Any]]]) -> list[dict[str, Any]]:
        """The report's thresholds for a tensor and a slot."""
        found = held.get(tensor.name, [])
        same = [entry for entry in found if entry[0] == tensor.file]
        same = same or [entry for entry in found if _last(entry[0]) == _last(tensor.file)]
        wanted = [entry for _, entry in same or found]
        if not wanted:
            names = ", ".join(map(repr, near_names(tensor.name, held))) or "none at all"
            raise UsageError(
                f"{self.path} has no threshold for {tensor.name!r}; it has {names}",
                hint="make the report from the same tensors, or choose those that it has with --tensor GLOB",
            )
        if any(entry != wanted[0] for entry in wanted[1:]):
            raise UsageError(
                f"{self.path} has several thresholds for {tensor.name!r}", hint="solve files of different names"
            )
        items = _objects(wanted[0] if isinstance(wanted[0], list) else [wanted[0]])
        return [item for item in items if item.get("slot", tensor.slot) == tensor.slot]


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects in what should be a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _last(file: str) -> str:
    """A file's name without its folders."""
    return file.rpartition("/")[2]


def _bound(spec: str, entry: Mapping[str, Any], tensor: Fitted) -> Fixed | Spread:
    if "values" in entry:
        return Spread(spec, *_along(entry, tensor))
    if entry.get("value") is None and entry.get("min") is not None:
        raise UsageError("each element had its own", hint=_MAP)
    if entry.get("value") is None and 0 in tensor.shape:  # a tensor without elements needed no threshold
        return Fixed(spec, Fraction(0), None, Answer(values=(Fraction(0),)))
    value, above = _real(entry.get("value")), _count(entry.get("above"))
    asked, tied, usable, unusable = (_count(entry.get(name)) for name in ("asked", "tied", "usable", "unusable"))
    if usable is None:  # it was a number, and still is
        return Fixed(spec, value, above)
    return Fixed(spec, value, above, Answer((value,), above, asked, tied, usable, unusable or 0))


def _along(entry: Mapping[str, Any], tensor: Fitted) -> tuple[int, tuple[Answer, ...]]:
    """An axis, and the thresholds along it."""
    axis, values, above = _count(entry.get("axis")), entry["values"], entry.get("above")
    if axis is None or not isinstance(values, list) or not isinstance(above, list | None):
        raise ValueError("they are no list along an axis")
    if axis >= len(tensor.shape) or len(values) != tensor.shape[axis]:
        raise ValueError(f"they are {len(values)} along axis {axis}, the shape is {list(tensor.shape)}")
    pairs = zip(values, above or [None] * len(values), strict=True)
    return axis, tuple(Answer(values=(_real(value),), above=_count(place)) for value, place in pairs)


def _count(value: Any) -> int | None:
    """A number of elements, or none; positions behind all elements are among them."""
    if value is None or (type(value) is int and 0 <= value < 1 << 63):
        return value
    raise ValueError(f"{shown(value)} is not a count")


def _real(value: Any) -> Real:
    if isinstance(value, str) and value in _INFINITE:
        return _INFINITE[value]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{shown(value)} is not a number")
    return Fraction(value)
