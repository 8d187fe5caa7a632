"""`replace`: another value for what is not above the threshold."""

from __future__ import annotations

from dataclasses import dataclass

from threshcli.dtypes import Compare, DType
from threshcli.errors import UsageError
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.rules.base import Outcome, Rule, option
from threshcli.spec import Number


@dataclass(frozen=True)
class Replace(Rule):
    """Keep x above the threshold, write --value elsewhere.

    Formula: y = x if x > T else value, as torch.nn.functional.threshold(x, T, value), but that T is rounded to 16-bit
    x, too, as torch.where(x > T, x, value) does.

    Example: thresh replace depth.npy -t 0 --value nan -o depth-clean.npy
    """

    compare: Compare = option("gt", "How x is compared with the threshold.")
    value: Number | None = option(None, "Value of elements that do not stay; required.", "NUMBER")

    @property
    def filler(self) -> Number | None:
        return self.value

    def check(self, given: frozenset[str]) -> None:
        super().check(given)
        if self.value is None:
            raise UsageError("--value is missing", hint="say what to put in place, for instance --value 0")

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        (threshold,) = cuts
        selected = k.compare(x, self.compare, threshold)
        return Outcome(k.where(selected, x, self.value or x, out), selected)
