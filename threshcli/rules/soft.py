"""`soft`: soft thresholding, as in signal processing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from threshcli.dtypes import DType
from threshcli.kernels.base import Block, Cut, Kernels, Mask, Scalar
from threshcli.rules._shrinkage import Limit, Shrinkage, soft
from threshcli.stats import Measure

_LEAST = math.ulp(0.0)  # a threshold of 0 moves nothing


@dataclass(frozen=True)
class Soft(Shrinkage):
    """Move x towards zero by the threshold, down to zero.

    Formula: y = sign(x) * max(abs(x) - T, 0): soft thresholding (Donoho 1995, doi:10.1109/18.382009). Floats of 32, 16
    and 8 bits are calculated in float32, float64 and integers in float64, the result is rounded once to the output's
    dtype; T is rounded to the type of the arithmetic. Integers need a floating-point --out-dtype. An infinite T leaves
    zeros. Complex x keep their phase: x * ((abs(x) - T) / abs(x)). An element that a cut by rank (top1000) puts above
    it and that is equal to it becomes 0, as the formula says.

    Example: thresh soft noisy.npy -t universal -o clean.npy
    """

    def moves_all(self, dtype: DType, out: DType, found: Measure, cuts: Sequence[Cut]) -> bool:
        """A threshold of at least the distance between the largest element and its neighbour moves every element; the
        difference of two floats is 0 for equal ones only."""
        cut, kind = cuts[0], self.arithmetic(dtype)
        if not (out is dtype is kind and type(cut) is Scalar) or found.inf or found.low is None or found.high is None:
            return False
        exponent = math.frexp(max(-found.low, found.high))[1]
        return kind.number(kind.key(cut.value)) >= max(math.ldexp(1.0, exponent - kind.mantissa - 1), _LEAST)

    def shrunk(
        self, k: Kernels, x: Block, limits: Sequence[Limit], over: Sequence[Mask], chosen: Sequence[Mask]
    ) -> Block:
        return soft(k, x, limits[0], over[0])
