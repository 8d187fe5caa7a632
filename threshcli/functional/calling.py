"""One call of a function: eager, or as a node of a graph that torch.compile makes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

from threshcli.errors import UsageError
from threshcli.functional.binding import is_number
from threshcli.functional.held import is_tensor
from threshcli.functional.making import make
from threshcli.functional.running import run
from threshcli.functional.wording import in_python

if TYPE_CHECKING:
    from threshcli.functional.binding import Data
    from threshcli.spec import Axes

Surrogate = Literal["none", "straight-through", "sigmoid", "fast-sigmoid"]
"""What stands in for the derivative of a step, which is 0 wherever it exists."""


class Step(NamedTuple):
    """How gradients flow through the steps of a decision, and over which width."""

    surrogate: str
    temperature: float

    def check(self) -> None:
        """UsageError of a surrogate that there is not, or of a width that is none."""
        kinds = get_args(Surrogate)
        if self.surrogate not in kinds:
            raise UsageError(f"surrogate is {self.surrogate!r}", hint=f"it is one of {', '.join(map(repr, kinds))}")
        width = self.temperature
        if not is_number(width) or not width > 0:
            raise UsageError(f"temperature is {width!r}", hint="give a number above 0")


def call(
    name: str,
    input: Data,
    given: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    broadcast: bool = False,
    out_dtype: object = None,
    out: Data | None = None,
    step: Step | None = None,
    axes: Axes | None = None,
    looks: bool = False,
) -> Data:
    """What the rule of this name makes of an input, by thresholds and options; gradients of steps if they are asked
    for. One that `looks` at other elements breaks a graph. See `running.run`."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.compiler.is_compiling():
        from threshcli.functional.compiled import broken, is_traced, node

        if looks or not is_traced(given, options):
            more = {"out_dtype": out_dtype, "out": out, "step": step, "axes": axes}
            return cast("Data", broken(name, input, given, options, broadcast=broadcast, **more))
        tensor, target = cast("Any", input), cast("Any", out)  # in a graph there are no arrays
        made = node(name, tensor, given, options, broadcast=broadcast, out_dtype=out_dtype, step=step)
        return cast("Data", made if target is None else target.copy_(made))
    return eager(name, input, given, options, broadcast=broadcast, out_dtype=out_dtype, out=out, step=step, axes=axes)


def eager(
    name: str,
    input: Data,
    given: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    broadcast: bool,
    out_dtype: object,
    out: Data | None,
    step: Step | None,
    axes: Axes | None = None,
) -> Data:
    """The call itself."""
    if step is not None:
        step.check()
    with in_python():
        rule = make(name, options)
        found = run(rule, input, given, broadcast=broadcast, out_dtype=out_dtype, out=out, axes=axes)
    if step is None or not is_tensor(input):
        return found
    from threshcli.functional.surrogates import stepped

    return cast("Data", stepped(rule, cast("Any", found), input, given, step.surrogate, step.temperature))
