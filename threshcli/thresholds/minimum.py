"""The minimum between two peaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from threshcli.errors import InputError
from threshcli.thresholds._histogram import HistogramThreshold

if TYPE_CHECKING:
    from threshcli.studies.base import Array
    from threshcli.studies.histogram import Histogram

_MOST = 10_000
"""How often a histogram is smoothed at most."""


@dataclass(frozen=True)
class Minimum(HistogramThreshold):
    """`minimum`: the lowest bin between the two peaks of the smoothed histogram.

    Formula: each bin becomes the mean of itself and its neighbours (at an end: of itself twice and its neighbour) until
    two maxima are left; the first of the lowest bins between them. Prewitt & Mendelsohn 1966,
    doi:10.1111/j.1749-6632.1965.tb11715.x; as `skimage.filters.threshold_minimum`. Refused where no two peaks are left.
    """

    form: ClassVar[str] = "minimum"
    meaning: ClassVar[str] = "lowest between two peaks"

    def position(self, found: Histogram) -> float:
        for smooth in _smoothed(found.counts):
            if not _is_rough(smooth) and len(peaks := _peaks(smooth)) < 3:
                if len(peaks) < 2:
                    break
                first, second = (int(peak) for peak in peaks)
                return first + int(smooth[first : second + 1].argmin())
        raise InputError(
            f"has no threshold {self.text}: its histogram has no two peaks",
            hint="try -t otsu or -t triangle, or give a number",
        )


def _smoothed(counts: Array) -> Iterator[Array]:
    """The counts smoothed once, twice and so on; what was yielded before is written over."""
    import numpy as np

    wide, other = np.zeros((2, len(counts) + 2))
    wide[1:-1] = counts
    for _ in range(_MOST):
        wide[0], wide[-1] = wide[1], wide[-2]
        np.add(wide[:-2], wide[2:], out=other[1:-1])
        other += wide
        other /= 3
        wide, other = other, wide
        yield wide[1:-1]


def _is_rough(counts: Array) -> bool:
    """Whether more than two peaks are seen at a glance: bins higher than both their neighbours."""
    import numpy as np

    rise, fall = counts[1:-1] > counts[:-2], counts[1:-1] > counts[2:]
    return int(np.count_nonzero(rise & fall)) > 2


def _peaks(counts: Array) -> Array:
    """The last bin of each rise that a fall follows; a histogram that begins with a fall begins with a peak."""
    import numpy as np

    steps = np.sign(np.diff(counts))
    places = np.flatnonzero(steps)
    falls = steps[places] < 0
    peaks: Array = places[falls & np.append(True, ~falls[:-1])]
    return peaks
