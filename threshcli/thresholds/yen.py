"""Yen's threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from threshcli.thresholds._histogram import HistogramThreshold

if TYPE_CHECKING:
    from threshcli.studies.histogram import Histogram


@dataclass(frozen=True)
class Yen(HistogramThreshold):
    """`yen`: the cut of most entropic correlation.

    Formula: the first maximum over t of (P0 * P1)^2 / (Q0 * Q1), with the shares of elements p of the bins at most t
    (0) and above it (1), P their sum, Q the sum of their squares. Yen, Chang & Chang 1995, doi:10.1109/83.366472;
    as `skimage.filters.threshold_yen`.
    """

    form: ClassVar[str] = "yen"
    meaning: ClassVar[str] = "most entropic correlation"

    def position(self, found: Histogram) -> float:
        import numpy as np

        share = found.counts / found.usable
        lower = np.cumsum(share**2)[:-1]
        upper = np.cumsum(share[:0:-1] ** 2)[::-1]
        under = np.cumsum(found.counts)[:-1] / found.usable
        return int(((under * (1 - under)) ** 2 / (lower * upper)).argmax())
