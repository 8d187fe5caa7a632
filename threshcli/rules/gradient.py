"""`gradient`: zero what is small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from threshcli.dtypes import Compare, DType
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.rules.base import Outcome, Rule, option
from threshcli.spec import ZERO, Number


@dataclass(frozen=True)
class Gradient(Rule):
    """Keep x where |x| is above the threshold, 0 elsewhere.

    Formula: y = x if abs(x) > T else 0. For saved gradients, weights and deltas; --residual OUT writes what was
    dropped, x - y, for error feedback. The summary shows the norm before and after. Of
    complex x, both parts stay or go.

    Example: thresh gradient grads.pt -t 1e-3 --residual left.pt -o sparse.pt
    """

    magnitude: ClassVar[bool] = True
    residual: ClassVar[bool] = True
    norms: ClassVar[bool] = True

    compare: Compare = option("gt", "How abs(x) is compared with the threshold.")

    @property
    def filler(self) -> Number:
        return ZERO

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        (threshold,) = cuts
        selected = k.compare(x, self.compare, threshold, magnitude=True)
        return Outcome(k.where(selected, x, ZERO, out), selected)
