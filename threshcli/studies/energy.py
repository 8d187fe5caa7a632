"""The fewest largest elements that hold a share of the sum of squares, exactly.

A pass sums squares by the leading 16 bits of the elements; from the largest down it is then known among which of them
the share is reached, and the next passes look at the bits that follow. Few elements, and those of up to 16 bits, are
known after one pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from threshcli.dtypes import DType
from threshcli.errors import InternalError
from threshcli.studies._gather import Codes, Gather
from threshcli.studies._ordered import Tally, joined, most, shift, tally, tally_of
from threshcli.studies._prefixes import DIGIT, Digits, collecting
from threshcli.studies._squares import DigitSums, Squares, one_by_one, unit
from threshcli.studies.base import MAGNITUDE, Lens, Study
from threshcli.studies.ranks import Ranked, ranking

FEW = 1 << 11
"""Up to so many elements are squared one by one."""


@dataclass(frozen=True, slots=True)
class Energy:
    """The `kept` largest elements, infinite ones included, are the fewest that hold the share.

    `cut` is the order statistic of the smallest of them or, where nothing is kept, of the largest element (where none
    is usable: value 0, none below, none equal). `total` is the sum of squares of the finite elements.
    """

    kept: int
    cut: Ranked
    usable: int
    unusable: int
    total: float


def energy(share: Fraction, lens: Lens = MAGNITUDE) -> Study[Energy]:
    """The fewest largest elements, as seen through the lens, whose sum of squares is at least `share` (0 to 1) of that
    of all finite ones; of every real dtype, exact.

    Infinite elements are in no sum; those at the upper end are always kept. Of nothing but zeros nothing is kept.
    """
    small = yield Gather(lens, FEW)
    dtype = lens.dtype(small.dtype)
    if small.read:
        found = _known(tally_of(joined(small.pieces)), small.nan, dtype, share)
    elif small.dtype.bits <= 16:
        counts = yield Codes()
        known = tally(counts, lens, small.dtype)
        found = _known(known, int(counts.sum()) - known.total, dtype, share)
    else:
        found = yield from _by_digits(lens, dtype, share)
    if found.kept or not found.usable:
        return found
    top = yield from ranking(lens, lambda count: (count - 1,))
    return replace(found, cut=top.found[0])


@dataclass(frozen=True, slots=True)
class _Sought:
    """A sum of squares `need` is looked for from the largest element down; the first `above` hold `held`."""

    dtype: DType
    usable: int
    unusable: int
    total: int
    need: int
    above: int
    held: int = 0

    def reach(self, downwards: Iterable[Squares]) -> tuple[Squares, _Sought]:
        """Where the sum is reached, and what is known of the elements above."""
        above, held = self.above, self.held
        for part in downwards:
            if held + part.total >= self.need:
                return part, replace(self, above=above, held=held)
            above, held = above + part.elements, held + part.total
        raise InternalError("sums of squares differ from one pass to the next")

    def answer(self, downwards: Iterable[Squares]) -> Energy:
        """The answer, given the squares of each place."""
        if self.need:
            at, above = self.reach(downwards)
            kept = above.above + -((above.held - self.need) * at.elements // at.total)
            value = self.dtype.value(at.place - shift(self.dtype))
            return self._with(kept, Ranked(value, self.usable - above.above - at.elements, at.elements))
        if self.above:
            return self._with(self.above, Ranked(math.inf, self.usable - self.above, self.above))
        return self._with(0, Ranked(Fraction(0), 0, 0))

    def _with(self, kept: int, cut: Ranked) -> Energy:
        try:
            total = float(self.total * unit(self.dtype))
        except OverflowError:
            total = math.inf
        return Energy(kept, cut, self.usable, self.unusable, total)


def _known(known: Tally, unusable: int, dtype: DType, share: Fraction) -> Energy:
    """The answer where it is known how many elements there are of each place."""
    squares = list(one_by_one(known, dtype))
    total = sum(part.total for part in squares)
    high = int(known.counts[known.places == most(dtype)].sum()) if dtype.infinite else 0
    sought = _Sought(dtype, known.total, unusable, total, math.ceil(share * total), high)
    return sought.answer(reversed(squares))


def _by_digits(lens: Lens, dtype: DType, share: Fraction) -> Study[Energy]:
    """The answer for elements of 32 and 64 bits; `dtype` is that of what is seen."""
    fold, rest = DigitSums(lens), dtype.bits - DIGIT
    state = yield fold
    squares = list(fold.squares(state, dtype))
    total = sum(part.total for part in squares)
    sought = _Sought(dtype, state.usable, state.nan, total, math.ceil(share * total), state.high)
    if not sought.need:
        return sought.answer(())
    while True:
        part, sought = sought.reach(reversed(squares))
        prefix = fold.prefix << DIGIT | part.place
        if rest == DIGIT or part.elements <= FEW:
            break
        fold, rest = DigitSums(lens, fold.depth + 1, prefix), rest - DIGIT
        state = yield fold
        squares = list(fold.squares(state, dtype))
    known = yield from _places(lens, dtype, fold.depth + 1, prefix, rest)
    return sought.answer(reversed(list(one_by_one(known, dtype))))


def _places(lens: Lens, dtype: DType, depth: int, prefix: int, rest: int) -> Study[Tally]:
    """The places that begin with a prefix: by their last digit, or, while more bits than that follow, collected."""
    if rest > DIGIT:
        state = yield collecting(lens, dtype, (prefix,), rest)
        return tally_of(joined(state.shares[0].pieces))
    counts = yield Digits(lens, depth, (prefix,))
    digits = np.flatnonzero(counts[0])
    places = (prefix << DIGIT) + digits.astype(f"u{dtype.itemsize}")
    return Tally(places, counts[0, digits])
