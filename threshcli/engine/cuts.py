"""Thresholds as a tile meets them: one number, one number an element from a file, or one for each index of an axis."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from threshcli.dtypes import BOOL, DTYPES, FLOAT64, INT64, DType, Range, Real
from threshcli.engine.reading import Bytes, read_elements
from threshcli.errors import InputError, UsageError
from threshcli.kernels.base import Block, Cut, Kernels, Mask, Rank, Scalar, Tied
from threshcli.plan.tensors import TensorPlan
from threshcli.rules.base import Rule, crossed, slot_of
from threshcli.spec import ZERO
from threshcli.stats import Counts
from threshcli.thresholds.base import Bound, Fixed, Mapped, Spread
from threshcli.tiles import Tile, row_major

Array = npt.NDArray[Any]


class Walk:
    """A tensor's elements as its tiles walk over them: from places in the walk to coordinates and flat positions.
    Behind the last element comes the first of another tensor, which is walked alike."""

    def __init__(self, plan: TensorPlan) -> None:
        self._order, self._walked = plan.out.order, plan.view.shape
        self._shape = tuple(plan.tensor.shape)
        self._steps = row_major(self._walked)

    @property
    def is_plain(self) -> bool:
        """Whether places in the walk are flat positions."""
        return self._order == tuple(range(len(self._order)))

    def coordinate(self, tile: Tile, axis: int) -> Array:
        """Each element's index along an axis."""
        place = self._order.index(axis)
        return np.arange(tile.start, tile.stop) // self._steps[place] % self._walked[place]

    def positions(self, tile: Tile, without: int | None = None) -> Array:
        """Each element's flat position in C order; `without` an axis, in its slice."""
        axes = [axis for axis in range(len(self._shape)) if axis != without]
        steps = row_major(tuple(self._shape[axis] for axis in axes))
        found = np.zeros(tile.count, np.int64)
        for axis, step in zip(axes, steps, strict=True):
            found += self.coordinate(tile, axis) * step
        return found

    def name(self, tile: Tile, index: int) -> str:
        """The coordinates of one element of a tile, for people."""
        one = Tile(tile.start + index, tile.start + index + 1)
        return str([int(self.coordinate(one, axis)[0]) for axis in range(len(self._shape))])


class Table:
    """A threshold for each index along an axis, ready to be spread over tiles."""

    def __init__(self, spread: Spread, dtype: DType, arithmetic: DType) -> None:
        self.axis = spread.axis
        self._answers = spread.found
        values = [answer.values[0] for answer in spread.found]
        self.dtype, codes = _rounded(values, arithmetic) if dtype.is_float else _whole(values)
        self.codes: Array = np.array(codes, f"u{self.dtype.itemsize}")

    @cached_property
    def above(self) -> Array | None:
        """Positions in each slice before which elements equal to the threshold count as above it; None without."""
        if any(answer.above is None for answer in self._answers):
            return None
        return np.array([answer.above for answer in self._answers], np.int64)


def _rounded(values: list[Real], dtype: DType) -> tuple[DType, list[int]]:
    """Thresholds as floats of a dtype are compared with them: rounded to it, and stored in it if it has what they round
    to, be that infinity or zero."""
    keys = [dtype.key(value) for value in values]
    if all(dtype.keys.low <= key <= dtype.keys.high for key in keys):
        return dtype, [dtype.code(key) for key in keys]
    return FLOAT64, [FLOAT64.code(FLOAT64.key(dtype.value(key))) for key in keys]


def _whole(values: list[Real]) -> tuple[DType, list[int]]:
    """Thresholds of integers, in a dtype that has them."""
    if all(isinstance(value, Fraction) and value.denominator == 1 for value in values):
        for whole in (INT64, DTYPES["uint64"]):
            if all(whole.keys.low <= value <= whole.keys.high for value in values):
                return whole, [whole.code(int(value)) for value in values]
    return FLOAT64, [FLOAT64.code(FLOAT64.key(value)) for value in values]


class Cuts:
    """The thresholds of one tensor, slot by slot."""

    def __init__(self, rule: Rule, plan: TensorPlan, maps: Callable[[Mapped], Bytes]) -> None:
        self._rule, self._bounds, self._maps, self._prefix = rule, plan.bounds, maps, plan.prefix
        self._walk = Walk(plan)
        self._scalars = {
            key: scalar_of(plan.bounds.get(key), slot.default, plan.view.elements)
            for slot in rule.slots
            for key in [key for key in plan.bounds if slot_of(key) == slot.name] or slot.keys(1)
        }
        dtype = plan.tensor.dtype.compared
        self._tables = {
            key: Table(bound, dtype, rule.arithmetic(dtype))
            for key, bound in plan.bounds.items()
            if isinstance(bound, Spread)
        }
        varying = any(self._varies(key) for key in self._scalars)
        self._constant: list[Cut] | None = None if varying else list(self._scalars.values())

    @property
    def constant(self) -> list[Cut] | None:
        """The cuts, if they are the same for all tiles."""
        return self._constant

    def _varies(self, key: str) -> bool:
        """Whether a cut is not the same for all tiles."""
        bound, scalar = self._bounds.get(key), self._scalars[key]
        by_rank = isinstance(bound, Fixed) and bound.above is not None and not isinstance(scalar, Rank)
        return by_rank or isinstance(bound, Mapped) or key in self._tables

    def tile(self, k: Kernels, tile: Tile, counts: Counts) -> list[Cut]:
        """The cuts of a tile, in order; UsageError, with the first position, where a map cannot be a threshold."""
        if self._constant is not None:
            return self._constant
        cuts = {key: self._cut(key, k, tile, counts) for key in self._scalars}
        for (first, low), (second, high) in pairwise(cuts.items()):
            index = _first_crossed(k, low, high)
            if index is not None:
                raise crossed(first, second, f" at {self._walk.name(tile, index)}")
        return list(cuts.values())

    def _cut(self, key: str, k: Kernels, tile: Tile, counts: Counts) -> Cut:
        bound = self._bounds.get(key)
        if isinstance(bound, Mapped):
            return self._from_map(key, bound, k, tile, counts)
        if key in self._tables:
            return self._from_table(self._tables[key], k, tile)
        scalar = self._scalars[key]
        if isinstance(bound, Fixed) and bound.above is not None and not isinstance(scalar, Rank):
            return self._with_ties(scalar, bound.above, k, tile)
        return scalar

    def _with_ties(self, scalar: Scalar, above: int, k: Kernels, tile: Tile) -> Cut:
        """A cut by rank within a tile: most tiles have all their ties on one side of it."""
        if self._walk.is_plain and (tile.stop <= above or tile.start >= above):
            return Rank(scalar.value, tile.stop <= above)
        return Tied(scalar, _mask(k, self._walk.positions(tile) < above))

    def _from_table(self, table: Table, k: Kernels, tile: Tile) -> Cut:
        index = self._walk.coordinate(tile, table.axis)
        block = k.load(memoryview(bytearray(table.codes[index].tobytes())), table.dtype)
        if table.above is None:
            return block
        return Tied(block, _mask(k, self._walk.positions(tile, table.axis) < table.above[index]))

    def _from_map(self, key: str, bound: Mapped, k: Kernels, tile: Tile, counts: Counts) -> Block:
        view = bound.view
        raw = k.buffer(tile.count * view.itemsize)
        try:
            read_elements(self._maps(bound), view, tile.start, tile.stop, raw)
        except InputError as error:
            error.located(bound.path)
            raise
        cut = k.load(raw, bound.dtype, swapped=view.swapped)
        found = k.measure(cut)
        if found.nan and not bound.made:
            at = self._walk.name(tile, k.first(k.isnan(cut)) or 0)
            raise UsageError(f"the map {bound.spec} is NaN at {at}", hint="nothing compares with NaN; fill these first")
        if self._rule.magnitude and found.low is not None and found.low < 0:
            at = self._walk.name(tile, k.first(k.compare(cut, "lt", Scalar(ZERO.value))) or 0)
            raise UsageError(
                f"the map {bound.spec} is negative at {at}", hint="magnitudes never are; give thresholds of 0 or more"
            )
        counts.cut(self._prefix + key, found.low, found.high)
        return cut


def _first_crossed(k: Kernels, low: Cut, high: Cut) -> int | None:
    """The first element for which the lower of two cuts is above the upper; numbers were compared before."""
    low, high = (cut.value if isinstance(cut, Tied) else cut for cut in (low, high))
    if isinstance(low, Block):
        return k.first(k.compare(low, "gt", high))
    return k.first(k.compare(high, "lt", low)) if isinstance(high, Block) else None


def scalar_of(bound: Bound | None, default: float | None, elements: int) -> Scalar:
    """A slot's number; a cut by rank is a Rank where all its ties in the tensor are on one side of it."""
    if not isinstance(bound, Fixed):
        return Scalar(0.0 if default is None else default)
    if bound.above is None or 0 < bound.above < elements:
        return Scalar(bound.value)
    return Rank(bound.value, bound.above > 0)


def _mask(k: Kernels, above: Array) -> Mask:
    return k.within(k.load(memoryview(bytearray(above.tobytes())), BOOL), Range(1, 1))
