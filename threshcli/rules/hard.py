"""`hard`: hard thresholding, as in signal processing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from threshcli.dtypes import Compare, DType
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.rules.base import Outcome, Rule, option
from threshcli.spec import ZERO, Number


@dataclass(frozen=True)
class Hard(Rule):
    """Keep x where |x| reaches the threshold, fill elsewhere.

    Formula: y = x if abs(x) >= T else fill: hard thresholding, where an element at the cut stays (Donoho & Johnstone
    1994, doi:10.1093/biomet/81.3.425; the convention of PyWavelets).

    Example: thresh hard noisy.npy -t 0.8 -o clean.npy
    """

    magnitude: ClassVar[bool] = True

    compare: Compare = option("ge", "How abs(x) is compared with the threshold.")
    fill: Number = option(ZERO, "Value of elements that do not stay.", "NUMBER")

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        (threshold,) = cuts
        selected = k.compare(x, self.compare, threshold, magnitude=True)
        return Outcome(k.where(selected, x, self.fill, out), selected)
