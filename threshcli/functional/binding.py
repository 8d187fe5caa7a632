"""From the thresholds that a caller gives to what a rule meets: numbers, maps, or what is worked out from the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from threshcli import thresholds
from threshcli.dtypes import FLOAT64, DType
from threshcli.errors import UsageError
from threshcli.functional.held import Given, Held, dtype_of, hold, is_differentiated, is_tensor
from threshcli.functional.neighbours import window_map
from threshcli.functional.solving import Solved, solve
from threshcli.plan.bounds import each_cut
from threshcli.plan.fit import Fit
from threshcli.rules.base import Rule, Slot
from threshcli.spec import Axes, Number
from threshcli.thresholds.base import Bound, Fixed, Mapped, Threshold, Windowed, Worked
from threshcli.thresholds.number import NumberThreshold
from threshcli.tiles import View, row_major

if TYPE_CHECKING:
    import torch

    from threshcli.studies.base import Array

    Data = TypeVar("Data", bound=torch.Tensor | np.ndarray[Any, Any])
    ThresholdLike = float | Fraction | str | Solved | Array | torch.Tensor
"""A number; a spec as the command line has it, such as "p90" or "otsu"; what a source function returned; or a map, one
value for each element of the input."""


@dataclass(slots=True)
class Bindings:
    """What a rule compares with, by slot, and the maps as they were given."""

    bounds: dict[str, Bound] = field(default_factory=dict)
    maps: dict[str, Any] = field(default_factory=dict)
    _held: dict[str, Held] = field(default_factory=dict)

    def held(self, bound: Mapped) -> Held:
        """The elements of a map, to be read."""
        if bound.path not in self._held:
            self._held[bound.path] = hold(self.maps[bound.path], bound.spec)
        return self._held[bound.path]


@dataclass(frozen=True, slots=True)
class Subject:
    """The input of a rule: its type, its shape, and its elements when somebody asks."""

    dtype: DType
    shape: tuple[int, ...]
    elements: Callable[[], Given]
    axes: Axes | None = None

    def bind(self, rule: Rule, given: Mapping[str, Any], *, broadcast: bool) -> Bindings:
        """Fit thresholds, by slot, to the input; UsageError where they cannot be meant."""
        found = Bindings()
        for slot in rule.slots:
            value = given.get(slot.name)
            if value is None:
                continue
            several = value if slot.many and isinstance(value, list | tuple) else [value]
            if not several:
                raise UsageError(f"{slot.name} is an empty list", hint="give one threshold or more")
            bounds = [bound for one in several for bound in self._bounds(rule, slot, one, found, broadcast)]
            for key, bound in zip(slot.keys(len(bounds)), bounds, strict=True):
                found.bounds[key] = bound
        return found

    def _bounds(self, rule: Rule, slot: Slot, value: Any, found: Bindings, broadcast: bool) -> list[Bound]:
        """One thing that was given as cuts: a text may name several, and be several."""
        if isinstance(value, str):
            written = thresholds.parse_list(value) if slot.many else [(value, thresholds.parse(value))]
            return [bound for text, source in written for bound in self._named(rule, slot, text, source, found)]
        if isinstance(value, Solved):
            bound = value.bound(self.shape)
            if not slot.many and value.cuts > 1:
                what = f"{value.spec} gives several cuts, and {slot.name} is one"
                raise UsageError(what, hint="give one of `values`")
            return list(each_cut(bound, value.cuts)) if slot.many else [bound]
        return [self._bind(slot.name, value, found, broadcast)]

    def _bind(self, slot: str, value: Any, found: Bindings, broadcast: bool) -> Bound:
        if is_number(value):
            number = Number.of(value.item() if isinstance(value, np.generic) else value)
            return Fixed(number.text, number.value)
        dtype = dtype_of(value, slot)
        shape = tuple(value.shape)
        if not shape and not _stays(value):
            return self._bind(slot, value.item(), found, broadcast)
        if not dtype.is_real:
            raise UsageError(f"{slot} holds {dtype.name}, which has no order", hint="give its real part, or abs()")
        path = f"{slot} {len(found.maps)}"
        found.maps[path] = value
        view = View(0, shape, row_major(shape), dtype.itemsize)
        return Mapped(slot, path, (), dtype, self._fit(slot, view, broadcast or not shape))

    def _fit(self, slot: str, view: View, broadcast: bool) -> View:
        fitted = view.broadcast(self.shape)
        if fitted is not None and (broadcast or view.shape == self.shape):
            return fitted
        raise UsageError(
            f"{slot} has shape {list(view.shape)}, the input {list(self.shape)}",
            hint="give one value for each element"
            + (", or broadcast=True to spread it over the input" if fitted is not None else ""),
        )

    def _named(self, rule: Rule, slot: Slot, text: str, source: Threshold, found: Bindings) -> list[Bound]:
        """The cuts of a threshold as the command line has it."""
        if isinstance(source, NumberThreshold):
            return [Fixed(source.number.text, source.number.value)]
        if isinstance(source, Windowed):
            made = window_map(source, self.elements(), Fit(), magnitude=rule.magnitude, axes=self.axes)
            path = f"{slot.name} {len(found.maps)}"
            found.maps[path] = made
            view = View(0, made.shape, row_major(made.shape), FLOAT64.itemsize)
            return [Mapped(text, path, (), FLOAT64, view, made=True)]
        if not isinstance(source, Worked):
            raise UsageError(f"{slot.name} {text!r} names a file", hint="load it, and give the tensor or array itself")
        if source.cuts > 1 and not slot.many:
            raise UsageError(f"{text} gives several cuts, and {slot.name} is one", hint="use otsu")
        solved = solve(source, self.elements(), Fit(), magnitude=rule.magnitude, axis=None, mask=None)
        return self._bounds(rule, slot, solved, found, broadcast=False)


def is_number(value: object) -> bool:
    """Whether a value is one number; True and False are none."""
    return isinstance(value, int | float | Fraction | np.number) and not isinstance(value, bool)


def _stays(value: object) -> bool:
    """Whether one number in a tensor has to stay in it: for its gradient, or since it cannot be looked at yet."""
    return is_tensor(value) and is_differentiated(value)
