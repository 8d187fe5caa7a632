"""`firm`: soft at the lower threshold, untouched above the upper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from threshcli.dtypes import DType, Range
from threshcli.kernels.base import Block, Kernels, Mask
from threshcli.rules._shrinkage import Limit, Shrinkage, excess
from threshcli.rules.base import Slot


@dataclass(frozen=True)
class Firm(Shrinkage):
    """Zero small x, keep large x, shrink what lies between.

    Formula: y = 0 where abs(x) <= low, x where abs(x) > high, else sign(x) * high * (abs(x) - low) / (high - low): firm
    shrinkage (Gao & Bruce 1997, Statistica Sinica 7, 855-874). Equal thresholds make it hard with a strict comparison,
    an infinite --high makes it soft at --low. Calculated as soft is: in float32 for floats of 32, 16 and 8 bits, else
    in float64, rounded once to the output's dtype; integers need a floating-point --out-dtype. Where the product has no
    normal number of that type near it, the quotient is taken first. Complex x are multiplied by what becomes of abs(x),
    divided by abs(x), so that they keep their phase.

    Example: thresh firm noisy.npy --low 2sigma --high 4sigma -o clean.npy
    """

    slots: ClassVar[tuple[Slot, ...]] = (
        Slot("low", "What does not exceed this becomes 0; takes what -t takes."),
        Slot("high", "What exceeds this stays as it is; takes what -t takes."),
    )

    def operator(self) -> str:
        return "low < |x| <= high"

    def shrunk(
        self, k: Kernels, x: Block, limits: Sequence[Limit], over: Sequence[Mask], chosen: Sequence[Mask]
    ) -> Block:
        ramp = k.select(over[0], _ramp(k, x, limits, over[0]), 0, x.dtype)
        return k.select(k.both(*chosen), x, ramp, x.dtype)


def _ramp(k: Kernels, x: Block, limits: Sequence[Limit], over: Mask) -> Block:
    """What lies between the limits, shrunk, of what is over the lower one; of other elements anything."""
    low, high = limits
    found = excess(k, x, low)
    infinite = x.dtype.top
    if high == infinite:
        return found
    width = _width(k, low, high, x.dtype)
    if width == 0:
        return found
    product = k.calculate(high, "*", found)
    usual = k.within(product, Range(1 << x.dtype.mantissa, infinite - 1), magnitude=True)
    ramp = k.calculate(product, "/", width, into=product)
    if not k.everywhere(k.invert(k.both(over, k.invert(usual)))):
        other = k.calculate(high, "*", k.calculate(found, "/", width))
        ramp = k.select(usual, ramp, other, x.dtype)
    if isinstance(high, Block):
        ramp = k.select(k.within(high, Range(0, infinite - 1)), ramp, found, x.dtype)
    return ramp


def _width(k: Kernels, low: Limit, high: Limit, dtype: DType) -> Limit:
    """high - low, rounded once."""
    if isinstance(low, Block) or isinstance(high, Block):
        return k.calculate(high, "-", low)
    ends = dtype.value(low), dtype.value(high)
    return dtype.code(dtype.key(ends[1] - ends[0]))
