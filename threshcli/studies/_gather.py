"""The two simplest folds: all elements of a small population, and how often each code occurs in narrow dtypes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from threshcli.dtypes import DTYPES, DType
from threshcli.studies._ordered import Found, find, joined, usable
from threshcli.studies.base import VALUE, Array, Fold, Lens, Sample

CODES = 1 << 17
"""Elements that are counted at a time: `bincount` widens them to eight bytes."""


@dataclass(slots=True)
class Gathered:
    """The places of elements, NaN apart; of a large population, none."""

    kind: str
    read: int = 0
    nan: int = 0
    pieces: list[Array] = field(default_factory=list)

    @property
    def dtype(self) -> DType:
        """The dtype of the population, before any lens."""
        return DTYPES[self.kind]

    @property
    def usable(self) -> int:
        return sum(piece.size for piece in self.pieces)

    def find(self, ranks: list[int]) -> list[Found]:
        """The order statistics of these ranks; empties it."""
        return find(joined(self.pieces), ranks)


@dataclass(frozen=True, slots=True)
class Gather(Fold[Gathered]):
    """All of a population of up to `most` elements; of another nothing but its dtype."""

    lens: Lens
    most: int

    def fold(self, sample: Sample) -> Gathered:
        seen, dtype = sample.seen(self.lens)
        found = usable(seen, dtype)
        return Gathered("", sample.count, seen.size - found.size, [found])

    def add(self, a: Gathered, b: Gathered) -> Gathered:
        a.kind = a.kind or b.kind
        a.read, a.nan = a.read + b.read, a.nan + b.nan
        a.pieces += b.pieces
        return a

    def nothing(self, dtype: DType) -> Gathered:
        return Gathered(dtype.name)

    def stretches(self, elements: int) -> Iterable[tuple[int, int]] | None:
        return None if elements <= self.most else ()


@dataclass(frozen=True, slots=True)
class Order(Gather):
    """The same, to be asked for nothing but order statistics, and how many elements there are: by who has elements at
    hand in another way, of more than `most` of them, too."""


@dataclass(frozen=True, slots=True)
class Codes(Fold[Array]):
    """How many elements have each code, for dtypes of at most 16 bits."""

    def fold(self, sample: Sample) -> Array:
        data, dtype = sample.seen(VALUE)
        counts = self.nothing(dtype)
        bits = data.view(f"u{dtype.itemsize}")
        for start in range(0, bits.size, CODES):
            counts += np.bincount(bits[start : start + CODES], minlength=counts.size)
        return counts

    def add(self, a: Array, b: Array) -> Array:
        a += b
        return a

    def nothing(self, dtype: DType) -> Array:
        return np.zeros(1 << dtype.bits, np.int64)
