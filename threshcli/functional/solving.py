"""Thresholds worked out from what is in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from threshcli.dtypes import DType
from threshcli.engine.solving import inside, nobody
from threshcli.errors import InputError, UsageError
from threshcli.functional.held import Given, Held
from threshcli.functional.on_device import OnDevice
from threshcli.kernels import _numpy_convert as convert
from threshcli.plan.fit import Fit
from threshcli.plan.sharing import shared_dtype
from threshcli.spec import Number
from threshcli.studies.base import VALUE, Array, Fold, Sample, Stretches, Study, answer_of, passed
from threshcli.thresholds.base import Answer, Bound, Fixed, Spread, Worked
from threshcli.tiles import tile_elements, tiles

_TILE = 1 << 21  # bytes that are studied at once


@dataclass(frozen=True, slots=True)
class Solved:
    """A threshold that was worked out: a number, several cuts (`multiotsu`), or one for each index along an `axis`.

    Rules take it as it is: a cut by rank (`topk_threshold`) then keeps just as many elements as were asked for, which
    the number alone could not where elements are equal to it. `float()` gives the number.
    """

    spec: str
    answers: tuple[Answer, ...]
    axis: int | None = None

    @property
    def values(self) -> tuple[float | int, ...]:
        """The number, the cuts in ascending order, or those along the axis: whole where they are."""
        found = self.answers[0].values if self.axis is None else [answer.values[0] for answer in self.answers]
        return tuple(value if isinstance(value, float) else Number("", value).plain for value in found)

    @property
    def cuts(self) -> int:
        """How many there are for each element: one but where a source finds several."""
        return len(self.answers[0].values) if self.axis is None else 1

    @property
    def usable(self) -> int:
        """How many elements it was worked out from; others were NaN, say."""
        return sum(answer.usable for answer in self.answers)

    @property
    def kept(self) -> int | None:
        """How many elements were to stay, for thresholds by rank."""
        asked = [answer.asked for answer in self.answers]
        return None if None in asked else sum(number or 0 for number in asked)

    def __float__(self) -> float:
        if len(self.values) != 1:
            raise UsageError(f"{self.spec} is {len(self.values)} numbers, not one", hint="look at `values`")
        return float(self.values[0])

    def bound(self, shape: tuple[int, ...]) -> Bound:
        """This threshold for a tensor of a shape; UsageError where it has other indices along the axis."""
        if self.axis is None:
            answer = inside(self.answers[0], int(np.prod(shape, dtype=np.int64)))
            return Fixed(self.spec, answer.values[0], answer.above, answer)
        if len(shape) <= self.axis or shape[self.axis] != len(self.answers):
            raise UsageError(
                f"{self.spec} was worked out for {len(self.answers)} indices along axis {self.axis}, "
                f"the input has the shape {list(shape)}",
                hint="work it out again, from an input of this shape",
            )
        return Spread(self.spec, self.axis, self.answers)


def solve(source: Worked, held: Given, fit: Fit, *, magnitude: bool, axis: int | None, mask: Held | None) -> Solved:
    """Work a source out from an input, or along an axis of it; UsageError, InputError where that cannot be."""
    if not (held.dtype.is_real or magnitude):
        raise UsageError(f"the input is {held.dtype.name}, which has no order", hint="look at its magnitude")
    if axis is None:
        return Solved(source.text, (together(source, [held], fit, magnitude=magnitude, masks=[mask])[0],))
    rank = len(held.shape)
    if not -rank <= axis < rank:
        raise UsageError(f"the input has {rank} axes, and axis {axis} is none of them")
    if source.several:
        raise UsageError(f"{source.text} gives several cuts, and an index has one", hint="leave the axis out")
    axis %= rank
    inner = math.prod(held.shape[:axis] + held.shape[axis + 1 :])
    rows = np.moveaxis(held.values.reshape(held.shape), axis, 0).reshape(held.shape[axis], inner)
    wanted = None if mask is None else np.moveaxis(truth_of(mask).reshape(held.shape), axis, 0).reshape(rows.shape)
    answers = []
    for index, row in enumerate(rows):
        part = Held(np.ascontiguousarray(row).view(np.uint8).data, held.dtype, row.shape)
        chosen = None if wanted is None else np.ascontiguousarray(wanted[index])
        who = f"the input at index {index} of axis {axis}"
        answers.append(_answer(source, [(part, chosen)], fit, magnitude, who))
    return Solved(source.text, tuple(inside(answer, rows.shape[1]) for answer in answers), axis)


def together(
    source: Worked, parts: Sequence[Given], fit: Fit, *, magnitude: bool, masks: Sequence[Held | None] = ()
) -> list[Answer]:
    """One threshold for several inputs that are looked at as one, as the share of each in it."""
    masks = masks or [None] * len(parts)
    pairs = [(part, None if mask is None else truth_of(mask)) for part, mask in zip(parts, masks, strict=True)]
    answer = _answer(source, pairs, fit, magnitude, "the input" if len(parts) == 1 else "the inputs together")
    found, start = [], 0
    for part in parts:
        found.append(inside(answer, part.elements, start))
        start += part.elements
    return found


def truth_of(mask: Held) -> Array:
    """Where a mask is not zero, in a row."""
    truth: Array = convert.native(mask.values, mask.dtype) != 0
    return truth


def _answer(
    source: Worked,
    parts: Sequence[tuple[Given, Array | None]],
    fit: Fit,
    magnitude: bool,
    who: str,
) -> Answer:
    if not any(part.elements for part, _ in parts):
        return nobody(source)
    dtypes = {part.dtype for part, _ in parts}
    dtype, study = shared_dtype({dtype.compared for dtype in dtypes}), source.begin(fit.terms(magnitude), dtypes)
    try:
        return fit.modified(run(study, parts, dtype, ignore_zero=fit.ignore_zero))
    except InputError as error:
        raise InputError(f"{who} {error.what}", hint=error.hint) from error


def run(
    study: Study[Any], parts: Sequence[tuple[Given, Array | None]], dtype: DType, *, ignore_zero: bool = False
) -> Any:
    """The answer of a study to inputs, looked at as one row of elements: on their device where that can be, else in
    memory, a tile at a time."""
    elements = sum(part.elements for part, _ in parts)
    there = OnDevice.of(parts, dtype, ignore_zero=ignore_zero)

    def look(fold: Fold[Any]) -> Any:
        state = None if there is None else there.look(fold)
        if state is not None:
            return state
        return passed(fold, dtype, elements, lambda ends: _samples(parts, dtype, ends, ignore_zero))

    with np.errstate(all="ignore"):
        return answer_of(study, look)


def _samples(
    parts: Sequence[tuple[Given, Array | None]], dtype: DType, ends: Stretches, ignore_zero: bool
) -> Iterator[Sample]:
    """The tiles of all parts, or (with `ends`) those stretches of the row that they make, cut at the ends of parts."""
    wanted = None if ends is None else list(ends)
    start = 0
    for part, mask in parts:
        values, stop = part.values, start + part.elements
        if wanted is None:
            size = tile_elements(_TILE, part.dtype.itemsize)
            pieces = [(tile.start, tile.stop) for tile in tiles(part.elements, size)]
        else:
            pieces = [(max(a, start) - start, min(b, stop) - start) for a, b in wanted if a < stop and b > start]
        for a, b in pieces:
            data, own = values[a:b], part.dtype.compared
            chosen = None if mask is None else mask[a:b]
            if ignore_zero:
                nonzero = convert.native(VALUE.see(data, own), own) != 0
                chosen = nonzero if chosen is None else chosen & nonzero
            if own is not dtype:
                data = convert.cast(VALUE.see(data, own), own, dtype)
            yield Sample(data, dtype, start + a, chosen)
        start = stop
