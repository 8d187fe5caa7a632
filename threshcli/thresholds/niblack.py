"""Niblack's threshold of each element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.dtypes import DType
from threshcli.thresholds._window import number_of, sizes_in
from threshcli.thresholds.base import Extremes, Windowed

if TYPE_CHECKING:
    from threshcli.windows.base import Window


@dataclass(frozen=True)
class Niblack(Windowed):
    """`niblack:15,0.2`: so many standard deviations under the mean of a window around each element; 0.2 if left out.

    Formula: m - k * s, with the mean and the standard deviation (of the population) of the window, in float64. s is not
    taken from squares less a square: what it loses grows as m / s, not as its square, so that 9 digits are left of a
    spread of 10 about 1e8. Outside of the edge lies its mirror image (c b | a b c); windows are written as for
    `local-mean`.
    Niblack 1986, An Introduction to Digital Image Processing; as `skimage.filters.threshold_niblack`.
    """

    form: ClassVar[str] = "niblack:15,0.2"
    meaning: ClassVar[str] = "mean and standard deviation of a window around each element"
    commas: ClassVar[bool] = True

    k: float

    @classmethod
    def parse(cls, text: str) -> Self | None:
        name, _, rest = text.partition(":")
        if name != "niblack":
            return None
        sizes, comma, k = rest.partition(",")
        return cls(text, sizes_in(sizes, text), number_of(k, "k", text) if comma else 0.2)

    def window(self, sizes: tuple[int, ...], dtype: DType, extremes: Extremes) -> Window:
        from threshcli.windows.base import Window

        return Window("niblack", sizes, self.k)
