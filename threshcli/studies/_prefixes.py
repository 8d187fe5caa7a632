"""Order statistics of any elements by counting: the slow way that always works.

A pass counts how often each value of the leading 16 bits of a place occurs, so that it is known which of them a rank
has; the next pass looks at the following 16 bits of those elements, or collects them if they have become few.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from threshcli.dtypes import DType
from threshcli.studies import _brackets
from threshcli.studies._brackets import Collect, Span
from threshcli.studies._gather import CODES
from threshcli.studies._ordered import Found, least, most, usable
from threshcli.studies.base import Array, Fold, Lens, Sample, Study

DIGIT = 16
"""Bits that are counted in a pass."""
AT_ONCE = 16
"""Ranks that are looked for in the same passes: each may need counts of its own."""


@dataclass(frozen=True, slots=True)
class Digits(Fold[Array]):
    """For each of some prefixes of `depth` digits: how many places with it have each digit next. A row a prefix."""

    lens: Lens
    depth: int
    prefixes: tuple[int, ...]

    def fold(self, sample: Sample) -> Array:
        seen, dtype = sample.seen(self.lens)
        counts = self._empty()
        rest = dtype.bits - DIGIT * (self.depth + 1)
        for start in range(0, seen.size, CODES):
            found = usable(seen[start : start + CODES], dtype) >> rest
            for row, prefix in enumerate(self.prefixes):
                own = found[found >> DIGIT == prefix] if self.depth else found
                counts[row] += np.bincount((own & ((1 << DIGIT) - 1)).astype(np.intp), minlength=1 << DIGIT)
        return counts

    def _empty(self) -> Array:
        return np.zeros((len(self.prefixes), 1 << DIGIT), np.int64)

    def add(self, a: Array, b: Array) -> Array:
        a += b
        return a

    def nothing(self, dtype: DType) -> Array:
        return self._empty()


@dataclass(frozen=True, slots=True)
class _Lead:
    """A rank among the elements of one prefix, and how many elements lie below all of those."""

    rank: int
    prefix: int
    below: int
    count: int

    def next(self, counts: Array) -> _Lead:
        """One digit further."""
        ends = self.below + np.cumsum(counts)
        digit = int(np.searchsorted(ends, self.rank, side="right"))
        count = int(counts[digit])
        return _Lead(self.rank, self.prefix << DIGIT | digit, int(ends[digit]) - count, count)


def by_counting(lens: Lens, dtype: DType, ranks: Sequence[int]) -> Study[dict[int, Found]]:
    """The order statistics of these ranks, of elements that are of `dtype` when seen through the lens."""
    found: dict[int, Found] = {}
    for start in range(0, len(ranks), AT_ONCE):
        leads = [_Lead(rank, 0, 0, 0) for rank in ranks[start : start + AT_ONCE]]
        for depth in range(dtype.bits // DIGIT):
            prefixes = tuple(sorted({lead.prefix for lead in leads}))
            counts = yield Digits(lens, depth, prefixes)
            leads = [lead.next(counts[prefixes.index(lead.prefix)]) for lead in leads]
            rest = dtype.bits - DIGIT * (depth + 1)
            spans = len({lead.prefix for lead in leads})  # each has an equal share of the room
            if rest > DIGIT and spans * max(lead.count for lead in leads) * dtype.itemsize <= _brackets.ROOM:
                fold = collecting(lens, dtype, {lead.prefix for lead in leads}, rest)
                state = yield fold
                found |= fold.find(state, [lead.rank for lead in leads])
                break
        else:
            found |= {lead.rank: Found(lead.prefix, lead.below, lead.count) for lead in leads}
    return found


def collecting(lens: Lens, dtype: DType, prefixes: Iterable[int], rest: int) -> Collect:
    """The fold that collects all elements of some prefixes, after which `rest` bits follow."""
    ends = [(prefix << rest, ((prefix + 1) << rest) - 1) for prefix in sorted(prefixes)]
    return Collect(lens, tuple(Span(max(low, least(dtype)), min(high, most(dtype))) for low, high in ends))
