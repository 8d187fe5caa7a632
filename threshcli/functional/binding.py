"""From the thresholds that a caller gives to what a rule meets: numbers, maps, or what is worked out from the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from threshcli import thresholds
from threshcli.dtypes import DType
from threshcli.errors import UsageError
from threshcli.functional.held import Held, dtype_of, has_memory, hold, is_tensor
from threshcli.functional.solving import Solved, solve
from threshcli.plan.fit import Fit
from threshcli.rules.base import Rule
from threshcli.spec import Number
from threshcli.thresholds.base import Bound, Fixed, Mapped, Worked
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

    def held(self, bound: Mapped) -> Held:
        """The elements of a map, to be read."""
        return hold(self.maps[bound.path], bound.spec)


@dataclass(frozen=True, slots=True)
class Subject:
    """The input of a rule: its type, its shape, and its elements when somebody asks."""

    dtype: DType
    shape: tuple[int, ...]
    held: Callable[[], Held]

    def bind(self, rule: Rule, given: Mapping[str, ThresholdLike | None], *, broadcast: bool) -> Bindings:
        """Fit thresholds to the input; UsageError where they cannot be meant."""
        found = Bindings()
        for slot, value in given.items():
            if value is not None:
                found.bounds[slot] = self._bind(rule, slot, value, found, broadcast)
        return found

    def _bind(self, rule: Rule, slot: str, value: ThresholdLike, found: Bindings, broadcast: bool) -> Bound:
        if isinstance(value, str):
            value = self._read(rule, slot, value)
        if isinstance(value, Solved):
            return value.bound(self.shape)
        if is_number(value):
            number = Number.of(value.item() if isinstance(value, np.generic) else value)  # type: ignore[arg-type]  # a number
            return Fixed(number.text, number.value)
        dtype = dtype_of(value, slot)
        shape = tuple(value.shape)  # type: ignore[union-attr]  # an array or a tensor, or dtype_of had complained
        if not shape and not _stays(value):
            return self._bind(rule, slot, value.item(), found, broadcast)  # type: ignore[union-attr]
        if not dtype.is_real:
            raise UsageError(f"{slot} holds {dtype.name}, which has no order", hint="give its real part, or abs()")
        found.maps[slot] = value
        view = View(0, shape, row_major(shape), dtype.itemsize)
        return Mapped(slot, slot, (), dtype, self._fit(slot, view, broadcast or not shape))

    def _fit(self, slot: str, view: View, broadcast: bool) -> View:
        fitted = view.broadcast(self.shape)
        if fitted is not None and (broadcast or view.shape == self.shape):
            return fitted
        raise UsageError(
            f"{slot} has shape {list(view.shape)}, the input {list(self.shape)}",
            hint="give one value for each element"
            + (", or broadcast=True to spread it over the input" if fitted is not None else ""),
        )

    def _read(self, rule: Rule, slot: str, text: str) -> Fraction | float | Solved:
        """A threshold as the command line has it."""
        source = thresholds.parse(text)
        if isinstance(source, NumberThreshold):
            return source.number.value
        if not isinstance(source, Worked):
            raise UsageError(f"{slot} {text!r} names a file", hint="load it, and give the tensor or array itself")
        if source.several:
            raise UsageError(f"{text} gives several cuts, and this rule takes one", hint="use otsu")
        return solve(source, self.held(), Fit(), magnitude=rule.magnitude, axis=None, mask=None)


def is_number(value: object) -> bool:
    """Whether a value is one number; True and False are none."""
    return isinstance(value, int | float | Fraction | np.number) and not isinstance(value, bool)


def _stays(value: object) -> bool:
    """Whether one number in a tensor has to stay in it: for its gradient, or since it cannot be looked at yet."""
    return is_tensor(value) and (value.requires_grad or not has_memory(value))
