"""Exact counts for a histogram that is looked at: where the finite elements lie, how many reach each of some limits.

Rows of floats are equal parts of [low, high]; rows of integers hold equally many whole numbers, so none is narrower
than 1. An element is in the last row whose edge it reaches: edges, thresholds and elements are compared as real
numbers, in every dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from threshcli.dtypes import FLOAT64, DType, Range
from threshcli.kernels._numpy_convert import native
from threshcli.studies.base import Array, Fold, Lens, Sample, Study
from threshcli.studies.summary import Looked, leaves, look

Value = float | int
_HUGE = 2.0**1000  # beyond it the range of two elements may overflow


@dataclass(frozen=True, slots=True)
class _Looking(Fold[Looked]):
    lens: Lens

    def fold(self, sample: Sample) -> Looked:
        state = Looked()
        with np.errstate(all="ignore"):
            for leaf in leaves(*sample.seen(self.lens), sample.mask):
                state.add(look(leaf)[1])
        return state

    def add(self, a: Looked, b: Looked) -> Looked:
        a.add(b)
        return a

    def nothing(self, dtype: DType) -> Looked:
        return Looked()


def extent(lens: Lens) -> Study[Looked]:
    """How many elements there are, of which NaN and infinite, and the finite extremes, in one pass."""
    found: Looked = yield _Looking(lens)
    return found


def edges(low: Value, high: Value, rows: int) -> tuple[Value, ...]:
    """The edges of at most `rows` rows from low to high. The last one ends the last row: for floats it belongs to that,
    for integers it is the first whole number that does not. A constant has one row."""
    if isinstance(low, int) and isinstance(high, int):
        step = -(-(high - low + 1) // rows)
        return tuple(range(low, high + step + 1, step))
    if low == high:
        return low, high
    scale = 0.25 if max(abs(low), abs(high)) > _HUGE else 1.0
    while True:
        found = np.linspace(low * scale, high * scale, rows + 1) / scale
        if rows == 1 or np.all(np.diff(found) > 0):
            return tuple(found.tolist())
        rows //= 2  # there are not so many numbers between the two


def limits(found: Sequence[Value], dtype: DType) -> tuple[Value | None, ...]:
    """What elements of `dtype` have to reach to be at or above each edge, in numbers that they are compared with; that
    of the last edge is reached by nothing that is in a row."""
    if not dtype.is_float:
        return (*found[:-1], None)
    if dtype is FLOAT64:
        return (*found[:-1], np.inf)
    wide = np.array(found[:-1], np.float64)
    narrow = wide.astype(np.float32)
    narrow = np.where(narrow < wide, np.nextafter(narrow, np.float32(np.inf)), narrow)
    return (*narrow.tolist(), np.inf)


def ends(kept: Range, dtype: DType) -> tuple[Value | None, Value | None]:
    """A range of keys as what elements have to reach to be in it, and what to be past it; None where none can."""
    first, past = kept.low, kept.high + 1
    if kept.empty:
        return None, None
    return dtype.number(first), dtype.number(past) if past <= dtype.keys.high else None


@dataclass(frozen=True, slots=True)
class Ties:
    """The elements equal to `value` at positions before `above`, which a cut by rank keeps."""

    value: Value
    above: int


@dataclass(frozen=True, slots=True)
class _Reaching(Fold[Array]):
    """How many elements reach each limit, and last how many are such ties."""

    lens: Lens
    limits: tuple[Value | None, ...]
    ties: Ties | None

    def fold(self, sample: Sample) -> Array:
        counts = np.zeros(len(self.limits) + 1, np.int64)
        with np.errstate(invalid="ignore"):  # a signalling NaN
            for leaf in leaves(*sample.seen(self.lens), sample.mask):
                reached, kind = np.empty(leaf.size, np.bool_), leaf.dtype.type
                for place, limit in enumerate(self.limits):
                    if limit is not None:
                        counts[place] += np.count_nonzero(np.greater_equal(leaf, kind(limit), out=reached))
        counts[-1] = self._tied(sample)
        return counts

    def _tied(self, sample: Sample) -> int:
        if self.ties is None or self.ties.above <= sample.start:
            return 0
        before = slice(0, self.ties.above - sample.start)
        values = native(sample.whole(self.lens)[before], sample.seen(self.lens)[1])
        equal = values == values.dtype.type(self.ties.value)
        if sample.mask is not None:
            equal &= sample.mask[before]
        return int(np.count_nonzero(equal))

    def add(self, a: Array, b: Array) -> Array:
        a += b
        return a

    def nothing(self, dtype: DType) -> Array:
        return np.zeros(len(self.limits) + 1, np.int64)


def reaching(lens: Lens, found: Sequence[Value | None], ties: Ties | None = None) -> Study[tuple[list[int], int]]:
    """How many elements reach each limit, NaN none; and how many are ties of a cut by rank that are kept."""
    counts: Array = yield _Reaching(lens, tuple(found), ties)
    *reached, tied = counts.tolist()
    return reached, tied


def rows_of(reached: Sequence[int]) -> tuple[int, ...]:
    """How many elements are in each row, from how many reach each edge."""
    return tuple(first - second for first, second in pairwise(reached))
