"""The functions inside of torch.compile.

Dynamo does not look into a call: it becomes a node of the graph, which is traced with the tensors of the graph when
that is made, and so differentiated and fused like all else. A node takes tensors, numbers and texts, so that is how the
arguments travel. What has to look at elements before it is known what to do (a threshold that is worked out) breaks the
graph instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from threshcli.functional.calling import Step, eager
from threshcli.functional.solving import Solved

_BETWEEN = "\x1f"  # no option holds it
_WHOLE = 2**53  # up to which a float holds every whole number


def node(
    name: str,
    input: Tensor,
    given: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    broadcast: bool,
    out_dtype: Any,
    step: Step | None,
) -> Tensor:
    """The call as a node; see `calling.call`."""
    maps: list[Tensor] = []
    numbers: list[float] = []
    words = [name, f"broadcast={broadcast}", f"out_dtype={out_dtype}"]
    for kind, values in (("given", given), ("option", options)):
        for key, value in values.items():
            mark, several = ("+", value) if isinstance(value, list | tuple) else ("", [value])
            words += [f"{kind}.{key}{mark}={_written(one, maps, numbers)}" for one in several if one is not None]
    if step is not None:
        words.append(f"step.surrogate={step.surrogate}")
        words.append(f"step.temperature={_written(step.temperature, maps, numbers)}")
    return _node(input, maps, numbers, _BETWEEN.join(words))


def _written(value: Any, maps: list[Tensor], numbers: list[float]) -> str:
    """How a value is written: a text as such, else by its place among the tensors or the numbers."""
    if isinstance(value, str):
        return f"'{value}"
    if isinstance(value, bool):
        return f"?{int(value)}"
    if isinstance(value, Tensor):
        maps.append(value)
        return f"@{len(maps) - 1}"
    if isinstance(value, int) and abs(value) > _WHOLE:
        return f"!{value}"
    numbers.append(float(value))
    return f"#{len(numbers) - 1}"


def _read(text: str, maps: Sequence[Tensor], numbers: Sequence[float], *, varies: bool) -> Any:
    """What was written. A number that the graph leaves open becomes a tensor if it may vary, else the graph is bound to
    what it is now."""
    mark, rest = text[:1], text[1:]
    if mark == "@":
        return maps[int(rest)]
    if mark == "#":
        number = numbers[int(rest)]
        if varies and isinstance(number, torch.SymFloat):
            return torch.full((), number, dtype=torch.float64)
        return int(number) if float(number).is_integer() else float(number)
    if mark == "!":
        return int(rest)
    return rest == "1" if mark == "?" else rest


def _eager(input: Tensor, maps: Sequence[Tensor], numbers: Sequence[float], recipe: str) -> Tensor:
    """The call that a node stands for."""
    name, *words = recipe.split(_BETWEEN)
    parts: dict[str, dict[str, Any]] = {"given": {}, "option": {}, "step": {}}
    plain = {}
    for word in words:
        key, _, text = word.partition("=")
        group, dot, item = key.partition(".")
        if not dot:
            plain[key] = text
        elif item == "surrogate":
            parts[group][item] = text
        elif item.endswith("+"):  # one of several
            own = parts[group].setdefault(item[:-1], [])
            own.append(_read(text, maps, numbers, varies=group == "given"))
        else:
            parts[group][item] = _read(text, maps, numbers, varies=group == "given")
    return eager(
        name,
        input,
        parts["given"],
        parts["option"],
        broadcast=plain["broadcast"] == "True",
        out_dtype=None if plain["out_dtype"] == "None" else plain["out_dtype"],
        out=None,
        step=Step(**parts["step"]) if parts["step"] else None,
    )


_node: Callable[..., Tensor] = torch.compiler.allow_in_graph(_eager)  # type: ignore[no-untyped-call]  # torch leaves it untyped
broken: Callable[..., Any] = torch.compiler.disable(eager)  # type: ignore[no-untyped-call]
"""The eager call, outside of any graph."""


def is_traced(given: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether a call can be a node: nothing is worked out from elements, and none of them is an error."""
    if options.get("nan") == "error":
        return False
    several = (value if isinstance(value, list | tuple) else (value,) for value in given.values())
    return not any(isinstance(one, str | Solved) for value in several for one in value)
