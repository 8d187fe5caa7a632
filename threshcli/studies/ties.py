"""Which of several equal elements come first: the position up to which they belong above a cut.

One pass counts equal elements piece by piece; another reads the one piece that holds the element looked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from threshcli.dtypes import DType, Real
from threshcli.errors import InternalError
from threshcli.kernels._numpy_convert import NATIVE
from threshcli.studies._ordered import number, shift
from threshcli.studies.base import Array, Fold, Lens, Sample, Study
from threshcli.tiles import LEAF


class Piece(NamedTuple):
    """Positions from `start` to before `stop`, and how many elements equal to the value lie there."""

    start: int
    stop: int
    equal: int


@dataclass(slots=True)
class Pieces:
    """Pieces in any order, one number after the other: three for each."""

    numbers: array[int] = field(default_factory=lambda: array("q"))

    def holding(self, ordinal: int) -> tuple[Piece, int]:
        """The piece with the `ordinal`-th equal element in the order of positions, and which one of its own that is;
        both count from 1."""
        table = np.array(self.numbers, np.int64).reshape(-1, 3)
        table = table[np.argsort(table[:, 0])]
        ends = np.cumsum(table[:, 2])
        at = int(np.searchsorted(ends, ordinal))
        if at == len(ends):
            raise InternalError(f"there is no equal element number {ordinal}")
        piece = Piece(*map(int, table[at]))
        return piece, ordinal - (int(ends[at]) - piece.equal)


@dataclass(frozen=True, slots=True)
class CountEqual(Fold[Pieces]):
    """In which pieces of about LEAF elements there are equal ones, and how many."""

    lens: Lens
    value: Real

    def fold(self, sample: Sample) -> Pieces:
        found = Pieces()
        for where, equal in _walk(sample, self.lens, self.value):
            count = int(np.count_nonzero(equal))
            if count:
                found.numbers.extend((int(where[0]), int(where[-1]) + 1, count))
        return found

    def add(self, a: Pieces, b: Pieces) -> Pieces:
        a.numbers += b.numbers
        return a

    def nothing(self, dtype: DType) -> Pieces:
        return Pieces()


@dataclass(frozen=True, slots=True)
class FindEqual(Fold[list[int]]):
    """The positions of the equal elements in one piece."""

    lens: Lens
    value: Real
    piece: Piece

    def fold(self, sample: Sample) -> list[int]:
        walk = _walk(sample, self.lens, self.value)
        return [int(where[int(at)]) for where, equal in walk for at in np.flatnonzero(equal)]

    def add(self, a: list[int], b: list[int]) -> list[int]:
        return a + b

    def nothing(self, dtype: DType) -> list[int]:
        return []

    def stretches(self, elements: int) -> Iterable[tuple[int, int]]:
        return ((self.piece.start, self.piece.stop),)


def _walk(sample: Sample, lens: Lens, value: Real) -> Iterator[tuple[Sequence[int] | Array, Array]]:
    """The positions of LEAF elements of the population at a time, and which of them are equal to the value."""
    seen, dtype = sample.seen(lens)
    begin, end = sample.start, sample.start + sample.count
    where = range(begin, end) if sample.mask is None else begin + np.flatnonzero(sample.mask)
    for start in range(0, seen.size, LEAF):
        yield where[start : start + LEAF], _equal(seen[start : start + LEAF], dtype, value)


def _equal(data: Array, dtype: DType, value: Real) -> Array:
    """Which elements have this value, exactly."""
    code = dtype.encode(value)
    nearest = None if code is None else dtype.key(value) if dtype.is_float else int(value)
    if nearest is None or dtype.value(nearest) != value:
        return np.zeros(data.size, bool)
    found: Array = data == number(nearest + shift(dtype), dtype)
    if value == 0 and dtype.negative_zero and dtype not in NATIVE:
        found |= data == data.dtype.type(dtype.sign)
    return found


def tie_position(lens: Lens, value: Real, ordinal: int) -> Study[int]:
    """The position just after the `ordinal`-th element, counted from 1, of those of the population that equal `value`
    when seen through the lens; 0 for ordinal 0."""
    if not ordinal:
        return 0
    pieces = yield CountEqual(lens, value)
    piece, ordinal = pieces.holding(ordinal)
    positions: list[int] = yield FindEqual(lens, value, piece)
    return sorted(positions)[ordinal - 1] + 1
