"""Li's threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from threshcli.thresholds._histogram import HistogramThreshold, sides
from threshcli.thresholds.base import Terms

if TYPE_CHECKING:
    from threshcli.studies.histogram import Histogram

_FINE = 1 << 14
"""Bins of floats, unless more are asked for."""


@dataclass(frozen=True)
class Li(HistogramThreshold):
    """`li`: the cut of least cross entropy between the elements and their class means, from the smallest element on.

    Formula: from the mean of all on, t becomes (m0 - m1) / (log m0 - log m1), with the means of the elements at most t
    and above it, less the smallest element; until t moves by no more than half a value (integers), or no element
    changes sides. It may lie between bins. Li & Lee 1993, doi:10.1016/0031-3203(93)90115-D; Li & Tam 1998,
    doi:10.1016/S0167-8655(98)00057-9; as `skimage.filters.threshold_li`, which takes floats one by one: here they have
    16,384 bins at least, or steps of less than a bin would end too early.
    """

    form: ClassVar[str] = "li"
    meaning: ClassVar[str] = "least cross entropy"

    def bins(self, terms: Terms) -> int:
        return max(terms.bins, _FINE)

    def position(self, found: Histogram) -> float:
        import numpy as np

        under, lower, upper = sides(found.counts)
        start = 0.0 if found.exact else 0.5  # where the centre of the first bin lies, seen from the smallest element
        cut = int(found.counts @ np.arange(len(found.counts))) / found.usable + start
        for _ in under:  # steps never turn back
            side = min(max(math.floor(cut - start), 0), len(under) - 1)
            back, fore = float(lower[side]) + start, float(upper[side]) + start
            before = cut
            if back == 0:  # nothing but the smallest element is under the cut
                break
            cut = (back - fore) / (math.log(back) - math.log(fore))
            if abs(cut - before) <= (0.5 if found.exact else 0):
                break
        return cut - start
