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
from threshcli.studies._ordered import Tally, least, most, shift, usable
from threshcli.studies._prefixes import DIGIT
from threshcli.studies.base import Array, Fold, Lens, Sample

DIGITS = 1 << DIGIT
CARRIED = 32
CARRY = 1 << CARRIED
SUMMED = 1 << 16
"""Elements that are summed at a time: as many products of 32 bits are exact in float64."""


class Squares(NamedTuple):
    """Elements that have one place, or one digit next: how many, and the sum of their squares."""

    place: int
    elements: int
    total: int


def unit(dtype: DType) -> Fraction:
    """The square of the smallest step."""
    return dtype.magnitude(1 if dtype.signed else 0) ** 2 if dtype.is_float else Fraction(1)


def steps(place: int, dtype: DType) -> int:
    """How many smallest steps the number at a finite place is from zero. Infinity continues the row of numbers."""
    key = abs(place - shift(dtype))
    if not dtype.is_float:
        return key
    if not dtype.signed:
        return 1 << key
    exponent, fraction = divmod(key, 1 << dtype.mantissa)
    return (fraction + (1 << dtype.mantissa)) << (exponent - 1) if exponent else fraction


def one_by_one(known: Tally, dtype: DType) -> Iterator[Squares]:
    """The squares of the finite places of a tally."""
    for place, count in zip(known.places.tolist(), known.counts.tolist(), strict=True):
        if not (dtype.infinite and place in (least(dtype), most(dtype))):
            yield Squares(place, count, count * steps(place, dtype) ** 2)


@dataclass(slots=True)
class Sums:
    """How many elements are NaN, are not, and are infinite at the upper end; and sums of the finite ones, by digit.

    A column of the table is a digit, from `first` on. Its rows: how many elements have it, the sums of their limbs and
    of the products of those modulo 2**32, and what was carried from each of those sums, so that none overflows.
    """

    usable: int
    nan: int
    high: int
    first: int
    table: Array


@dataclass(frozen=True, slots=True)
class DigitSums(Fold[Sums]):
    """Sums over the elements that begin with a prefix of `depth` digits, by the digit that follows."""

    lens: Lens
    depth: int = 0
    prefix: int = 0

    def fold(self, sample: Sample) -> Sums:
        seen, dtype = sample.seen(self.lens)
        state = self._empty(dtype)
        for start in range(0, seen.size, SUMMED):
            piece = seen[start : start + SUMMED]
            found = usable(piece, dtype)
            state.usable, state.nan = state.usable + found.size, state.nan + piece.size - found.size
            if dtype.infinite:
                high, low = found == most(dtype), found == least(dtype)
                state.high += int(np.count_nonzero(high))
                found = found[~(high | low)] if high.any() or low.any() else found
            if self.depth:
                found = found[found >> self._rest(dtype) + DIGIT == self.prefix]
            if found.size:
                _add_table(state, *self._table(found, dtype))
        return state

    def _rest(self, dtype: DType) -> int:
        """How many bits follow after the digit."""
        return dtype.bits - DIGIT * (self.depth + 1)

    def _table(self, found: Array, dtype: DType) -> tuple[int, Array]:
        """The first digit and the table of so few places that their sums of products are exact in float64."""
        digit = (found >> self._rest(dtype) & (DIGITS - 1)).astype(np.intp)
        first = int(digit.min())
        digit -= first
        counts = np.bincount(digit)
        sums = np.empty((len(_products(self._rest(dtype))), counts.size), np.int64)
        for row, (one, other) in enumerate(_products(self._rest(dtype))):
            product = _limb(found, one)
            if other >= 0:
                product *= product if other == one else _limb(found, other)
            sums[row] = np.bincount(digit, product)
        return first, np.concatenate([counts[None], sums & (CARRY - 1), sums >> CARRIED])

    def _empty(self, dtype: DType) -> Sums:
        return Sums(0, 0, 0, 0, np.zeros((1 + 2 * len(_products(self._rest(dtype))), 0), np.int64))

    def add(self, a: Sums, b: Sums) -> Sums:
        a.usable, a.nan, a.high = a.usable + b.usable, a.nan + b.nan, a.high + b.high
        _add_table(a, b.first, b.table)
        return a

    def nothing(self, dtype: DType) -> Sums:
        return self._empty(self.lens.dtype(dtype))

    def squares(self, state: Sums, dtype: DType) -> Iterator[Squares]:
        """The exact sum of squares of the elements of each digit that there is."""
        products = _products(self._rest(dtype))
        for column in np.flatnonzero(state.table[0]).tolist():
            count, *sums = state.table[:, column].tolist()
            start = (self.prefix << DIGIT | (digit := state.first + column)) << self._rest(dtype)
            base = steps(start, dtype)
            step = steps(start + 1, dtype) - base
            linear = square = 0
            for (one, other), low, carried in zip(products, sums, sums[len(products) :], strict=False):
                value = low + (carried << CARRIED)
                if other < 0:
                    linear += value << DIGIT * one
                else:
                    square += value << DIGIT * (one + other) + (one != other)
            yield Squares(digit, count, count * base * base + 2 * base * step * linear + step * step * square)


def _add_table(state: Sums, first: int, table: Array) -> None:
    """Add a table that begins at the digit `first`."""
    if not state.table.shape[1]:
        state.first, state.table = first, table
        return
    low, high = min(state.first, first), max(state.first + state.table.shape[1], first + table.shape[1])
    if high - low > state.table.shape[1]:
        wider = np.zeros((len(table), high - low), np.int64)
        wider[:, state.first - low :][:, : state.table.shape[1]] = state.table
        state.first, state.table = low, wider
    state.table[:, first - low :][:, : table.shape[1]] += table


def _products(rest: int) -> list[tuple[int, int]]:
    """The limbs (by themselves: with -1) and pairs of limbs that are summed where so many bits follow."""
    limbs = range(rest // DIGIT)
    return [(limb, -1) for limb in limbs] + list(combinations_with_replacement(limbs, 2))


def _limb(found: Array, limb: int) -> Array:
    return (found >> (DIGIT * limb) & (DIGITS - 1)).astype(np.float64)
