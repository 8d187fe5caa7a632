"""What the shrinkage rules share: the type they calculate in, and which elements are above a threshold there.

Elements and thresholds are rounded to float32 (floats of 32, 16 and 8 bits) or float64 (float64 and integers), compared
and calculated with there, one rounding an operation, and the result is rounded once to the output's dtype. A cut by
rank says which elements are selected; at the cut the formulas give 0, above it or not, so ties change no value.

Complex elements are multiplied, part by part, by a real number that is worked out from their magnitude.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from threshcli.dtypes import FLOAT32, FLOAT64, DType, Range
from threshcli.kernels.base import Block, Cut, Kernels, Mask, Rank, Scalar, Tied
from threshcli.rules.base import Outcome, Rule
from threshcli.spec import ONE

Limit = Block | int
"""A threshold in the type of the arithmetic: one value an element, or the code of a number."""


@dataclass(frozen=True)
class Shrinkage(Rule):
    """Base of the rules that move what they keep towards zero."""

    magnitude: ClassVar[bool] = True

    def arithmetic(self, dtype: DType) -> DType:
        return FLOAT32 if dtype.compared.is_float and dtype.compared is not FLOAT64 else FLOAT64

    def operator(self) -> str:
        return "|x| > T"

    def refusal(self, dtype: DType, out: DType) -> str | None:
        refused = super().refusal(dtype, out)
        if refused is None and not out.compared.is_float:
            return f"{out.name} has no fractions, and shrinkage makes some"
        if refused is None and not out.signed:
            return f"{out.name} has no zero to shrink to"
        return refused

    def remedy(self, dtype: DType) -> str:
        return "give a floating-point --out-dtype, such as float32" if dtype.is_real else super().remedy(dtype)

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        if x.dtype.itemsize > 2 or not all(isinstance(cut, Scalar) for cut in cuts):
            return self._applied(k, x, out, *cuts)
        made = k.each(x, lambda codes: self._applied(k, codes, out, *cuts).out, (self, out, cuts))
        return Outcome(made, k.compare(x, "gt", self._compared(cuts[0], x.dtype), magnitude=True))

    def _compared(self, cut: Cut, dtype: DType) -> Cut:
        """A number as elements of a narrower dtype compare with it: it is not rounded to theirs."""
        kind = self.arithmetic(dtype)
        return Rank(kind.value(kind.key(cut.value))) if type(cut) is Scalar else cut

    def _applied(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        kind = self.arithmetic(x.dtype)
        wide = k.cast(k.seen(x), kind)
        limits = [k.bound(cut, kind, up=False) for cut in cuts]
        over = [exceeds(k, wide, limit) for limit in limits]
        chosen = [
            k.compare(x, "gt", cut, magnitude=True) if isinstance(cut, Rank | Tied) else mask
            for cut, mask in zip(cuts, over, strict=True)
        ]
        if x.dtype.part is None:
            return Outcome(k.cast(self.shrunk(k, wide, limits, over, chosen), out), chosen[0])
        infinite = k.within(wide, Range(kind.top, kind.top))  # it stays what it is
        factor = k.select(infinite, ONE.stored(kind), self.factor(k, wide, limits, over, chosen), kind)
        return Outcome(k.select(over[0], k.scaled(x, factor, out), 0, out), chosen[0])

    @abstractmethod
    def shrunk(
        self, k: Kernels, x: Block, limits: Sequence[Limit], over: Sequence[Mask], chosen: Sequence[Mask]
    ) -> Block:
        """Real elements by the formula. For each limit, `over` says where abs(x) is above it, `chosen` also where an
        element equal to it is above it by rank."""

    def factor(
        self, k: Kernels, size: Block, limits: Sequence[Limit], over: Sequence[Mask], chosen: Sequence[Mask]
    ) -> Block:
        """By what complex elements of these magnitudes are multiplied, so that they keep their phase: what the formula
        makes of the magnitude, divided by it. Where it is not over the limit, or infinite, anything."""
        return k.calculate(self.shrunk(k, size, limits, over, chosen), "/", size)


def exceeds(k: Kernels, x: Block, limit: Limit) -> Mask:
    """Where abs(x) > limit."""
    if isinstance(limit, int):
        return k.within(x, Range(limit + 1, x.dtype.top), magnitude=True)
    return k.against(x, "gt", limit, magnitude=True)


def excess(k: Kernels, x: Block, limit: Limit) -> Block:
    """sign(x) * (abs(x) - limit) where abs(x) > limit, as x less what is within the limit: that takes two passes. Other
    elements become +0.0, but NaN where they are infinite as the limit is, and zeros of either sign where it is 0."""
    inner = k.clip(x, limit)
    return k.calculate(x, "-", inner, into=inner)


def soft(k: Kernels, x: Block, limit: Limit, over: Mask) -> Block:
    """sign(x) * max(abs(x) - limit, 0)."""
    found = excess(k, x, limit)
    if isinstance(limit, int) and 0 < limit < x.dtype.top:
        return found
    return k.select(over, found, 0, x.dtype)
