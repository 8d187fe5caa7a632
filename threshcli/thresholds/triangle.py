"""The triangle threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from threshcli.thresholds._histogram import HistogramThreshold

if TYPE_CHECKING:
    from threshcli.studies.histogram import Histogram


@dataclass(frozen=True)
class Triangle(HistogramThreshold):
    """`triangle`: the bin farthest under the line from the end of the longer tail to the peak; for few bright or few
    dark elements beside a large background.

    Formula: the first maximum, from the end of the tail to the peak, of h * x - w * y, for a bin x bins from the end
    with y elements, and a peak of h elements w bins from it. Zack, Rogers & Latt 1977, doi:10.1177/25.7.70454; as
    `skimage.filters.threshold_triangle`.
    """

    form: ClassVar[str] = "triangle"
    meaning: ClassVar[str] = "farthest under the line from peak to tail"

    def position(self, found: Histogram) -> float:
        import numpy as np

        counts, last = found.counts, len(found.counts) - 1
        peak = int(counts.argmax())
        right = peak < last - peak
        width = last - peak if right else peak
        tail = (counts[::-1] if right else counts)[:width]
        farthest = int((counts[peak] * np.arange(width) - width * tail).argmax())
        return last - farthest if right else farthest
