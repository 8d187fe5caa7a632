"""Gradients for steps, which have none of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from threshcli.errors import UsageError
from threshcli.functional.solving import Solved
from threshcli.rules.base import Rule


def stepped(rule: Rule, made: Tensor, input: Tensor, given: Mapping[str, Any], kind: str, temperature: float) -> Tensor:
    """What a rule that decides has made, with the gradient of a smooth step at each of its thresholds."""
    if not made.is_floating_point() or not input.is_floating_point():
        raise UsageError(f"a surrogate gradient needs floating point, not {made.dtype}", hint="leave out_dtype out")
    cuts = given["threshold"] if isinstance(given["threshold"], list | tuple) else [given["threshold"]]
    values = rule.written(len(cuts)) or ()
    sign = -1 if getattr(rule, "compare", "gt") in ("lt", "le") else 1
    for cut, below, above in zip(cuts, values, values[1:], strict=False):
        height = sign * (above.plain - below.plain)
        made = _stepped(made, input, _operand(cut, input), height, kind, temperature)
    return made


def _operand(threshold: Any, input: Tensor) -> Tensor:
    """A threshold that a difference can be taken from; a spec was worked out already and has no gradient."""
    if isinstance(threshold, Tensor):
        return threshold.to(input.device)
    if isinstance(threshold, str | Solved):
        raise UsageError(
            "a surrogate gradient needs a threshold that is a number or a tensor",
            hint="work it out first, and give float() of it",
        )
    return torch.as_tensor(threshold, dtype=input.dtype, device=input.device)


class _Step(torch.autograd.Function):
    """The identity of what a step has made; backward, the derivative of a smooth one."""

    generate_vmap_rule = True

    @staticmethod
    def forward(made: Tensor, input: Tensor, threshold: Tensor, height: float, kind: str, temperature: float) -> Tensor:
        return made.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, input, threshold, ctx.height, ctx.kind, ctx.temperature = inputs
        ctx.save_for_backward(input, threshold)
        ctx.save_for_forward(input, threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        input, threshold = ctx.saved_tensors
        to_input = grads[0] * _steep(ctx)
        to_threshold = None
        if ctx.needs_input_grad[2]:
            to_threshold = -to_input.sum_to_size(threshold.shape).to(threshold.dtype)
        return grads[0], to_input.to(input.dtype), to_threshold, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        made, input, threshold = tangents[:3]
        return made + ((input - threshold) * _steep(ctx)).to(made.dtype)


def _steep(ctx: Any) -> Tensor:
    """The derivative of the step that a context is about."""
    input, threshold = ctx.saved_tensors
    steep: Tensor = slope((input - threshold) / ctx.temperature, ctx.kind, ctx.temperature) * ctx.height
    return steep


_stepped: Callable[..., Tensor] = _Step.apply


def slope(u: Tensor, kind: str, temperature: float) -> Tensor:
    """The derivative of a smooth step of width `temperature` and height 1."""
    if kind == "straight-through":
        return torch.ones_like(u)
    if kind == "sigmoid":
        near = torch.sigmoid(u)
        return near * (1 - near) / temperature
    return 1 / (1 + u.abs()) ** 2 / temperature
