"""`hysteresis`: one value where x is above the lower threshold and connected to what is above the upper one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from threshcli.dtypes import DType
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.rules.base import Components, Outcome, Rule, Slot, option, selected_by
from threshcli.spec import ONE, ZERO, Number


@dataclass(frozen=True)
class Hysteresis(Rule):
    """Write 1 above --high and in what is connected above --low.

    Formula: y = above in those connected components of x > low that hold an x > high, else below. Elements are
    connected along all axes, or those of --axes; with --connectivity full at corners, too. NaN is in no component; a
    0-d tensor is one element. Any rank and size: a component may wind through the whole of a file larger than memory
    (Canny 1986, doi:10.1109/TPAMI.1986.4767851; as skimage.filters.apply_hysteresis_threshold).

    Example: thresh hysteresis heat.npy --low 0.3 --high 0.7 --out-dtype bool -o mask.npy
    """

    slots: ClassVar[tuple[Slot, ...]] = (
        Slot("low", "What elements of a component are above."),
        Slot("high", "What one of them has to be above."),
    )
    sideways: ClassVar[bool] = True
    spatial: ClassVar[bool] = True

    connectivity: Literal["faces", "full"] = option(
        "faces", "With full, elements that touch at corners are connected, too."
    )
    above: Number = option(ONE, "Value in the components.", "NUMBER")
    below: Number = option(ZERO, "Value elsewhere.", "NUMBER")

    @property
    def levels(self) -> tuple[Number, Number]:
        return self.above, self.below

    @property
    def beside(self) -> Components:
        return Components(self.connectivity == "full")

    def operator(self) -> str:
        return "x > low, high"

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        selected = selected_by(k, cuts)
        return Outcome(k.where(selected, self.above, self.below, out), selected)
