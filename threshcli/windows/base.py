"""What a window is: its size along each axis, how it meets the border, and what is made of the elements in it.

Everything here works on a *box*: a part of a tensor for which thresholds are wanted, with as many elements around it
as windows reach (`boxes`). A threshold is computed from the elements of its window by the same operations in the same
order wherever the box begins, so that boxes, and with them workers and memory, change no bit of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

Array = npt.NDArray[Any]
Method = Literal["mean", "gaussian", "median", "niblack", "sauvola"]
Border = Literal["reflect", "mirror"]
"""What lies outside: `reflect` repeats the edge (b a | a b c), `mirror` does not (c b | a b c)."""

_CUT = 4  # standard deviations at which a Gaussian ends


@dataclass(frozen=True, slots=True)
class Window:
    """A window of `sizes` elements, odd, one for each axis: 1 where an axis keeps its indices apart."""

    method: Method
    sizes: tuple[int, ...]
    k: float = 0.2
    """Of niblack and sauvola: how many standard deviations."""
    r: float = 1.0
    """Of sauvola: the largest standard deviation that there may be."""

    @property
    def has_factors(self) -> bool:
        """Whether it multiplies what it finds by numbers that are given."""
        return self.method in ("niblack", "sauvola")

    @property
    def border(self) -> Border:
        return "mirror" if self.has_factors else "reflect"

    @property
    def reach(self) -> tuple[int, ...]:
        """How many elements a window extends to either side, along each axis."""
        if self.method == "gaussian":
            return tuple(int(_CUT * sigma_of(size) + 0.5) for size in self.sizes)
        return tuple(size // 2 for size in self.sizes)

    @property
    def elements(self) -> int:
        """How many elements a window has."""
        return math.prod(2 * reach + 1 for reach in self.reach)


def sigma_of(size: int) -> float:
    """The standard deviation of a Gaussian window."""
    return (size - 1) / 6
