"""What `thresh solve` applies: every element becomes its own threshold. No command of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from threshcli.dtypes import DType
from threshcli.kernels.base import Block, Cut, Kernels, Rank, Scalar, Tied
from threshcli.rules.base import THRESHOLD, Outcome, Rule, Slot


@dataclass(frozen=True)
class Solved(Rule):
    """The thresholds themselves, one for each element."""

    slots: ClassVar[tuple[Slot, ...]] = (THRESHOLD._replace(many=True),)
    keeps_nan: ClassVar[bool] = False

    def refusal(self, dtype: DType, out: DType) -> str | None:
        return super().refusal(dtype, dtype)

    def remedy(self, dtype: DType) -> str:
        return super().remedy(dtype) if dtype.part is None else "--magnitude looks at abs(x)"

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        selected = k.compare(x, "gt", cuts[0], magnitude=self.magnitude)
        cut, dtype = cuts[0], x.dtype.compared
        if isinstance(cut, Tied):
            cut = cut.value
        elif isinstance(cut, Scalar) and not isinstance(cut, Rank) and dtype.is_float:
            cut = Scalar(dtype.value(dtype.key(cut.value)))  # a number is rounded to floats before it is compared
        value = k.bound(cut, out, up=False)
        return Outcome(k.select(selected, value, value, out), selected)


@dataclass(frozen=True)
class SolvedMagnitude(Solved):
    """The same for rules that compare abs(x)."""

    magnitude: ClassVar[bool] = True
