"""One tile of one tensor: read, compared, counted, written."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from threshcli.engine.counting import Counting
from threshcli.engine.reading import Bytes, read_elements
from threshcli.errors import InputError, UsageError
from threshcli.kernels.base import Block, Cut, Kernels, Scalar
from threshcli.plan.tensors import TensorPlan
from threshcli.rules.base import Outcome, Rule, Slot
from threshcli.spec import ZERO, Number
from threshcli.stats import Counts
from threshcli.thresholds.base import Fixed, Mapped
from threshcli.tiles import Tile


class Worked(NamedTuple):
    """What a tile gave: the output's bytes, and the residual's."""

    out: memoryview
    residual: memoryview | None


class TensorWork:
    """A rule at work on one tensor; shared by all workers, it keeps nothing but the plan."""

    def __init__(
        self, rule: Rule, plan: TensorPlan, maps: Callable[[Mapped], Bytes], *, norms: bool, means: bool
    ) -> None:
        self._rule, self._plan, self._maps = rule, plan, maps
        self._numbers = {slot.name: self._number(slot) for slot in rule.slots}
        elements = plan.view.elements
        self._counting = Counting(rule, plan.tensor.dtype, plan.out.dtype, elements, norms=norms, means=means)

    def tile(self, k: Kernels, raw: memoryview, tile: Tile, counts: Counts) -> Worked:
        """Work on the elements in `raw`; what it counts is added to `counts`."""
        plan, dtype = self._plan, self._plan.tensor.dtype
        x = k.load(raw, dtype, swapped=plan.view.swapped)
        found = k.measure(x)
        cuts = [self._cut(slot.name, k, tile, counts) for slot in self._rule.slots]
        self._check_order(k, cuts, tile)
        outcome = self._rule.apply(k, x, plan.out.dtype, *cuts)
        out = self._treat_nan(k, x, outcome, found.nan) if found.nan else outcome.out
        self._counting.tile(k, x, out, outcome.selected, found, cuts, counts)
        residual = None
        if plan.residual_place is not None:
            dropped = k.both(k.invert(outcome.selected), k.invert(k.isnan(x)))
            left = k.where(dropped, x, ZERO, dtype)
            residual = k.store(left, swapped=plan.residual_swapped)
        return Worked(k.store(out, swapped=plan.out.swapped), residual)

    def _number(self, slot: Slot) -> Scalar | None:
        """The number of a slot, the same for all tiles; None for a map."""
        bound = self._plan.bounds.get(slot.name)
        if bound is None:
            return Scalar(0.0 if slot.default is None else slot.default)
        return Scalar(bound.value) if isinstance(bound, Fixed) else None

    def _cut(self, slot: str, k: Kernels, tile: Tile, counts: Counts) -> Cut:
        number, bound = self._numbers[slot], self._plan.bounds.get(slot)
        if number is not None or not isinstance(bound, Mapped):
            return number or Scalar(0.0)
        view = bound.view
        raw = k.buffer(tile.count * view.itemsize)
        try:
            read_elements(self._maps(bound), view, tile.start, tile.stop, raw)
        except InputError as error:
            raise error.located(bound.path) from error
        cut = k.load(raw, bound.dtype, swapped=view.swapped)
        found = k.measure(cut)
        if found.nan:
            at = self._position(tile, k.first(k.isnan(cut)))
            raise UsageError(f"the map {bound.spec} is NaN at {at}", hint="nothing compares with NaN; fill these first")
        if self._rule.magnitude and found.low is not None and found.low < 0:
            at = self._position(tile, k.first(k.compare(cut, "lt", Scalar(ZERO.value))))
            raise UsageError(
                f"the map {bound.spec} is negative at {at}", hint="magnitudes never are; give thresholds of 0 or more"
            )
        counts.cut(slot, found.low, found.high)
        return cut

    def _check_order(self, k: Kernels, cuts: list[Cut], tile: Tile) -> None:
        """UsageError, with the first position, where the lower of two cuts is above the upper."""
        if len(cuts) != 2 or all(isinstance(cut, Scalar) for cut in cuts):
            return
        low, high = cuts
        crossed = k.compare(low, "gt", high) if isinstance(low, Block) else k.compare(high, "lt", low)  # type: ignore[arg-type]  # one of them is a block
        index = k.first(crossed)
        if index is not None:
            raise UsageError(
                f"--low is above --high at {self._position(tile, index)}", hint="exchange or mend the maps"
            )

    def _position(self, tile: Tile, index: int | None) -> str:
        """The coordinates, in the tensor, of an element of a tile."""
        shape, rest, reverse = self._plan.view.shape, tile.start + (index or 0), []
        for length in reversed(shape):
            rest, position = divmod(rest, length)
            reverse.append(position)
        walked = reverse[::-1]
        order = self._plan.out.order
        return str([walked[order.index(axis)] for axis in range(len(shape))])

    def _treat_nan(self, k: Kernels, x: Block, outcome: Outcome, nan: int) -> Block:
        policy, dtype = self._rule.nan_policy, self._plan.out.dtype
        if policy.action == "error":
            raise InputError(
                f"tensor {self._plan.name!r} holds NaN", hint="choose what becomes of it: --nan keep, fill=V"
            )
        levels = self._rule.levels
        value: Block | Number = x
        if policy.fill is not None:
            value = policy.fill
        elif policy.action == "above" and levels:
            value = levels[0]
        elif policy.action == "below" and levels:
            value = levels[1]
        return k.where(k.isnan(x), value, outcome.out, dtype)
