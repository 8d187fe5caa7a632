"""Otsu's threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from threshcli.thresholds._histogram import HistogramThreshold, sides

if TYPE_CHECKING:
    from threshcli.studies.histogram import Histogram


@dataclass(frozen=True)
class Otsu(HistogramThreshold):
    """`otsu`: the cut that leaves the least variance within the two classes, so the most between them.

    Formula: the first maximum over t of n0 * n1 * (m0 - m1)^2, with n elements of mean m at most t (0), above it (1).
    Otsu 1979, doi:10.1109/TSMC.1979.4310076; as `skimage.filters.threshold_otsu`.
    """

    form: ClassVar[str] = "otsu"
    meaning: ClassVar[str] = "most variance between two classes"

    def position(self, found: Histogram) -> float:
        under, lower, upper = sides(found.counts)
        between = under * (float(found.usable) - under) * (upper - lower) ** 2
        return int(between.argmax())
