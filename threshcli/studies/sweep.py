"""What each of many cuts would keep, in one pass: how many elements, how many zeros, how much of the sum of squares.

A cut is what elements have to reach, so that comparisons are exact in every dtype. Leaves are sorted: then what lies
between two cuts lies together, and the work hardly grows with the number of cuts. Squares are summed in float64 within
a leaf and between two cuts, and these sums exactly: neither tiles nor workers change a bit, and nothing cancels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from threshcli.dtypes import DType
from threshcli.kernels._numpy_convert import native
from threshcli.studies.base import Array, Fold, Lens, Sample, Study
from threshcli.tiles import LEAF

_USUAL = 400
"""Where the largest magnitude is not from 2^-400 to 2^400 squares are summed in its unit: they would overflow or
vanish."""


class Tie(NamedTuple):
    """The elements with this key at positions before `above`, which a cut by rank keeps beside the larger ones."""

    key: int
    above: int


class Cut(NamedTuple):
    """Elements whose keys are `key` or more stay, and what a `tie` says; keys are those of what is seen through a lens.
    A key past the largest is reached by none."""

    key: int
    tie: Tie | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Some elements: how many, how many of them are zero, and the sum of squares of those that are finite."""

    elements: int = 0
    zeros: int = 0
    energy: Fraction = Fraction(0)

    def __add__(self, other: Part) -> Part:
        return Part(self.elements + other.elements, self.zeros + other.zeros, self.energy + other.energy)


class Swept(NamedTuple):
    """All elements that are not NaN, and those that each cut keeps, in the order of the cuts."""

    usable: Part
    kept: tuple[Part, ...]


@dataclass(slots=True)
class _State:
    """Between limits: elements and sums of squares; elements of each tie; zeros."""

    counts: list[int]
    energies: list[Fraction]
    tied: list[int]
    zeros: int = 0


@dataclass(frozen=True, slots=True)
class _Sweeping(Fold[_State]):
    """Limits are keys in ascending order that the dtype has."""

    lens: Lens
    limits: tuple[int, ...]
    ties: tuple[Tie, ...]

    def fold(self, sample: Sample) -> _State:
        state = self._empty()
        seen, dtype = sample.seen(self.lens)
        limits = [dtype.number(key) for key in self.limits]
        with np.errstate(all="ignore"):
            for start in range(0, seen.size, LEAF):
                values = native(seen[start : start + LEAF], dtype)
                for place, tie in enumerate(self.ties):
                    before = min(max(0, tie.above - sample.start - start), values.size)
                    state.tied[place] += int(
                        np.count_nonzero(values[:before] == _typed([dtype.number(tie.key)], values))
                    )
                _sort_out(state, np.sort(values), limits)
        return state

    def add(self, a: _State, b: _State) -> _State:
        return _State(
            counts=[first + second for first, second in zip(a.counts, b.counts, strict=True)],
            energies=[first + second for first, second in zip(a.energies, b.energies, strict=True)],
            tied=[first + second for first, second in zip(a.tied, b.tied, strict=True)],
            zeros=a.zeros + b.zeros,
        )

    def nothing(self, dtype: DType) -> _State:
        return self._empty()

    def _empty(self) -> _State:
        parts = len(self.limits) + 1
        return _State([0] * parts, [Fraction(0)] * parts, [0] * len(self.ties))


def _typed(numbers: Sequence[int | float], values: Array) -> Array:
    """Numbers to compare these values with, exact."""
    return np.array(numbers, values.dtype)


def _sort_out(state: _State, values: Array, limits: Sequence[int | float]) -> None:
    """Add what there is between each two limits in a sorted leaf; NaN lies at its end."""
    least, most, end = 0, values.size, values.size
    if values.dtype.kind == "f":
        least = int(values.searchsorted(_typed([-np.inf], values), "right")[0])
        most, end = (int(values.searchsorted(_typed([np.inf], values), side)[0]) for side in ("left", "right"))
    state.zeros += int(np.count_nonzero(values == 0))
    edges = [0, *values[:end].searchsorted(_typed(limits, values)).tolist(), end]
    for place, (start, stop) in enumerate(pairwise(edges)):
        state.counts[place] += stop - start
        state.energies[place] += _energy(values[max(start, least) : min(stop, most)])


def _energy(values: Array) -> Fraction:
    """The sum of squares of ascending finite values."""
    if not values.size:
        return Fraction(0)
    wide = values.astype(np.float64)
    exponent = math.frexp(max(abs(wide[0]), abs(wide[-1])))[1]
    usual = abs(exponent) <= _USUAL
    if not usual:
        np.ldexp(wide, -exponent, out=wide)
    found = Fraction(float(np.add.reduce(np.multiply(wide, wide, out=wide))))
    return found if usual else found * Fraction(4) ** exponent


def sweep(lens: Lens, dtype: DType, cuts: Sequence[Cut]) -> Study[Swept]:
    """What each cut keeps of what is seen of elements of a dtype."""
    seen = lens.dtype(dtype)
    limits = tuple(sorted({cut.key for cut in cuts if seen.keys.low < cut.key <= seen.keys.high}))
    ties = tuple(dict.fromkeys(cut.tie for cut in cuts if cut.tie is not None))
    state: _State = yield _Sweeping(lens, limits, ties)
    parts = [Part(count, energy=energy) for count, energy in zip(state.counts, state.energies, strict=True)]
    reaching = dict(zip((*limits[::-1], seen.keys.low), accumulate(reversed(parts)), strict=True))
    tied = {tie: _tied(tie, count, seen) for tie, count in zip(ties, state.tied, strict=True)}

    def kept(cut: Cut) -> Part:
        found = reaching.get(max(cut.key, seen.keys.low), Part())
        zeros = Part(zeros=state.zeros if cut.key <= 0 else 0)
        return found + zeros + (Part() if cut.tie is None else tied[cut.tie])

    return Swept(reaching[seen.keys.low] + Part(zeros=state.zeros), tuple(map(kept, cuts)))


def _tied(tie: Tie, count: int, seen: DType) -> Part:
    """So many elements of one value."""
    value = seen.value(tie.key)
    energy = Fraction(0) if isinstance(value, float) else count * value * value
    return Part(count, count if value == 0 else 0, energy)
