"""`garrote`: the non-negative garrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from threshcli.kernels.base import Block, Kernels, Mask
from threshcli.rules._shrinkage import Limit, Shrinkage
from threshcli.spec import ONE


@dataclass(frozen=True)
class Garrote(Shrinkage):
    """Move small x towards zero by much, large x by little.

    Formula: y = x * (1 - (T / abs(x))^2) where abs(x) > T, else 0: the non-negative garrote (Breiman 1995,
    doi:10.1080/00401706.1995.10484371; Gao 1998, doi:10.1080/10618600.1998.10474789), between soft and hard. Calculated
    as soft is: in float32 for floats of 32, 16 and 8 bits, else in float64, rounded once to the output's dtype;
    integers need a floating-point --out-dtype. 0 becomes 0 at T = 0, too; an infinite T leaves zeros.
    Complex x keep their phase.

    Example: thresh garrote noisy.npy -t universal -o clean.npy
    """

    def shrunk(
        self, k: Kernels, x: Block, limits: Sequence[Limit], over: Sequence[Mask], chosen: Sequence[Mask]
    ) -> Block:
        found = self.factor(k, x, limits, over, chosen)
        found = k.calculate(x, "*", found, into=found)
        return k.select(over[0], found, 0, x.dtype)

    def factor(
        self, k: Kernels, size: Block, limits: Sequence[Limit], over: Sequence[Mask], chosen: Sequence[Mask]
    ) -> Block:
        """1 - (T / abs(x))^2."""
        found = k.calculate(limits[0], "/", size)  # its sign goes with the square
        found = k.calculate(found, "*", found, into=found)
        return k.calculate(ONE.stored(size.dtype), "-", found, into=found)
