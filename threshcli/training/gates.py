"""A gate on magnitudes, with the gradient of a smooth step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from threshcli.functional.surrogates import slope


class _Gate(torch.autograd.Function):
    """The identity of what a gate has kept of x; backward, the gate is a smooth step of abs(x) at its threshold."""

    generate_vmap_rule = True

    @staticmethod
    def forward(kept: Tensor, input: Tensor, threshold: Tensor, kind: str, temperature: float) -> Tensor:
        return kept.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, input, threshold, ctx.kind, ctx.temperature = inputs
        ctx.save_for_backward(input, threshold)
        ctx.save_for_forward(input, threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        input, threshold = ctx.saved_tensors
        to_gate = grads[0] * _steep(ctx)
        return grads[0], to_gate * input.sign(), -to_gate.sum_to_size(threshold.shape), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        kept, input, threshold = tangents[:3]
        sign: Tensor = ctx.saved_tensors[0].sign()
        return kept + (input * sign - threshold) * _steep(ctx)


def _steep(ctx: Any) -> Tensor:
    """The derivative of what the gate keeps to abs(x)."""
    input, threshold = ctx.saved_tensors
    steep: Tensor = input * slope((input.abs() - threshold) / ctx.temperature, ctx.kind, ctx.temperature)
    return steep


_apply: Callable[..., Tensor] = _Gate.apply


def gated(kept: Tensor, input: Tensor, threshold: Tensor, kind: str, temperature: float) -> Tensor:
    """`kept`, with gradients through the gate as well; in a compiled model a node of its graph."""
    if torch.compiler.is_compiling():
        from threshcli.training.compiled import node

        return node(kept, input, threshold, kind, temperature)
    return through(kept, input, threshold, kind, temperature)


def through(kept: Tensor, input: Tensor, threshold: Tensor, kind: str, temperature: float) -> Tensor:
    """The same, as it is."""
    return _apply(kept, input, threshold, kind, temperature)
