"""`variable`: keep what is above its threshold."""

from __future__ import annotations

from dataclasses import dataclass

from threshcli.dtypes import Compare, DType
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.rules.base import Outcome, Rule, option
from threshcli.spec import ZERO, Number


@dataclass(frozen=True)
class Variable(Rule):
    """Keep x above its own threshold, fill elsewhere.

    Formula: y = x if x > T else fill. The threshold is usually a map with one value per element (-t @map.npy); a map of
    another shape is refused unless --broadcast.

    Example: thresh variable heat.npy -t @limits.npy -o seen.npy
    """

    compare: Compare = option("gt", "How x is compared with the threshold.")
    fill: Number = option(ZERO, "Value of elements that do not stay.", "NUMBER")

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        (threshold,) = cuts
        selected = k.compare(x, self.compare, threshold)
        return Outcome(k.where(selected, x, self.fill, out), selected)
