"""Exact sums of squares, as integers: units are the square of the smallest step of a dtype.

Places (see _ordered) with the same leading digits of 16 bits, the first of which holds the exponent of a float, are
numbers M + d * step with one M and one step. How many there are, the sum of their d, and that of d * d give the exact
sum of their squares; d is cut into limbs of 16 bits, so that all sums are of small products.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np

from threshcli.dtypes import DType
from threshcli.studies._gather import CODES
from threshcli.studies._ordered import Tally, least, most, shift, usable
from threshcli.studies._prefixes import DIGIT
from threshcli.studies.base import Array, Fold, Lens, Sample

DIGITS = 1 << DIGIT


class Squares(NamedTuple):
    """Elements that have one place, or one digit next: how many, and the sum of their squares."""

    place: int
    elements: int
    total: int


def unit(dtype: DType) -> Fraction:
    """The square of the smallest step."""
    return dtype.magnitude(1 if dtype.signed else 0) ** 2 if dtype.is_float else Fraction(1)


def whole(place: int, dtype: DType) -> int:
    """The number at a finite place in smallest steps. One that is infinite continues the row of numbers."""
    key = place - shift(dtype)
    if not dtype.is_float:
        return key
    if not dtype.signed:
        return 1 << key
    exponent, fraction = divmod(abs(key), 1 << dtype.mantissa)
    size = (fraction + (1 << dtype.mantissa)) << (exponent - 1) if exponent else fraction
    return size if key >= 0 else -size


def one_by_one(known: Tally, dtype: DType) -> Iterator[Squares]:
    """The squares of the finite places of a tally."""
    for place, count in zip(known.places.tolist(), known.counts.tolist(), strict=True):
        if not (dtype.infinite and place in (least(dtype), most(dtype))):
            yield Squares(place, count, count * whole(place, dtype) ** 2)


@dataclass(slots=True)
class Sums:
    """How many elements are NaN, are not, and are infinite at the upper end; and for each digit how many finite ones
    have it, and the sums of their limbs and of the products of those, in two parts, worth 1 and 1 << 32, so that none
    overflows."""

    usable: int
    nan: int
    high: int
    counts: Array
    parts: Array


@dataclass(frozen=True, slots=True)
class DigitSums(Fold[Sums]):
    """Sums over the elements that begin with a prefix of `depth` digits, by the digit that follows."""

    lens: Lens
    depth: int = 0
    prefix: int = 0

    def fold(self, sample: Sample) -> Sums:
        seen, dtype = sample.seen(self.lens)
        state = self._empty(dtype)
        sums = state.parts[0]  # exact in one stretch: it has fewer than 2**31 elements
        for start in range(0, seen.size, CODES):
            piece = seen[start : start + CODES]
            found = usable(piece, dtype)
            state.usable, state.nan = state.usable + found.size, state.nan + piece.size - found.size
            if dtype.infinite:
                high, low = found == most(dtype), found == least(dtype)
                state.high += int(np.count_nonzero(high))
                found = found[~(high | low)] if high.any() or low.any() else found
            self._count(found, dtype, state.counts, sums)
        state.parts[1] = sums >> 32
        sums &= (1 << 32) - 1
        return state

    def _count(self, found: Array, dtype: DType, counts: Array, sums: Array) -> None:
        """Add what is known of these places; a sum of so few products is exact in float64."""
        rest = dtype.bits - DIGIT * (self.depth + 1)
        if self.depth:
            found = found[found >> (rest + DIGIT) == self.prefix]
        digit = (found >> rest & (DIGITS - 1)).astype(np.intp)
        counts += np.bincount(digit, minlength=DIGITS)
        for row, (first, second) in enumerate(_products(rest)):
            product = _limb(found, first)
            if second >= 0:
                product *= product if second == first else _limb(found, second)
            sums[row] += np.bincount(digit, product, DIGITS).astype(np.int64)

    def _empty(self, dtype: DType) -> Sums:
        rest = dtype.bits - DIGIT * (self.depth + 1)
        parts = np.zeros((2, len(_products(rest)), DIGITS), np.int64)
        return Sums(0, 0, 0, np.zeros(DIGITS, np.int64), parts)

    def add(self, a: Sums, b: Sums) -> Sums:
        a.usable, a.nan, a.high = a.usable + b.usable, a.nan + b.nan, a.high + b.high
        a.counts += b.counts
        a.parts += b.parts
        return a

    def nothing(self, dtype: DType) -> Sums:
        return self._empty(self.lens.dtype(dtype))

    def squares(self, state: Sums, dtype: DType) -> Iterator[Squares]:
        """The exact sum of squares of the elements of each digit that there is."""
        rest = dtype.bits - DIGIT * (self.depth + 1)
        for digit in np.flatnonzero(state.counts).tolist():
            first = (self.prefix << DIGIT | digit) << rest
            base, count = whole(first, dtype), int(state.counts[digit])
            step = whole(first + 1, dtype) - base
            linear = square = 0
            for (a, b), (low, high) in zip(_products(rest), state.parts[:, :, digit].T.tolist(), strict=True):
                value = low + (high << 32)
                if b < 0:
                    linear += value << (DIGIT * a)
                else:
                    square += value << (DIGIT * (a + b) + (a != b))
            yield Squares(digit, count, count * base * base + 2 * base * step * linear + step * step * square)


def _products(rest: int) -> list[tuple[int, int]]:
    """The limbs (by themselves: with -1) and pairs of limbs that are summed where so many bits follow."""
    limbs = range(rest // DIGIT)
    return [(limb, -1) for limb in limbs] + list(combinations_with_replacement(limbs, 2))


def _limb(found: Array, limb: int) -> Array:
    return (found >> (DIGIT * limb) & (DIGITS - 1)).astype(np.float64)
