"""Averages of a window around each element as its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from threshcli.dtypes import DType
from threshcli.thresholds._window import sizes_in
from threshcli.thresholds.base import Extremes, Windowed

if TYPE_CHECKING:
    from threshcli.windows.base import Window

_METHODS: tuple[Literal["mean", "gaussian", "median"], ...] = ("mean", "gaussian", "median")


@dataclass(frozen=True)
class Local(Windowed):
    """`local-mean:15`, `local-gaussian:15`, `local-median:15`: what is usual around each element.

    The window has 15 elements along each axis, or 15 x 15 x 7 (`15x15x7`); `--axes` says along which. The edge is
    repeated outwards (b a | a b c). The Gaussian has a standard deviation of (W - 1) / 6 and ends at four of them. NaN
    and infinities leave the window. In float64; as `skimage.filters.threshold_local` with an offset of 0, which
    `--offset` adds.
    """

    form: ClassVar[str] = "local-mean:15, local-gaussian:15, local-median:15"
    meaning: ClassVar[str] = "average of a window around each element"

    method: Literal["mean", "gaussian", "median"]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        name, _, rest = text.partition(":")
        for method in _METHODS:
            if name == f"local-{method}":
                return cls(text, sizes_in(rest, text), method)
        return None

    def window(self, sizes: tuple[int, ...], dtype: DType, extremes: Extremes) -> Window:
        from threshcli.windows.base import Window

        return Window(self.method, sizes)
