"""Thresholds of an earlier report."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Self

from threshcli.dtypes import Real
from threshcli.errors import UsageError
from threshcli.thresholds.base import Answer, Fitted, Fixed, Maps, Spread, Threshold

_INFINITE = {"Infinity": math.inf, "-Infinity": -math.inf}
_FIT = ("scope", "ties", "scale", "offset", "at_least", "at_most", "ignore_zero", "estimate_mask", "bins")


@dataclass(frozen=True)
class ReportThreshold(Threshold):
    """`@report.json`: the thresholds that `solve --json`, or any rule with `--json`, has reported, by tensor name.

    Where several files of the report have a tensor of that name, the one whose file has the same name counts. A cut by
    rank comes with its ties, so that the same elements stay.
    """

    form: ClassVar[str] = "@report.json"
    meaning: ClassVar[str] = "thresholds worked out earlier, by tensor name"

    text: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        return cls(text, text[1:]) if text.startswith("@") and text.endswith(".json") else None

    def bind(self, tensor: Fitted, maps: Maps) -> Fixed | Spread:
        entry = self._entry(tensor, maps.report(self.path))
        try:
            return _bound(str(entry["spec"]), entry, tensor)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{self.path} holds no usable threshold for {tensor.name!r}: {error}") from error

    def provenance(self, slot: str, maps: Maps) -> Mapping[str, object]:
        """What was asked for when the report was made."""
        params = maps.report(self.path).get("params", {})
        asked = params.get(slot, params.get("threshold", self.text))
        return {slot: asked, **{name: params[name] for name in _FIT if name in params}}

    def _entry(self, tensor: Fitted, report: dict[str, Any]) -> dict[str, Any]:
        """The report's threshold for a tensor and a slot."""
        found: list[tuple[str, Any]] = []
        names: list[str] = []
        for file in report.get("files", ()):
            for item in file.get("tensors", ()):
                if item.get("threshold") is not None:
                    names.append(str(item["name"]))
                    if item["name"] == tensor.name:
                        found.append((str(file["input"]), item["threshold"]))
        same = [entry for entry in found if _last(entry[0]) == _last(tensor.file)]
        wanted = [entry for _, entry in same or found]
        if not wanted:
            near = difflib.get_close_matches(tensor.name, names, 3) or sorted(names)[:3]
            held = ", ".join(repr(name) for name in near) or "none at all"
            raise UsageError(f"{self.path} has no threshold for {tensor.name!r}; it has {held}")
        if any(entry != wanted[0] for entry in wanted[1:]):
            raise UsageError(
                f"{self.path} has several thresholds for {tensor.name!r}", hint="solve files of different names"
            )
        return self._slot(wanted[0], tensor.slot)

    def _slot(self, entry: Any, slot: str) -> dict[str, Any]:
        entries = entry if isinstance(entry, list) else [entry]
        named = [item for item in entries if isinstance(item, dict) and item.get("slot", slot) == slot]
        if len(named) != 1:
            raise UsageError(f"{self.path} has {len(named)} thresholds for --{slot}", hint="a rule takes one a slot")
        return dict(named[0])


def _last(file: str) -> str:
    """A file's name without its folders."""
    return file.rpartition("/")[2]


def _bound(spec: str, entry: Mapping[str, Any], tensor: Fitted) -> Fixed | Spread:
    if "values" in entry:
        axis = int(entry["axis"])
        above = entry.get("above") or [None] * len(entry["values"])
        found = tuple(
            Answer(values=(_real(value),), above=None if place is None else int(place))
            for value, place in zip(entry["values"], above, strict=True)
        )
        if not 0 <= axis < len(tensor.shape) or len(found) != tensor.shape[axis]:
            raise ValueError(f"they are {len(found)} along axis {axis}, the shape is {list(tensor.shape)}")
        return Spread(spec, axis, found)
    if entry["value"] is None and 0 in tensor.shape:  # a tensor without elements needed no threshold
        return Fixed(spec, Fraction(0), None, Answer(values=(Fraction(0),)))
    value, place = _real(entry["value"]), entry.get("above")
    place = None if place is None else int(place)
    numbers = {name: entry.get(name) for name in ("asked", "tied")}
    answer = Answer(
        values=(value,), above=place, usable=entry.get("usable") or 0, unusable=entry.get("unusable") or 0, **numbers
    )
    return Fixed(spec, value, place, answer)


def _real(value: Any) -> Real:
    if isinstance(value, str):
        return _INFINITE[value]
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ValueError(f"{value!r} is not a number")
    return Fraction(value)
