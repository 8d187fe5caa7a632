"""One tile of one tensor: read, compared, counted, written."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from threshcli.engine.counting import Counting
from threshcli.engine.cuts import Cuts
from threshcli.engine.reading import Bytes
from threshcli.errors import InputError
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.kernels.complex import fitting
from threshcli.plan.tensors import TensorPlan
from threshcli.rules.base import Outcome
from threshcli.spec import ZERO
from threshcli.stats import Counts
from threshcli.thresholds.base import Fixed, Mapped
from threshcli.tiles import Tile

if TYPE_CHECKING:
    from threshcli.engine.beside import Beside


class Worked(NamedTuple):
    """What a tile gave: the output's bytes, and the residual's."""

    out: memoryview
    residual: memoryview | None

    def parts(self, many: int) -> Iterator[Worked]:
        """What so many equal parts of the tile gave."""
        size, left = len(self.out) // many, len(self.residual or ()) // many
        for number in range(many):
            residual = None if self.residual is None else self.residual[number * left : (number + 1) * left]
            yield Worked(self.out[number * size : (number + 1) * size], residual)


class TensorWork:
    """A rule at work on one tensor; shared by all workers, and by tensors that are planned alike, it keeps nothing but
    the plan."""

    def __init__(self, plan: TensorPlan, maps: Callable[[Mapped], Bytes], *, means: bool) -> None:
        self._rule, self._plan = plan.rule, plan
        self._cuts, *self._later = (Cuts(item.rule, item, maps) for item in plan.steps)
        self.beside: Beside | None = None
        """Where a rule that looks sideways gets its masks from; known before the first tile is worked on."""
        elements = plan.view.elements
        rule, dtype, out = self._rule, plan.tensor.dtype, plan.out.dtype
        self._counting = Counting(rule, dtype, out, elements, norms=rule.norms, means=means)

    def tile(self, k: Kernels, raw: memoryview, tile: Tile, counts: Sequence[Counts], names: Sequence[str]) -> Worked:
        """Work on the elements in `raw` of the tensor with this name, or of several that are planned alike, one behind
        the other: a rule sees no element but its own. What is counted of each is added to its `counts`."""
        plan, dtype = self._plan, self._plan.tensor.dtype
        k = fitting(k, dtype)
        x = k.load(raw, dtype, swapped=plan.view.swapped)
        found = k.measures(x, len(counts))
        nan = next((name for name, own in zip(names, found, strict=True) if own.nan), None)
        cuts: list[Cut]
        if self.beside is None:
            cuts = self._cuts.tile(k, tile, counts[0])
        else:
            cuts = [self.beside.cut(k, x, tile, nan=nan is not None)]
        if self._later:
            cuts = [*cuts, *(cut for later in self._later for cut in later.tile(k, tile, counts[0]))]
        try:
            outcome = self._rule.apply(k, x, plan.out.dtype, *cuts)
        except InputError as error:
            raise InputError(f"tensor {names[0]!r} {error.what}", hint=error.hint) from error
        out = self._treat_nan(k, x, outcome, nan) if nan is not None and self._rule.keeps_nan else outcome.out
        self._counting.tile(k, x, out, outcome.selected, found, cuts, counts)
        residual = None
        if plan.residual_place is not None:
            dropped = k.both(k.invert(outcome.selected), k.invert(k.isnan(x)))
            left = k.where(dropped, x, ZERO, dtype)
            residual = k.store(left, swapped=plan.residual_swapped)
        return Worked(k.store(out, swapped=plan.out.swapped), residual)

    def _treat_nan(self, k: Kernels, x: Block, outcome: Outcome, name: str) -> Block:
        if self._rule.nan_policy.action == "error":
            raise InputError(f"tensor {name!r} holds NaN", hint="choose what becomes of it: --nan keep, fill=V")
        return self._rule.with_nan(k, x, outcome.out, self._plan.out.dtype)


def by_plan(tensors: Sequence[TensorPlan]) -> bool:
    """Whether there is nothing beside their plans that the work on tensors depends on."""
    steps = [step for item in tensors if item.applied for step in item.steps]
    mapped = (isinstance(bound, Mapped) for step in steps for bound in step.bounds.values())
    return not any(step.rule.sideways for step in steps) and not any(mapped)


def works_of(tensors: Sequence[TensorPlan], maps: Callable[[Mapped], Bytes], *, means: bool) -> dict[int, TensorWork]:
    """The work on each tensor; on those that differ in nothing but their names and places it is the same."""
    made: dict[Hashable, TensorWork] = {}
    found: dict[int, TensorWork] = {}
    for item in tensors:
        if item.applied:
            kind = kind_of(item)
            if kind not in made:
                made[kind] = TensorWork(item, maps, means=means)
            found[item.out.source] = made[kind]
    return found


def kind_of(item: TensorPlan) -> Hashable:
    """What the work on a tensor depends on; its number where that is more than can be told in a few words."""
    simple = all(isinstance(bound, Fixed) for bound in item.bounds.values())
    if item.chain or not simple or item.rule.sideways:
        return item.out.source
    left = item.residual_place is not None, item.residual_swapped
    dtypes = item.tensor.dtype.name, item.out.dtype.name, item.view.swapped, item.out.swapped
    return id(item.step), dtypes, item.tensor.shape, item.out.order, left, tuple(item.bounds.items())
