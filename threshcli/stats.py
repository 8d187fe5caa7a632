"""Counts that add up: what is known of a tensor after all its tiles, in whatever order they came."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Measure:
    """What one pass over a block tells: extremes of all but NaN (None without such an element), counts, sums.

    `sums` and `squares` hold, for each LEAF of elements, the float64 sum of the finite values and of their squares;
    they are empty unless asked for.
    """

    low: float | int | None
    high: float | int | None
    nan: int
    inf: int
    zeros: int
    sums: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Moments:
    """Sums kept leaf by leaf and added exactly at the end, so that no order of tiles or workers changes a bit."""

    parts: array[float] | tuple[()] = ()  # most counts have none

    def add(self, sums: list[float]) -> None:
        if isinstance(self.parts, tuple):
            self.parts = array("d")
        self.parts.extend(sums)

    @property
    def total(self) -> float:
        return math.fsum(self.parts)


_NO_CUTS: Mapping[str, tuple[float | int | None, float | int | None]] = {}  # nobody writes into it


def _least(a: float | int | None, b: float | int | None) -> float | int | None:
    return b if a is None else a if b is None else min(a, b)


def _greatest(a: float | int | None, b: float | int | None) -> float | int | None:
    return b if a is None else a if b is None else max(a, b)


@dataclass(slots=True)
class Counts:
    """What is counted of one tensor while it is worked on; `merge` adds another worker's share."""

    elements: int = 0
    selected: int = 0
    changed: int = 0
    zeros_before: int = 0
    zeros_after: int = 0
    nan: int = 0
    inf: int = 0
    low: float | int | None = None
    high: float | int | None = None
    sums: Moments = field(default_factory=Moments)
    squares: Moments = field(default_factory=Moments)
    squares_after: Moments = field(default_factory=Moments)
    cuts: Mapping[str, tuple[float | int | None, float | int | None]] = field(default_factory=lambda: _NO_CUTS)

    def extremes(self, low: float | int | None, high: float | int | None) -> None:
        """Take note of the extremes of a tile."""
        if low is None or high is None:
            return
        if self.low is None or low < self.low:
            self.low = low
        if self.high is None or high > self.high:
            self.high = high

    def cut(self, slot: str, low: float | int | None, high: float | int | None) -> None:
        """Take note of the extremes of a threshold that varies."""
        before = self.cuts.get(slot, (None, None))
        self.cuts = {**self.cuts, slot: (_least(before[0], low), _greatest(before[1], high))}

    def merge(self, other: Counts) -> None:
        """Add what another worker has counted of the same tensor."""
        for name in ("elements", "selected", "changed", "zeros_before", "zeros_after", "nan", "inf"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.extremes(other.low, other.high)
        for name in ("sums", "squares", "squares_after"):
            getattr(self, name).add(list(getattr(other, name).parts))
        for slot, (low, high) in other.cuts.items():
            self.cut(slot, low, high)
