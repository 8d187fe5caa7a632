"""What the automatic thresholds share: a histogram, and a position in it that becomes a value."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Array, Study
    from threshcli.studies.histogram import Histogram


@dataclass(frozen=True)
class HistogramThreshold(Worked):
    """Base of the sources that look at a histogram: of x, or of abs(x) for rules that compare it, NaN and infinities
    left out. Integers have one bin a value while they span less than 65,536 values, all else has `--bins` bins from the
    smallest to the largest element. A threshold is the centre of a bin, and what lies in that bin is not above it.

    Sources count in bins, where everything is exact or nearly so, however far from zero the values are.
    """

    @classmethod
    def parse(cls, text: str) -> Self | None:
        return cls(text) if text == cls.form else None

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.histogram import histogram

        found = yield from histogram(terms.lens, self.bins(terms))
        if not found.usable:
            raise self.useless("NaN or infinite")
        values = tuple(found.at(position) for position in self.positions(found))
        return Answer(values=values, usable=found.usable, unusable=found.unusable)

    def bins(self, terms: Terms) -> int:
        """How many bins floats have."""
        return terms.bins

    def positions(self, found: Histogram) -> tuple[float, ...]:
        """The cuts, counted in bins, of a histogram with elements. That of equal elements is their value."""
        return (self.position(found) if len(found.counts) > 1 else 0,)

    @abstractmethod
    def position(self, found: Histogram) -> float:
        """The cut of a histogram of two bins at least, of which the first and the last hold elements."""


def sides(counts: Array) -> tuple[Array, Array, Array]:
    """For a cut after each bin but the last: how many elements are under it, and the mean positions of these and of all
    others. Sums are of integers, and exact."""
    import numpy as np

    under = np.cumsum(counts)
    mass = np.cumsum(counts * np.arange(len(counts)))
    return under[:-1], mass[:-1] / under[:-1], (mass[-1] - mass[:-1]) / (under[-1] - under[:-1])
