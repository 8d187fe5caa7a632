"""`nm`: of every M neighbours keep the N largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from threshcli.dtypes import DType
from threshcli.errors import UsageError
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.rules.base import Groups, Outcome, Rule, Slot, option, selected_by
from threshcli.spec import ZERO, NofM, Number


@dataclass(frozen=True)
class Nm(Rule):
    """Keep the N largest magnitudes of every M neighbours.

    Formula: along --axis, in each group of M elements from index 0 on, y = x if fewer than N of the group are larger in
    abs(x), or as large at a lower index, else fill. NaN is larger than all else, and as large as NaN; what of it is not
    among the N goes as well. So 2:4 makes what torch.sparse.to_sparse_semi_structured takes (Mishra et al. 2021,
    arXiv:2104.08378). A length that M does not divide is refused unless --partial: then the last group, of L elements,
    keeps ceil(N * L / M). Tensors without that axis are refused, choose others by --tensor.

    Example: thresh nm weights.safetensors -t 2:4 -k '*proj.weight' -o sparse.safetensors
    """

    slots: ClassVar[tuple[Slot, ...]] = ()
    magnitude: ClassVar[bool] = True
    sideways: ClassVar[bool] = True

    threshold: NofM | None = option(None, "N:M, of how many neighbours how many stay: 2:4.", "N:M", short="-t")
    axis: int = option(-1, "Along which axis elements are neighbours.", "N")
    partial: bool = option(False, "The last group along the axis may be short.")
    fill: Number = option(ZERO, "Value of elements that do not stay.", "NUMBER")

    @property
    def beside(self) -> Groups | None:
        return None if self.threshold is None else Groups(self.threshold.n, self.threshold.m, self.axis, self.partial)

    def operator(self) -> str:
        return str(self.threshold)

    def check(self, given: frozenset[str]) -> None:
        super().check(given)
        if self.threshold is None:
            raise UsageError("--threshold is missing", hint="write it as N:M: -t 2:4 keeps 2 of every 4 neighbours")

    def check_shape(self, shape: Sequence[int]) -> None:
        groups, rank = self.beside, len(shape)
        if groups is None:
            return
        if not -rank <= groups.axis < rank:
            hint = "choose tensors with --tensor GLOB"
            raise UsageError(f"has {rank} axes, and --axis is {groups.axis}", hint=hint)
        if shape[groups.axis] % groups.m and not groups.partial:
            raise UsageError(
                f"{groups.m} does not divide its {shape[groups.axis]:,} elements along axis {groups.axis}",
                hint="--partial lets the last group be short; or choose tensors with --tensor GLOB",
            )

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        mask = selected_by(k, cuts)
        selected = k.both(mask, k.invert(k.isnan(x))) if x.dtype.compared.is_float else mask
        return Outcome(k.where(mask, x, self.fill, out), selected)

    def with_nan(self, k: Kernels, x: Block, made: Block, out: DType) -> Block:
        fill = self.nan_policy.fill
        return made if fill is None else k.where(k.both(k.isnan(x), k.isnan(made)), fill, made, out)
