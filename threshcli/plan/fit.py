"""How thresholds are worked out from data: over what, of which elements, and what is done to the number then."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Literal, NamedTuple

from threshcli.dtypes import Real
from threshcli.errors import UsageError
from threshcli.spec import Number
from threshcli.thresholds.base import Answer, Terms, Threshold, Ties
from threshcli.thresholds.report import is_report

_MOST_BINS = 1 << 20
_LARGEST = Fraction(sys.float_info.max)
_SCOPE = re.compile(r"(tensor|file|global)|axis:(-?\d{1,3})", re.ASCII)


class Scope(NamedTuple):
    """Over what a threshold is worked out: a tensor, each index along an axis of it, a file, all files of a call."""

    kind: Literal["tensor", "axis", "file", "global"] = "tensor"
    axis: int = 0

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read tensor, axis:N, file or global; raises UsageError."""
        match = _SCOPE.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"--scope {text!r} is not a scope", hint="use tensor, axis:N, file or global")
        return cls("axis", int(match[2])) if match[2] else cls(match[1])  # type: ignore[arg-type]  # one of the words

    def __str__(self) -> str:
        return f"axis:{self.axis}" if self.kind == "axis" else self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The options of thresholds that are worked out from data; `mask` is a file whose elements that are not zero say
    which elements are looked at."""

    scope: Scope = Scope()
    ties: Ties = "first"
    scale: Number | None = None
    offset: Number | None = None
    at_least: Number | None = None
    at_most: Number | None = None
    ignore_zero: bool = False
    mask: str | None = None
    bins: int = 256

    def check(self, thresholds: Mapping[str, Threshold]) -> None:
        """UsageError where options contradict each other, or modify what is not worked out from data."""
        if self.at_least and self.at_most and self.at_least.value > self.at_most.value:
            raise UsageError("--at-least is above --at-most", hint="exchange them")
        for number in (self.scale, self.offset, self.at_least, self.at_most):
            if number is not None and number.is_nan:
                raise UsageError("a threshold cannot be NaN", hint="give --scale, --offset and limits as numbers")
        for number in (self.scale, self.offset):
            if number is not None and (isinstance(number.value, float) or abs(number.value) > _LARGEST):
                raise UsageError(f"--scale and --offset must be finite, not {number}", hint="give finite numbers")
        if self.mask is not None and (not self.mask or is_report(self.mask)):
            raise UsageError(f"--estimate-mask {self.mask!r} is not a map", hint="give a tensor file, or FILE::NAME")
        if not 2 <= self.bins <= _MOST_BINS:
            raise UsageError(f"--bins {self.bins} is not from 2 to {_MOST_BINS:,}", hint="leave it out: there are 256")
        for source in thresholds.values():
            if source.spatial and self.scope != Scope():
                raise UsageError(
                    f"a threshold from a window has no --scope {self.scope}",
                    hint="--axes keeps the images of a batch apart",
                )
        if any(source.from_data for source in thresholds.values()):
            return
        given = [item.name for item in fields(self) if getattr(self, item.name) != item.default]
        if given:
            name = "estimate-mask" if given[0] == "mask" else given[0].replace("_", "-")
            raise UsageError(
                f"--{name} is for thresholds worked out from data", hint="such as p90, top1000, zero90% or otsu"
            )

    def terms(self, magnitude: bool) -> Terms:
        return Terms(magnitude=magnitude, bins=self.bins, ties=self.ties)

    def modified(self, answer: Answer) -> Answer:
        """The threshold t as t * scale + offset in float64, then not under --at-least, not over --at-most. A cut by
        rank that has moved is a number like any other."""
        values = tuple(self._modified(value) for value in answer.values)
        return answer if values == answer.values else answer._replace(values=values, above=None)

    def _modified(self, value: Real) -> Real:
        if self.scale is not None or self.offset is not None:
            scale, offset = (float(number.value) if number else 0.0 for number in (self.scale, self.offset))
            moved = float(value) * (scale if self.scale else 1.0) + offset
            value = moved if moved in (float("inf"), float("-inf")) or moved != moved else Fraction(moved)
        if self.at_least is not None and value < self.at_least.value:
            value = self.at_least.value
        if self.at_most is not None and value > self.at_most.value:
            value = self.at_most.value
        return value

    def exact(self) -> dict[str, str]:
        """The numbers that are not what their nearest float is, as they were written."""
        numbers = {item.name: getattr(self, item.name) for item in fields(self)}
        found = {name: value for name, value in numbers.items() if isinstance(value, Number)}
        return {
            name: number.text
            for name, number in found.items()
            if isinstance(number.value, float) or number.value != Number.parse(str(number.plain)).value
        }

    def params(self) -> dict[str, object]:
        """The options that are not as they are by default, as the report states them."""
        stated: dict[str, object] = {"scope": str(self.scope)}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name != "scope" and value != item.default:
                name = "estimate_mask" if item.name == "mask" else item.name
                stated[name] = value.plain if isinstance(value, Number) else value
        return stated
