"""`binary`: one value above the threshold, another for the rest."""

from __future__ import annotations

from dataclasses import dataclass

from threshcli.dtypes import Compare, DType
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.rules.base import Outcome, Rule, option
from threshcli.spec import ONE, ZERO, Number


@dataclass(frozen=True)
class Binary(Rule):
    """Write 1 where x is above the threshold, 0 elsewhere.

    Formula: y = above if x > T else below. The result has the input's dtype unless --out-dtype says otherwise.

    Example: thresh binary prob.npy -t 0.5 --out-dtype bool -o mask.npy
    """

    compare: Compare = option("gt", "How x is compared with the threshold.")
    above: Number = option(ONE, "Value where the comparison holds.", "NUMBER")
    below: Number = option(ZERO, "Value elsewhere.", "NUMBER")

    @property
    def levels(self) -> tuple[Number, Number]:
        return self.above, self.below

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        (threshold,) = cuts
        selected = k.compare(x, self.compare, threshold)
        return Outcome(k.where(selected, self.above, self.below, out), selected)
