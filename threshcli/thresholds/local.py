"""Averages of a window around each element as its threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from threshcli.dtypes import DType
from threshcli.errors import UsageError
from threshcli.spec import Axes
from threshcli.thresholds._window import sizes_in
from threshcli.thresholds.base import Extremes, Windowed

if TYPE_CHECKING:
    from threshcli.windows.base import Window

_MOST_RANKED = 1 << 20  # a mean costs the logarithm of that, a median all of it, for each element
_METHODS: tuple[Literal["mean", "gaussian", "median"], ...] = ("mean", "gaussian", "median")


@dataclass(frozen=True)
class Local(Windowed):
    """`local-mean:15`, `local-gaussian:15`, `local-median:15`: what is usual around each element.

    The window has 15 elements along each axis, or 15 x 15 x 7 (`15x15x7`); `--axes` says along which. The edge is
    repeated outwards (b a | a b c). A median is of 1,048,576 elements at most. The Gaussian has a standard
    deviation of (W - 1) / 6 and ends at four of them. NaN and infinities leave the window. In float64; as
    `skimage.filters.threshold_local` with an offset of 0, which `--offset` adds.
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

    def check(self, rank: int, dtype: DType, axes: Axes | None) -> None:
        super().check(rank, dtype, axes)
        elements = math.prod(self.spans(rank, axes))
        if self.method == "median" and elements > _MOST_RANKED:
            raise UsageError(
                f"{self.text} has {elements:,} elements in a window, and medians are taken of {_MOST_RANKED:,} at most",
                hint="use a smaller window, or local-mean; --axes says along which axes it extends",
            )

    def window(self, sizes: tuple[int, ...], dtype: DType, extremes: Extremes) -> Window:
        from threshcli.windows.base import Window

        return Window(self.method, sizes)
