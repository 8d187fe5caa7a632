"""Elements as unsigned integers in the order of their values, so that order statistics are integer work.

The *place* of an element is its key (threshcli.dtypes) moved up to begin at or above 0, in as many bits as the element
has: places compare as values do, and both zeros share one. NaN has no place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from threshcli.dtypes import DType
from threshcli.kernels._numpy_convert import NATIVE, storage
from threshcli.studies.base import Array, Lens

PIECE = 1 << 19
"""Elements that are worked on at a time: no fewer than a tile has, as workers wait for each other between short calls;
no more, so that of much data in memory what is derived stays in the cache."""


class Found(NamedTuple):
    """One order statistic: its place, how many elements lie below it, and how many are equal to it."""

    place: int
    below: int
    equal: int


def shift(dtype: DType) -> int:
    """The place of key 0."""
    return 1 << (dtype.bits - 1) if dtype.kind == "int" or (dtype.is_float and dtype.signed) else 0


def least(dtype: DType) -> int:
    """The lowest place that a dtype has."""
    return dtype.keys.low + shift(dtype)


def most(dtype: DType) -> int:
    """The highest place that a dtype has."""
    return dtype.keys.high + shift(dtype)


def places(data: Array, dtype: DType) -> Array:
    """The place of each element, none of which may be NaN; always a new array."""
    bits = data.view(f"u{dtype.itemsize}")
    middle = bits.dtype.type(shift(dtype))
    if dtype.kind == "int" or not middle:
        moved: Array = bits ^ middle
        return moved
    signed = data.view(f"i{dtype.itemsize}")
    sign = signed >> (dtype.bits - 1)  # all ones where negative: x ^ -1 is -x - 1
    keys = ((signed & signed.dtype.type(dtype.sign - 1)) ^ sign) - sign
    found: Array = keys.view(bits.dtype) ^ middle
    return found


def number(place: int, dtype: DType) -> np.generic[Any]:
    """The element of a place, to compare elements in storage with."""
    code = np.array(dtype.code(place - shift(dtype)), f"u{dtype.itemsize}")
    found: np.generic[Any] = code.view(storage(dtype)).reshape(1)[0]
    return found


def nan(data: Array, dtype: DType) -> Array | None:
    """Which elements are NaN, or None if none is. The least element is NaN where any is, and is quickly found."""
    if not dtype.is_float or not data.size:
        return None
    if dtype in NATIVE:
        with np.errstate(invalid="ignore"):  # a signalling NaN
            return np.isnan(data) if np.isnan(data.min()) else None
    if dtype.negative_zero:
        found: Array = (data & data.dtype.type(dtype.sign - 1)) > dtype.top
    else:
        found = data == dtype.nan
    return found if found.any() else None


def usable(data: Array, dtype: DType) -> Array:
    """The places of the elements that are not NaN; always a new array."""
    unusable = nan(data, dtype)
    return places(data if unusable is None else data[~unusable], dtype)


def joined(pieces: list[Array]) -> Array:
    """The pieces as one array; the list is emptied on the way, so that memory holds little more than one copy."""
    whole = np.empty(sum(piece.size for piece in pieces), pieces[0].dtype)
    end = whole.size
    while pieces:
        piece = pieces.pop()
        whole[end - piece.size : end] = piece
        end -= piece.size
    return whole


def find(found: Array, ranks: list[int], below: int = 0) -> list[Found]:
    """The order statistics of places; `found` is put into another order. `below`: elements under all of them."""
    _settle(found, sorted(set(ranks)))
    known = {}
    for place in {int(found[rank]) for rank in ranks}:
        at = found.dtype.type(place)
        known[place] = Found(place, below + int(np.count_nonzero(found < at)), int(np.count_nonzero(found == at)))
    return [known[int(found[rank])] for rank in ranks]


def _settle(found: Array, ranks: list[int]) -> None:
    """Put the elements of these ranks in their places, one by one: NumPy is much quicker at that than at several."""
    if len(ranks) > 8:
        found.sort()
        return
    start = 0
    for rank in ranks:
        found[start:].partition(rank - start)
        start = rank + 1


@dataclass(frozen=True, slots=True)
class Tally:
    """Different places in ascending order, and how many elements have each."""

    places: Array
    counts: Array

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def find(self, ranks: list[int]) -> list[Found]:
        """The order statistics."""
        ends = np.cumsum(self.counts)
        found = []
        for at in np.searchsorted(ends, ranks, side="right"):
            equal = int(self.counts[at])
            found.append(Found(int(self.places[at]), int(ends[at]) - equal, equal))
        return found


def tally_of(found: Array) -> Tally:
    """Of places in any order."""
    return Tally(*np.unique(found, return_counts=True))


def tally(counts: Array, lens: Lens, dtype: DType) -> Tally:
    """What is seen of elements of which so many have each code (of a dtype of at most 16 bits), without NaN."""
    codes = np.flatnonzero(counts)
    seen, kind = lens.see(codes.astype(f"u{dtype.itemsize}").view(storage(dtype)), dtype), lens.dtype(dtype)
    unusable = nan(seen, kind)
    known = slice(None) if unusable is None else ~unusable
    different, which = np.unique(places(seen[known], kind), return_inverse=True)
    summed = np.zeros(different.size, np.int64)
    np.add.at(summed, which, counts[codes[known]])
    return Tally(different, summed)
