"""One pass that tells what most questions begin with: how many, from where to where, and the first two moments.

Sums are taken in float64, leaf by leaf and pairwise inside a leaf, always in the same order, and the sums of leaves
are added without rounding: neither tiles nor workers nor the processor change a bit, and nothing cancels (Chan, Golub
& LeVeque 1983, doi:10.1080/00031305.1983.10483115).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain

import numpy as np

from threshcli.dtypes import DType, Real
from threshcli.kernels._numpy_convert import native
from threshcli.studies.base import Array, Fold, Lens, Sample, Study
from threshcli.tiles import LEAF

_USUAL = 400
"""Leaves are summed as they are while the exponent of their peak is between -400 and 400; beyond, where squares would
overflow or vanish, in units of that power of two."""
_COLUMNS = 7


@dataclass(frozen=True, slots=True)
class Summary:
    """What one pass tells of a population. Infinities of either sign are in `inf`; the extremes, moments and norms are
    those of the finite elements, None where there are none. The variance divides by n (ddof 0). What overflows float64
    is inf: a variance may, a mean does not."""

    elements: int
    nan: int
    inf: int
    negative_inf: int
    zeros: int
    low: Real | None
    high: Real | None
    mean: float | None
    variance: float | None
    mean_square: float | None
    norm1: float
    norm2: float

    @property
    def finite(self) -> int:
        """How many elements are neither NaN nor infinite."""
        return self.elements - self.nan - self.inf


@dataclass(slots=True)
class Looked:
    """How many elements of which kind there are, and the finite extremes; adds up over leaves."""

    elements: int = 0
    nan: int = 0
    inf: int = 0
    negative_inf: int = 0
    low: float | int | None = None
    high: float | int | None = None

    def add(self, other: Looked) -> None:
        self.elements += other.elements
        self.nan += other.nan
        self.inf += other.inf
        self.negative_inf += other.negative_inf
        self.reach(other.low, other.high)

    def reach(self, low: float | int | None, high: float | int | None) -> None:
        """Take note of extremes."""
        if low is not None and high is not None:
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)


def leaves(data: Array, dtype: DType, mask: Array | None) -> Iterator[Array]:
    """What `Sample.seen` shows of a stretch, a leaf at a time, as numbers that NumPy computes with. Of a leaf that the
    mask thins out, the rest is one: leaves do not depend on tiles."""
    start = 0
    for at in range(0, data.size if mask is None else mask.size, LEAF):
        count = min(LEAF, data.size - at) if mask is None else int(np.count_nonzero(mask[at : at + LEAF]))
        if count:
            yield native(data[start : start + count], dtype)
        start += count


def look(values: Array) -> tuple[Array, Looked]:
    """The finite elements of a leaf, and what is seen at a glance. The extremes make it cheap: finite ones show that
    there is neither NaN nor infinity."""
    low, high = values.min().item(), values.max().item()
    if math.isfinite(low) and math.isfinite(high):
        return values, Looked(values.size, low=low, high=high)
    usable = np.isfinite(values)
    negative, positive = (int(np.count_nonzero(values == edge)) for edge in (-np.inf, np.inf))
    finite = values[usable]
    found = Looked(values.size, values.size - finite.size - negative - positive, negative + positive, negative)
    if finite.size:
        found.reach(finite.min().item(), finite.max().item())
    return finite, found


@dataclass(slots=True)
class _State:
    """What was looked at, and a row for each leaf: elements and unit (an exponent), then in that unit a centre, the sum
    of distances from it, the sums of magnitudes and of squares, and the sum of squared distances from the centre. The
    centre is 0 where squares about it lose nothing that counts, else near the leaf's mean."""

    looked: Looked = field(default_factory=Looked)
    zeros: int = 0
    rows: array[float] = field(default_factory=lambda: array("d"))


@dataclass(frozen=True, slots=True)
class _Summing(Fold[_State]):
    lens: Lens

    def fold(self, sample: Sample) -> _State:
        state = _State()
        with np.errstate(all="ignore"):
            for leaf in leaves(*sample.seen(self.lens), sample.mask):
                values, looked = look(leaf)
                state.looked.add(looked)
                if looked.low is not None and looked.high is not None:
                    if looked.low <= 0 <= looked.high:
                        state.zeros += int(np.count_nonzero(values == 0))
                    state.rows.extend(_row(values, looked.low, looked.high))
        return state

    def add(self, a: _State, b: _State) -> _State:
        a.looked.add(b.looked)
        a.zeros += b.zeros
        a.rows.extend(b.rows)
        return a

    def nothing(self, dtype: DType) -> _State:
        return _State()


def _unit(low: float | int, high: float | int) -> int:
    """The power of two in which values from low to high are summed."""
    exponent = math.frexp(max(abs(low), abs(high)))[1]
    return 0 if -_USUAL <= exponent <= _USUAL else exponent


def _wide(values: Array, unit: int) -> Array:
    wide = values.astype(np.float64)
    return np.ldexp(wide, -unit) if unit else wide


def _row(values: Array, low: float | int, high: float | int) -> tuple[float, ...]:
    """The sums of one leaf. np.add.reduce adds pairwise, in an order that does not depend on the processor; BLAS would
    save a fifth of the time and give other bits on other processors."""
    count, unit = values.size, _unit(low, high)
    work = _wide(values, unit)
    total = float(np.add.reduce(work))
    size = abs(total)
    if low < 0 < high:
        size = float(np.add.reduce(np.abs(work, out=work)))
    square = float(np.add.reduce(np.multiply(work, work, out=work)))
    if total * total <= 0.75 * square * count:
        return count, unit, 0.0, total, size, square, square
    centre = total / count
    work = _wide(values, unit)
    rest = float(np.add.reduce(np.subtract(work, centre, out=work)))
    return count, unit, centre, rest, size, square, float(np.add.reduce(np.multiply(work, work, out=work)))


def summary(lens: Lens) -> Study[Summary]:
    """Counts, extremes, moments and norms of what is seen through a lens, in one pass."""
    state: _State = yield _Summing(lens)
    looked = state.looked
    counts = (looked.elements, looked.nan, looked.inf, looked.negative_inf, state.zeros)
    if looked.low is None or looked.high is None:
        return Summary(*counts, None, None, None, None, None, 0.0, 0.0)
    low, high = Fraction(looked.low), Fraction(looked.high)
    mean, variance, *others = _moments(state.rows, _unit(looked.low, looked.high))
    if low == high:  # what rounding leaves of a constant is not its spread
        mean, variance = float(low), 0.0
    return Summary(*counts, low, high, mean, variance, *others)


def _moments(rows: array[float], unit: int) -> tuple[float, float, float, float, float]:
    """Mean, variance, mean square, sum of magnitudes and root of the sum of squares from the sums of all leaves."""
    table = np.frombuffer(rows).reshape(-1, _COLUMNS)
    with np.errstate(all="ignore"):
        counts, steps = table[:, 0], (table[:, 1] - unit).astype(np.int32)
        centres, rests, sizes = (np.ldexp(table[:, column], steps) for column in (2, 3, 4))
        squares, spreads = (np.ldexp(table[:, column], 2 * steps) for column in (5, 6))
        number = math.fsum(counts)
        mean, square = math.fsum(chain(counts * centres, rests)) / number, math.fsum(squares)
        away = centres - mean
        spread = math.fsum(chain(spreads, 2 * away * rests, counts * away * away))
        plain = np.ldexp([mean, math.fsum(sizes), math.sqrt(square)], unit).tolist()
        squared = np.ldexp([max(spread, 0.0) / number, square / number], 2 * unit).tolist()
    return plain[0], squared[0], squared[1], plain[1], plain[2]
