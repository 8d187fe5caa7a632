"""Histograms in at most two passes: where the finite elements lie, then how many of them are in each bin.

Integers have one bin a value as long as they span less than 2^16 values; all else has equal bins from the smallest to
the largest element, those of `numpy.histogram` of the float64 copy, bit for bit. Formats of up to 16 bits need the
first pass only: it counts codes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from threshcli.dtypes import DTYPES, DType
from threshcli.kernels._numpy_convert import native, storage
from threshcli.studies.base import Array, Fold, Lens, Sample, Study
from threshcli.studies.summary import Looked, leaves, look
from threshcli.tiles import LEAF

_SPAN = 1 << 16
"""Integers that span fewer values have one bin each."""
_FEW = LEAF // 8
"""So many codes are kept as they are; of more, a count for each code there can be takes less."""
_MARGIN = 0.05
"""Elements so near to an edge, in bins, may be left to NumPy, which is ten times slower; if rounding blurs edges more
than that, all are."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many of the `usable` (finite) elements are in each bin, and the centres of the bins in float64.

    With `exact` each value has a bin of its own, and there are no edges; of integers, `first` is the value of the first
    bin. Nothing but equal elements make one bin; no usable elements, none.
    """

    counts: Array
    centres: Array
    edges: Array | None
    usable: int
    unusable: int
    exact: bool
    first: int | None = None

    def at(self, position: float) -> Fraction:
        """The value at a position counted in bins: 0 is the centre of the first, 0.5 lies between it and the second."""
        if self.first is not None:
            return self.first + Fraction(position)
        if self.edges is None or position == int(position):
            return Fraction(float(self.centres[int(position)]))
        low, high = float(self.edges[0]), float(self.edges[-1])
        share = (position + 0.5) / len(self.counts)
        return Fraction(low * (1 - share) + high * share)


def histogram(lens: Lens, bins: int) -> Study[Histogram]:
    """The histogram of what is seen through a lens, NaN and infinities left out; `bins` bins unless it is exact."""
    survey: _Survey = yield _Surveying(lens)
    looked, values, weights = survey.known()
    unusable = looked.nan + looked.inf
    if looked.low is None or looked.high is None:
        return Histogram(np.zeros(0, np.int64), np.zeros(0), None, 0, unusable, exact=False)
    grid = _grid(lens, bins, looked.low, looked.high)
    usable = looked.elements - unusable
    if grid.size == 1:
        return grid.histogram(np.array([usable]), usable, unusable)
    counts: Array = (yield grid) if values is None else grid.weigh(values, weights)
    return grid.histogram(counts, usable, unusable)


@dataclass(slots=True)
class _Survey:
    """What the first pass tells: the extremes, or of narrow dtypes the codes, loose while they are few."""

    dtype: str
    loose: Array
    counts: Array | None = None
    looked: Looked = field(default_factory=Looked)

    def keep(self, codes: Array) -> None:
        """Take note of codes."""
        self.loose = np.append(self.loose, codes)
        if self.loose.size > _FEW:
            self.count(_tally(self.loose))
            self.loose = self.loose[:0].copy()

    def count(self, counts: Array) -> None:
        """Take note of how often each code occurs."""
        self.counts = counts if self.counts is None else self.counts + counts

    def known(self) -> tuple[Looked, Array | None, Array | None]:
        """What was seen at a glance; of narrow dtypes also the finite values, and how often each occurs."""
        dtype = DTYPES[self.dtype]
        if dtype.itemsize > 2:
            return self.looked, None, None
        codes, weights = self.loose, np.ones(self.loose.size, np.int64)
        if self.counts is not None:
            self.count(_tally(self.loose))
            codes = np.flatnonzero(self.counts).astype(self.loose.dtype)
            weights = self.counts[codes]
        with np.errstate(invalid="ignore"):  # signalling NaN
            values = native(codes.view(storage(dtype)), dtype)
        if not values.size:
            return Looked(), values, weights
        finite, looked = look(values)
        weights, every = weights[np.isfinite(values)], int(weights.sum())
        usable = int(weights.sum())
        return Looked(every, every - usable, low=looked.low, high=looked.high), finite, weights


def _tally(codes: Array) -> Array:
    """How often each code there can be occurs, in pieces that stay in cache."""
    counts = np.zeros(1 << 8 * codes.itemsize, np.int64)
    for start in range(0, codes.size, 4 * LEAF):
        piece = codes[start : start + 4 * LEAF]
        if piece.itemsize == 1 and piece.size >= LEAF:  # counted in pairs: half the work
            paired = piece.size & ~1
            pairs = np.bincount(piece[:paired].view(np.uint16), minlength=_SPAN).reshape(256, 256)
            counts += pairs.sum(axis=0) + pairs.sum(axis=1)
            piece = piece[paired:]
        counts += np.bincount(piece, minlength=counts.size)
    return counts


@dataclass(frozen=True, slots=True)
class _Surveying(Fold[_Survey]):
    lens: Lens

    def fold(self, sample: Sample) -> _Survey:
        with np.errstate(all="ignore"):
            data, dtype = sample.seen(self.lens)
            state = _begun(dtype)
            if dtype.itemsize <= 2:
                state.keep(data.view(state.loose.dtype))
                return state
            for leaf in leaves(data, dtype, sample.mask):
                state.looked.add(look(leaf)[1])
            return state

    def add(self, a: _Survey, b: _Survey) -> _Survey:
        a.looked.add(b.looked)
        a.keep(b.loose)
        if b.counts is not None:
            a.count(b.counts)
        return a

    def nothing(self, dtype: DType) -> _Survey:
        return _begun(self.lens.dtype(dtype))


def _begun(dtype: DType) -> _Survey:
    return _Survey(dtype.name, np.zeros(0, f"u{dtype.itemsize}"))


@dataclass(frozen=True, slots=True)
class _Grid(Fold[Array]):
    """The second pass: how many elements are in each of `size` bins."""

    lens: Lens
    size: int

    @abstractmethod
    def count(self, parts: Iterator[Array]) -> Array:
        """How many elements of these finite values are in each bin."""

    @abstractmethod
    def weigh(self, values: Array, weights: Array | None) -> Array:
        """The same of one array, each value as often as its weight says."""

    @abstractmethod
    def histogram(self, counts: Array, usable: int, unusable: int) -> Histogram:
        """The histogram with these counts."""

    def fold(self, sample: Sample) -> Array:
        with np.errstate(all="ignore"):
            return self.count(_finite(leaf) for leaf in leaves(*sample.seen(self.lens), sample.mask))

    def add(self, a: Array, b: Array) -> Array:
        a += b
        return a

    def nothing(self, dtype: DType) -> Array:
        return np.zeros(self.size, np.int64)


def _finite(values: Array) -> Array:
    usable = np.isfinite(values)
    return values if usable.all() else values[usable]


def _grid(lens: Lens, bins: int, low: float | int, high: float | int) -> _Grid:
    """The bins for elements from low to high."""
    if isinstance(low, int) and isinstance(high, int) and high - low < _SPAN:
        return _Values(lens, high - low + 1, low)
    scale = (
        0.25 if max(abs(low), abs(high)) > 2.0**1000 else 1.0
    )  # else a range or a sum of two edges might be infinite
    first, last = float(low) * scale, float(high) * scale
    while bins > 1 and np.any(np.diff(np.linspace(first, last, bins + 1)) <= 0):
        bins //= 2  # there are not so many numbers between the two
    return _Bins(lens, 1 if first == last else bins, first, last, scale)


@dataclass(frozen=True, slots=True)
class _Values(_Grid):
    """One bin for each integer from `first` on."""

    first: int

    def count(self, parts: Iterator[Array]) -> Array:
        return sum((self.weigh(values, None) for values in parts), np.zeros(self.size, np.int64))

    def weigh(self, values: Array, weights: Array | None) -> Array:
        away = values.astype(np.uint64) - np.uint64(self.first % (1 << 64))  # modulo 2^64: no dtype is too narrow
        counts: Array = np.bincount(away.view(np.int64), weights, self.size).astype(np.int64, copy=False)
        return counts

    def histogram(self, counts: Array, usable: int, unusable: int) -> Histogram:
        centres = np.arange(self.size, dtype=np.float64) + self.first
        return Histogram(counts, centres, None, usable, unusable, True, self.first)


@dataclass(frozen=True, slots=True)
class _Bins(_Grid):
    """Equal bins over [low, high], the last one closed, in units of `scale`. Which bin an element is in is a matter of
    scaling, unless it is so near to an edge that rounding might decide: such elements are left to `numpy.histogram`."""

    low: float
    high: float
    scale: float

    def count(self, parts: Iterator[Array]) -> Array:
        counts, left = np.zeros(self.size, np.int64), np.zeros(0)
        for values in parts:
            found, close = self._scaled(values)
            counts += found
            left = np.append(left, close)
            if left.size > _FEW:
                counts += self.weigh(left, None)
                left = left[:0]
        return counts + self.weigh(left, None) if left.size else counts

    def _scaled(self, values: Array) -> tuple[Array | int, Array]:
        """Counts of the elements whose bin is beyond doubt, and the others."""
        kind = np.float32 if values.dtype == np.float32 and self._blur(np.float32) < _MARGIN else np.float64
        blur = self._blur(kind)
        if blur > _MARGIN:
            return 0, values
        own = values if kind is np.float32 else values.astype(np.float64) * self.scale
        at = own - kind(self.low)
        at *= kind(self.size / (self.high - self.low))
        place = at.astype(np.int32)
        at -= np.rint(at)
        close = np.flatnonzero(np.abs(at, out=at) < blur)
        place[close] = self.size
        return np.bincount(place, minlength=self.size + 1)[:-1], values[close]

    def _blur(self, kind: type[np.floating[Any]]) -> float:
        """How far, in bins, rounding may shift elements or edges; infinite where not even that is known."""
        reach, span = max(abs(self.low), abs(self.high)), self.high - self.low
        if kind is np.float32:
            return self.size * 2.0**-21 if 1e-30 < span < 1e30 else math.inf
        return self.size * 2.0**-50 * (1 + reach / span) if span > 1e-290 else math.inf

    def weigh(self, values: Array, weights: Array | None) -> Array:
        wide = values.astype(np.float64) * self.scale
        counts: Array = np.histogram(wide, self.size, (self.low, self.high), weights=weights)[0]
        return counts

    def histogram(self, counts: Array, usable: int, unusable: int) -> Histogram:
        if self.low == self.high:
            return Histogram(counts, np.array([self.low / self.scale]), None, usable, unusable, True)
        edges = np.linspace(self.low, self.high, self.size + 1)
        centres = (edges[:-1] + edges[1:]) / 2
        return Histogram(counts, centres / self.scale, edges / self.scale, usable, unusable, False)
