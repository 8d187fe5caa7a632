"""The isodata threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from threshcli.thresholds._histogram import HistogramThreshold, sides

if TYPE_CHECKING:
    from threshcli.studies.histogram import Histogram


@dataclass(frozen=True)
class Isodata(HistogramThreshold):
    """`isodata`: the cut midway between the means of the classes that it makes.

    Formula: the lowest bin t but for the last with t <= (m0 + m1) / 2 < t + 1, where m0 is the mean of the elements at
    most t, and m1 that of all others. Ridler & Calvard 1978, doi:10.1109/TSMC.1978.4310039; as
    `skimage.filters.threshold_isodata`.
    """

    form: ClassVar[str] = "isodata"
    meaning: ClassVar[str] = "midway between two class means"

    def position(self, found: Histogram) -> float:
        import numpy as np

        _, lower, upper = sides(found.counts)
        ahead = (lower + upper) / 2 - np.arange(len(lower))  # never falls by more than 1 a bin, and ends under 1
        return int((ahead < 1).argmax())
