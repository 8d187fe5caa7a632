"""One tile of one tensor: read, compared, counted, written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from threshcli.dtypes import DType
from threshcli.engine.reading import Bytes, read_elements
from threshcli.errors import InputError, UsageError
from threshcli.kernels.base import Block, Cut, Kernels, Mask, Measure, Scalar
from threshcli.plan.tensors import TensorPlan
from threshcli.rules.base import Outcome, Rule
from threshcli.spec import ZERO, Number
from threshcli.stats import Counts
from threshcli.thresholds.base import Fixed, Mapped
from threshcli.tiles import Tile

_PRECISE = 1 << 22  # tensors under this many elements have their squares taken in float64


@dataclass(frozen=True, slots=True)
class Worked:
    """What a tile gave: the output's bytes, and the residual's."""

    out: memoryview
    residual: memoryview | None


class TensorWork:
    """A rule at work on one tensor; shared by all workers, it keeps nothing but the plan."""

    def __init__(self, rule: Rule, plan: TensorPlan, maps: Callable[[Mapped], Bytes], *, moments: bool) -> None:
        self._rule, self._plan, self._maps, self._moments = rule, plan, maps, moments
        self._precise = plan.view.elements < _PRECISE

    def tile(self, k: Kernels, raw: memoryview, tile: Tile, counts: Counts) -> Worked:
        """Work on the elements in `raw`; what it counts is added to `counts`."""
        plan, dtype = self._plan, self._plan.tensor.dtype
        x = k.load(raw, dtype, swapped=plan.view.swapped)
        found = k.measure(x)
        cuts = [self._cut(slot.name, slot.default, k, tile, counts) for slot in self._rule.slots]
        self._check_order(k, cuts, tile)
        outcome = self._rule.apply(k, x, plan.out.dtype, *cuts)
        out = self._treat_nan(k, x, outcome, found.nan) if found.nan else outcome.out
        self._count(k, x, out, outcome.selected, found, counts)
        residual = None
        if plan.residual_place is not None:
            dropped = k.both(k.invert(outcome.selected), k.invert(k.isnan(x)))
            left = k.where(dropped, x, ZERO, dtype)
            residual = k.store(left, swapped=plan.residual_swapped)
        return Worked(k.store(out, swapped=plan.out.swapped), residual)

    def _cut(self, slot: str, default: float | None, k: Kernels, tile: Tile, counts: Counts) -> Cut:
        bound = self._plan.bounds.get(slot)
        if bound is None:
            return Scalar(0.0 if default is None else default)
        if isinstance(bound, Fixed):
            return Scalar(bound.value)
        view = bound.view
        raw = k.buffer(tile.count * view.itemsize)
        read_elements(self._maps(bound), view, tile.start, tile.stop, raw)
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

    def _count(self, k: Kernels, x: Block, out: Block, selected: Mask, found: Measure, counts: Counts) -> None:
        elements, chosen = k.elements(x), k.count(selected)
        counts.elements += elements
        counts.nan += found.nan
        counts.inf += found.inf
        counts.zeros_before += found.zeros
        counts.extremes(found.low, found.high)
        counts.selected += chosen + (found.nan if self._rule.nan_policy.action == "above" else 0)
        counts.changed += self._changed(k, x, out, selected, found.nan)
        counts.zeros_after += self._zeros_after(k, out, elements, chosen, found.nan)
        if self._moments:
            clean = not (found.nan or found.inf)
            sums, squares = k.moments(x, clean=clean, precise=self._precise)
            counts.sums.add(sums)
            counts.squares.add(squares)
            counts.squares_after.add(
                k.moments(out, clean=False if not clean else self._finite, precise=self._precise)[1]
            )

    def _zeros_after(self, k: Kernels, out: Block, elements: int, chosen: int, nan: int) -> int:
        levels = self._rule.levels
        if levels is None or nan:
            return k.zeros(out)
        return chosen * (levels[0].value == 0) + (elements - chosen) * (levels[1].value == 0)

    @property
    def _finite(self) -> bool:
        """Whether finite elements stay finite: a constant may be infinite, a cast may overflow."""
        same: DType = self._plan.out.dtype
        numbers = [number for _, number in self._rule.constants()]
        return same is self._plan.tensor.dtype and all(not isinstance(number.value, float) for number in numbers)

    def _changed(self, k: Kernels, x: Block, out: Block, selected: Mask, nan: int) -> int:
        """How many values differ from the input's. Two constants in another dtype are looked for in x itself, which is
        quicker than comparing two dtypes."""
        levels = self._rule.levels
        if out.dtype is x.dtype or levels is None or nan:
            return k.changed(x, out, nan)
        same = 0
        for number, mask in ((levels[0], selected), (levels[1], k.invert(selected))):
            if x.dtype.encode(number.value) is not None:
                equal = k.between(x, ("ge", Scalar(number.value)), ("le", Scalar(number.value)))
                same += k.count(k.both(mask, equal))
        return k.elements(x) - same
