"""Otsu's thresholds for several classes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.errors import InputError, UsageError
from threshcli.thresholds._histogram import HistogramThreshold

if TYPE_CHECKING:
    from threshcli.studies.base import Array
    from threshcli.studies.histogram import Histogram


@dataclass(frozen=True)
class MultiOtsu(HistogramThreshold):
    """`multiotsu:4`: the three cuts that leave the least variance within the four classes; two to eight classes.

    Formula: the maximum of the sum over classes of n * m^2, with n elements of mean m, by dynamic programming: the best
    of k classes from bin i on is, for the best j, n * m^2 of bins i to j - 1 and the best of k - 1 classes from j on.
    That j never falls as i grows, so that halving finds all of them in O(classes * bins * log bins): Wu 1991,
    doi:10.1016/0196-6774(91)90039-2. Otsu 1979, doi:10.1109/TSMC.1979.4310076; Liao, Chen & Chung 2001,
    doi:10.6688/JISE.2001.17.5.1; as `skimage.filters.threshold_multiotsu`. Refused where there are fewer different
    values than classes.
    """

    form: ClassVar[str] = "multiotsu:4"
    meaning: ClassVar[str] = "cuts between so many classes, for levels"
    several: ClassVar[bool] = True

    classes: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        word, _, number = text.partition(":")
        if word != "multiotsu":
            return None
        if not re.fullmatch("[2-8]", number):
            raise UsageError(f"{text!r} names no number of classes from 2 to 8", hint="write multiotsu:4")
        return cls(text, int(number))

    @property
    def cuts(self) -> int:
        return self.classes - 1

    def positions(self, found: Histogram) -> tuple[float, ...]:
        import numpy as np

        held = np.flatnonzero(found.counts)
        if len(held) < self.classes:
            what = "different values" if found.exact else "bins that hold elements"
            raise InputError(
                f"has {len(held)} {what}, and {self.text} needs at least {self.classes}",
                hint="ask for fewer classes" if found.exact else "ask for fewer classes, or for more --bins",
            )
        return tuple(int(held[cut - 1]) for cut in _cuts(held, found.counts[held], self.classes))

    def position(self, found: Histogram) -> float:
        return self.positions(found)[0]


def _cuts(places: Array, counts: Array, classes: int) -> list[int]:
    """Where the classes after the first begin, for bins at these places; of equally good cuts the lowest, but for
    rounding."""
    import numpy as np

    number = np.append(0, np.cumsum(counts))
    centre = np.sum(counts * places) // number[-1]  # about it sums are small, and exact
    mass = np.append(0, np.cumsum(counts * (places - centre)))

    def gain(first: Array, after: Array) -> Array:
        found: Array = (mass[after] - mass[first]).astype(np.float64) ** 2 / (number[after] - number[first])
        return found

    size = len(places)
    best, chosen = gain(np.arange(size), np.full(size, size)), []
    for more in range(1, classes):
        rows = size - more if more < classes - 1 else 1
        best, after = _layer(gain, best, rows)
        chosen.append(after)
    cuts, begin = [], 0
    for after in reversed(chosen):
        begin = int(after[begin])
        cuts.append(begin)
    return cuts


def _layer(gain: Callable[[Array, Array], Array], rest: Array, rows: int) -> tuple[Array, Array]:
    """For each row i the largest gain(i, j) + rest[j] with j > i, and the lowest such j. The middle row is searched
    first; rows before it have theirs no later, rows after it no sooner: all halves of one size at a time."""
    import numpy as np

    best, chosen = np.zeros(rows), np.zeros(rows, np.int64)
    spans = np.array([[0], [rows - 1], [1], [len(rest) - 1]])  # first and last row, nearest and farthest j
    while spans.size:
        first, last, near, far = spans
        row = (first + last) // 2
        begin = np.maximum(near, row + 1)
        width = far - begin + 1
        offset = np.cumsum(width) - width
        j = np.arange(width.sum()) + np.repeat(begin - offset, width)
        value = gain(np.repeat(row, width), j) + rest[j]
        best[row] = np.maximum.reduceat(value, offset)
        largest = np.flatnonzero(value == np.repeat(best[row], width))
        chosen[row] = found = j[largest[np.searchsorted(largest, offset)]]
        spans = np.concatenate(([first, row - 1, near, found], [row + 1, last, found, far]), axis=1)
        spans = spans[:, spans[0] <= spans[1]]
    return best, chosen
