"""Order statistics of many elements by a sample: where a wanted rank must lie, and one pass that collects only there.

A sample of short blocks, one at a random place in each of many equal parts, gives for every wanted rank a *span* of
places that holds it but for bad luck. The pass counts what lies below each span and collects what lies inside. How wide
a span must be is estimated from how much neighbouring blocks differ: elements of one block are alike in most files, so
that a formula for independent elements would promise too much, while in sorted data all but one pair of blocks agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from threshcli.dtypes import DType
from threshcli.studies._ordered import PIECE, Found, find, joined, least, most, nan, number, places, usable
from threshcli.studies.base import Array, Fold, Lens, Sample

BLOCK = 512
"""Elements of a block of the sample."""
BLOCKS, MOST_BLOCKS = 256, 8192
"""Blocks are at least and at most so many; in between their number grows with the root of that of the elements, so that
neither they nor what is collected between them cost much."""
DEVIATIONS = 4
"""Standard deviations of a rank's place in the sample that its span reaches to either side."""
HEAVY = 128
"""One value that makes up a share of 1 / HEAVY of the sample gets a span of its own: it is counted, not collected."""
ROOM = 1 << 25
"""Bytes of elements that may be collected at once."""
_WORD = (1 << 64) - 1


class Span(NamedTuple):
    """Places from `low` to `high`, both included."""

    low: int
    high: int


@dataclass(slots=True)
class Sampled:
    """Blocks of elements as they were seen, by position; how many were read for them, and where the last one ended."""

    read: int = 0
    stop: int = 0
    blocks: dict[int, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blocks(Fold[Sampled]):
    """Short blocks from all over the population, its last elements among them: so its size is known too."""

    lens: Lens

    def fold(self, sample: Sample) -> Sampled:
        seen, _ = sample.seen(self.lens)
        return Sampled(sample.count, sample.start + sample.count, {sample.start: seen.copy()} if seen.size else {})

    def add(self, a: Sampled, b: Sampled) -> Sampled:
        a.read, a.stop = a.read + b.read, max(a.stop, b.stop)
        a.blocks.update(b.blocks)
        return a

    def nothing(self, dtype: DType) -> Sampled:
        return Sampled()

    def stretches(self, elements: int) -> Iterator[tuple[int, int]]:
        count = min(max(BLOCKS, math.isqrt(elements // 64)), MOST_BLOCKS, elements)
        for part in range(count):
            low, high = part * elements // count, (part + 1) * elements // count
            free = max(0, high - low - BLOCK)
            start = low + (free if part == count - 1 else _scattered(part) * (free + 1) >> 32)
            yield start, min(start + BLOCK, high)


class Spread(NamedTuple):
    """A sample in ascending order; in the order of positions with the size of each block; elements it stands for."""

    ordered: Array
    walked: Array
    starts: Array
    sizes: Array
    stands_for: int

    def around(self, rank: int, dtype: DType) -> Span:
        """The span in which the element of this rank must lie, but for bad luck."""
        count = self.ordered.size
        middle = (rank + 0.5) / self.stands_for * count
        at = self.ordered[min(max(int(middle), 0), count - 1)]
        margin = DEVIATIONS * max(self._deviation(self.walked < at), self._deviation(self.walked <= at)) + BLOCK
        low, high = math.floor(middle - margin), math.ceil(middle + margin)
        return Span(
            int(self.ordered[low]) if low >= 0 else least(dtype),
            int(self.ordered[high]) if high < count else most(dtype),
        )

    def _deviation(self, under: Array) -> float:
        """The standard deviation of how many sampled elements lie under a value, from the differences between
        neighbouring blocks (Wolter 2007, Introduction to Variance Estimation, section 8.2)."""
        each = np.add.reduceat(under, self.starts, dtype=np.int64)
        off = each - self.sizes * (int(each.sum()) / self.walked.size)
        if off.size < 2:
            return float(self.walked.size)
        return math.sqrt(float(np.square(np.diff(off)).sum()) / 2)

    def apart(self, span: Span) -> Iterator[Span]:
        """The span, cut so that each value that makes up much of the sample is alone."""
        ends = np.array(span, self.ordered.dtype)
        start, stop = np.searchsorted(self.ordered, ends[0], "left"), np.searchsorted(self.ordered, ends[1], "right")
        different, counts = np.unique(self.ordered[start:stop], return_counts=True)
        low = span.low
        for place in map(int, different[counts * HEAVY >= self.ordered.size]):
            if low < place:
                yield Span(low, place - 1)
            yield Span(place, place)
            low = place + 1
        if low <= span.high:
            yield Span(low, span.high)


def spread(sampled: Sampled, dtype: DType) -> Spread | None:
    """The sample, ready to be asked; None if no element of it is usable. Empties `sampled`."""
    blocks = [sampled.blocks.pop(start) for start in sorted(sampled.blocks)]
    if not blocks:
        return None
    sizes = np.array([block.size for block in blocks], np.int64)
    seen = joined(blocks)
    unusable = nan(seen, dtype)
    if unusable is not None:
        sizes -= np.add.reduceat(unusable, np.cumsum(sizes) - sizes, dtype=np.int64)
        sizes = sizes[sizes > 0]
    walked = usable(seen, dtype)
    if not walked.size:
        return None
    stands_for = max(1, round(sampled.stop * walked.size / sampled.read))
    return Spread(np.sort(walked), walked, np.cumsum(sizes) - sizes, sizes, stands_for)


def spans(sample: Spread, ranks: Sequence[int], dtype: DType) -> tuple[Span, ...]:
    """Spans, ascending and apart, for ranks among as many elements as the sample stands for."""
    merged: list[Span] = []
    step = max(1, sample.stands_for // sample.ordered.size)
    for rank in sorted({rank // step: rank for rank in ranks}.values()):  # neighbours would get the same span
        span = sample.around(rank, dtype)
        if merged and span.low <= merged[-1].high:
            merged[-1] = Span(min(merged[-1].low, span.low), max(merged[-1].high, span.high))
        else:
            merged.append(span)
    return tuple(part for span in merged for part in sample.apart(span))


def _scattered(number: int) -> int:
    """32 bits that depend on a number as if by chance, the same in every run (the finalizer of SplitMix: Steele, Lea &
    Flood 2014, doi:10.1145/2660193.2660195)."""
    bits = (number + 1) * 0x9E3779B97F4A7C15 & _WORD
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & _WORD
    return (bits ^ bits >> 31) >> 32


@dataclass(slots=True)
class Share:
    """What lies below a span, inside, and, unless that is more than there is room for, which places those are."""

    room: int
    below: int = 0
    inside: int = 0
    pieces: list[Array] = field(default_factory=list)

    def add(self, below: int, inside: int, pieces: list[Array]) -> None:
        self.below += below
        self.inside += inside
        self.pieces += pieces
        if self.inside > self.room:
            self.pieces.clear()


@dataclass(slots=True)
class Inside:
    """How many elements are NaN, how many are not, and the share of each span."""

    usable: int
    nan: int
    shares: list[Share]


@dataclass(frozen=True, slots=True)
class Collect(Fold[Inside]):
    """Counts what lies below each span and inside, and collects the places inside while there are few enough of them;
    nothing is collected for spans of one place. For dtypes that NumPy compares."""

    lens: Lens
    spans: tuple[Span, ...]

    def fold(self, sample: Sample) -> Inside:
        seen, dtype = sample.seen(self.lens)
        total = self._empty(dtype)
        ends = [(number(span.low, dtype), number(span.high, dtype)) for span in self.spans]
        with np.errstate(invalid="ignore"):  # a signalling NaN
            for start in range(0, seen.size, PIECE):
                piece = seen[start : start + PIECE]
                unusable = nan(piece, dtype)
                total.nan += 0 if unusable is None else int(np.count_nonzero(unusable))
                for share, (low, high) in zip(total.shares, ends, strict=True):
                    _take(piece, dtype, low, high, share)
        total.usable = seen.size - total.nan
        return total

    def _empty(self, dtype: DType) -> Inside:
        room = ROOM // dtype.itemsize // max(1, sum(span.low < span.high for span in self.spans))
        return Inside(0, 0, [Share(room if span.low < span.high else 0) for span in self.spans])

    def add(self, a: Inside, b: Inside) -> Inside:
        a.usable, a.nan = a.usable + b.usable, a.nan + b.nan
        for mine, other in zip(a.shares, b.shares, strict=True):
            mine.add(other.below, other.inside, other.pieces)
        return a

    def nothing(self, dtype: DType) -> Inside:
        return self._empty(self.lens.dtype(dtype))

    def find(self, state: Inside, ranks: Sequence[int]) -> dict[int, Found]:
        """The order statistics that lie in spans and were not too many; empties the state."""
        found: dict[int, Found] = {}
        for span, share in zip(self.spans, state.shares, strict=True):
            own = [rank for rank in set(ranks) if share.below <= rank < share.below + share.inside]
            if span.low == span.high:
                found.update(dict.fromkeys(own, Found(span.low, share.below, share.inside)))
            elif own and share.pieces:
                offsets = [rank - share.below for rank in own]
                found.update(zip(own, find(joined(share.pieces), offsets, share.below), strict=True))
        return found


def _take(piece: Array, dtype: DType, low: np.generic[Any], high: np.generic[Any], share: Share) -> None:
    """Add a piece's share of a span. Comparing numbers is quicker than working out the places of all elements."""
    below = piece < low
    under = int(np.count_nonzero(below))
    inside = np.not_equal(below, piece <= high, out=below)
    if share.inside < share.room:
        found = places(piece[inside], dtype)
        share.add(under, found.size, [found] if found.size else [])
    else:
        share.add(under, int(np.count_nonzero(inside)), [])
