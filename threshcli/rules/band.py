"""`band`: keep what lies between two thresholds, or outside of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from threshcli.dtypes import Compare, DType
from threshcli.errors import UsageError
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.rules.base import Outcome, Rule, Slot, option
from threshcli.spec import ONE, ZERO, Number

_CLOSED: dict[str, tuple[Compare, Compare]] = {
    "both": ("ge", "le"),
    "left": ("ge", "lt"),
    "right": ("gt", "le"),
    "neither": ("gt", "lt"),
}


@dataclass(frozen=True)
class Band(Rule):
    """Keep what lies between two thresholds, fill the rest.

    Formula: y = x if low <= x <= high else fill; --closed says which ends belong to the band, --outside keeps what is
    not in it, --binary writes 1 and 0 (or --above and --below) instead of x and fill.

    Example: thresh band depth.npy --low 0.5 --high 20 --binary -o valid.npy
    """

    slots: ClassVar[tuple[Slot, ...]] = (
        Slot("low", "Lower end of the band."),
        Slot("high", "Upper end of the band."),
    )

    closed: Literal["both", "left", "right", "neither"] = option("both", "Which ends belong to the band.")
    outside: bool = option(False, "Select what lies outside of the band.")
    binary: bool = option(False, "Write --above where selected, --below elsewhere.")
    fill: Number | None = option(None, "Value of elements that do not stay. Default: 0.", "NUMBER")
    above: Number | None = option(None, "With --binary: value where selected. Default: 1.", "NUMBER")
    below: Number | None = option(None, "With --binary: value elsewhere. Default: 0.", "NUMBER")

    @property
    def levels(self) -> tuple[Number, Number] | None:
        return (self.above or ONE, self.below or ZERO) if self.binary else None

    @property
    def filler(self) -> Number | None:
        return None if self.binary else self.fill or ZERO

    def operator(self) -> str:
        left, right = (sign.replace("g", "<").replace("l", "<") for sign in _CLOSED[self.closed])
        text = f"low {left[0]}{'=' * left.endswith('e')} x {right[0]}{'=' * right.endswith('e')} high"
        return f"not {text}" if self.outside else text

    def check(self, given: frozenset[str]) -> None:
        super().check(given)
        if self.binary and self.fill is not None:
            raise UsageError("--fill has no place with --binary", hint="use --above and --below")
        if not self.binary and (self.above or self.below):
            raise UsageError("--above and --below need --binary", hint="use --fill, or add --binary")

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        low, high = cuts
        first, second = _CLOSED[self.closed]
        selected = k.between(x, (first, low), (second, high))
        if self.outside:
            selected = k.invert(selected)
            for block in (x, *cuts):  # NaN is nowhere, and where an end of the band is NaN there is no outside
                if isinstance(block, Block):
                    selected = k.both(selected, k.invert(k.isnan(block)))
        if self.levels:
            return Outcome(k.where(selected, *self.levels, out), selected)
        return Outcome(k.where(selected, x, self.filler or ZERO, out), selected)
