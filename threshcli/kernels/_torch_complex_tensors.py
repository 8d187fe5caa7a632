"""Complex tensors as they are, so that gradients flow: their data is `torch.view_as_real` of them, and the parts lie
along a last axis. So torch's rules for real tensors give its gradients of complex ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from threshcli.dtypes import DType
from threshcli.kernels._torch_complex import magnitudes
from threshcli.kernels._torch_convert import BITS, signed
from threshcli.kernels.base import Block, Kernels, Mask


class TensorPairs(Kernels):
    """What `TensorKernels` do with complex elements."""

    _wide: torch.device

    def magnitudes(self, x: Block) -> Block:
        return Block(_magnitude(x.data, x.dtype.compared, self._wide), x.dtype.compared)

    def split(self, x: Block) -> tuple[Block, Block]:
        return Block(x.data[..., 0], x.dtype.compared), Block(x.data[..., 1], x.dtype.compared)

    def join(self, real: Block, imaginary: Block, dtype: DType) -> Block:
        return Block(torch.stack((real.data, imaginary.data), -1), dtype)

    def choose(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        first, second = (_pairs(value, dtype, mask.device) for value in (a, b))
        return Block(torch.where(mask.unsqueeze(-1), first, second), dtype)


def _pairs(value: Block | int, dtype: DType, device: torch.device) -> Tensor:
    """An operand with its parts along the last axis."""
    if isinstance(value, Block):
        found: Tensor = value.data
        return found
    part = dtype.compared
    codes = torch.tensor([signed(value, part), 0], dtype=BITS[part.itemsize], device=device)
    return codes.view(getattr(torch, part.name))


class _Magnitude(torch.autograd.Function):
    """abs(x) by the kernels' definition; its gradient is that of torch.abs: x / abs(x), and 0 at 0."""

    generate_vmap_rule = True

    @staticmethod
    def forward(parts: Tensor, dtype: DType, wide: torch.device) -> Tensor:
        bits = parts.detach().contiguous().view(BITS[dtype.itemsize]).to(wide)
        found = magnitudes(Block(bits[..., 0], dtype), Block(bits[..., 1], dtype))
        return found.view(parts.dtype).to(parts.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])
        ctx.kind, ctx.wide = inputs[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gradient = grads[0].unsqueeze(-1)
        return torch.where(gradient != 0, gradient * _direction(ctx), 0), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return torch.where(tangents[0] != 0, tangents[0] * _direction(ctx), 0).sum(-1)


def _direction(ctx: Any) -> Tensor:
    """x / abs(x), and 0 where that is not a direction."""
    (parts,) = ctx.saved_tensors
    size = _magnitude(parts, ctx.kind, ctx.wide).unsqueeze(-1)
    usable = (size != 0) & size.isfinite()
    return torch.where(usable, parts, 0) / torch.where(usable, size, 1)


_magnitude: Callable[..., Tensor] = _Magnitude.apply
