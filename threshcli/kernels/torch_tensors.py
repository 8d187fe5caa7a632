"""Kernels over torch tensors as they are, so that gradients flow through what a rule selects.

A block's data is a tensor of its own dtype and shape, not a row of bits: `select` is `torch.where`, so a value-keeping
rule passes the gradient of what it keeps, and arithmetic is differentiated by torch. Masks carry no gradient. Floating
point that torch computes with is handled so; what else a map may hold is compared on its bits, as in `kernels.torch`.
They give the bytes of the other kernels, work under `torch.func` transforms, and serve one call: nothing is reused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from threshcli.dtypes import DType, Range
from threshcli.kernels._torch_complex_tensors import TensorPairs
from threshcli.kernels._torch_convert import BITS, OPERATORS, signed
from threshcli.kernels.base import Block, Cut, MapCompare, Mask, Operator, Scalar, Tied
from threshcli.kernels.torch import TorchKernels


def has_memory(tensor: Tensor) -> bool:
    """Whether a tensor's elements can be looked at; not those of a graph in the making, of a tensor that only has a
    shape, nor of a transform of torch.func."""
    if torch.compiler.is_compiling():
        return False
    try:
        storage = tensor.untyped_storage()
        return storage.device.type != "meta" and storage.data_ptr() is not None
    except RuntimeError:  # a transform looks through it, or a graph is made with it
        return False


def has_tangent(tensor: Tensor) -> bool:
    """Whether a derivative goes forward through a tensor, outside of the transforms of torch.func."""
    return unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]  # torch leaves it untyped


class TensorKernels(TensorPairs, TorchKernels):
    """Kernels over tensors on one device; see the top of this module."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(str(device))

    def within(self, x: Block, keys: Range, *, magnitude: bool = False) -> Mask:
        if x.dtype not in self._native:
            return super().within(_bits(x), keys, magnitude=magnitude)
        values = _detached(x, magnitude)
        bounds = x.dtype.magnitude_keys if magnitude else x.dtype.keys
        low, high = max(keys.low, bounds.low), min(keys.high, bounds.high)
        if low > high:
            return torch.zeros_like(values, dtype=torch.bool)
        mask = values.ge(x.dtype.number(low))  # never true of NaN
        return mask if high == bounds.high else mask.logical_and(values.le(x.dtype.number(high)))

    def against(self, x: Block, compare: MapCompare, other: Block, *, magnitude: bool = False) -> Mask:
        if x.dtype in self._native and other.dtype in self._native:  # the wider of two floats holds both
            return OPERATORS[compare](_detached(x, magnitude), _detached(other))
        return super().against(_bits(x), compare, _bits(other), magnitude=magnitude)

    def isnan(self, x: Block) -> Mask:
        return torch.isnan(x.data.detach()) if x.dtype in self._native else super().isnan(_bits(x))

    def select(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        first, second = (_tensor(value, dtype, mask.device) for value in (a, b))
        return Block(torch.where(mask, first, second), dtype)

    def put(self, block: Block, mask: Mask, code: int) -> None:
        block.data.masked_fill_(mask, _tensor(code, block.dtype, mask.device))

    def cast(self, x: Block, dtype: DType) -> Block:
        return x if x.dtype is dtype else Block(_rounded(x.data, x.dtype, dtype, self), dtype)

    def bound(self, cut: Cut, dtype: DType, *, up: bool) -> Block | int:
        if isinstance(cut, Tied):
            return self.bound(cut.value, dtype, up=up)
        return dtype.limit(cut.value, up=up) if isinstance(cut, Scalar) else self.cast(cut, dtype)

    def calculate(self, a: Block | int, operator: Operator, b: Block | int, *, into: Block | None = None) -> Block:
        like = a if isinstance(a, Block) else b
        if not isinstance(like, Block):
            raise TypeError("two numbers are no block")
        first, second = (_tensor(value, like.dtype, like.data.device) for value in (a, b))
        return Block(_calculated(first, second, operator), like.dtype)

    def clip(self, x: Block, limit: Block | int) -> Block:
        end = _tensor(limit, x.dtype, x.data.device)
        return Block(x.data.clamp(-end, end), x.dtype)

    def everywhere(self, mask: Mask) -> bool:
        return has_memory(mask) and super().everywhere(mask)

    def rounded(self, x: Block, dtype: DType) -> Tensor:
        """The values in another dtype, each rounded once; without a gradient."""
        return as_tensor(TorchKernels(str(x.data.device)).cast(_bits(x), dtype))


def as_tensor(block: Block) -> Tensor:
    """A block of bits as a tensor of its dtype."""
    data: Tensor = block.data
    return data.view(getattr(torch, block.dtype.name))


def _bits(x: Block) -> Block:
    """The same elements as the kernels of `kernels.torch` hold them."""
    return Block(x.data.detach().contiguous().view(BITS[x.dtype.itemsize]), x.dtype)


def _detached(x: Block, magnitude: bool = False) -> Tensor:
    values: Tensor = x.data.detach()
    return values.abs() if magnitude else values


def _tensor(value: Block | int, dtype: DType, device: torch.device) -> Tensor:
    """A block, or the value with a code, as a tensor of `dtype`."""
    if isinstance(value, Block):
        data: Tensor = value.data
        return data
    code = torch.full((), signed(value, dtype), dtype=BITS[dtype.itemsize], device=device)  # nobody waits for it
    return as_tensor(Block(code, dtype))


class _Rounded(torch.autograd.Function):
    """A cast that rounds once; its gradient is that of `Tensor.to`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(data: Tensor, dtype: DType, to: DType, kernels: TensorKernels) -> Tensor:
        return kernels.rounded(Block(data, dtype), to)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.kind, ctx.made = inputs[0].dtype, output.dtype

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return grads[0].to(ctx.kind), None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return tangents[0].to(ctx.made)


class _Calculated(torch.autograd.Function):
    """Arithmetic whose gradient is 0 where one of its factors is: what a rule does not select, such as a quotient by 0,
    has infinite slopes, and torch would make NaN of 0 times infinity (a known trap of `torch.where`)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, operator: Operator) -> Tensor:
        return _OPERATIONS[operator](a, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.save_for_forward(*inputs[:2])
        ctx.operator = inputs[2]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        found = (_times(grads[0], slope) for slope in _SLOPES[ctx.operator](a, b))
        to_a, to_b = (slope.sum_to_size(value.shape) for slope, value in zip(found, (a, b), strict=True))
        return to_a, to_b, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        to_a, to_b = _SLOPES[ctx.operator](*ctx.saved_tensors)
        return _times(tangents[0], to_a) + _times(tangents[1], to_b)


def _times(gradient: Tensor, slope: Tensor) -> Tensor:
    """Their product, which is 0 where one of them is."""
    return torch.where((gradient != 0) & (slope != 0), gradient * slope, 0)


_OPERATIONS: dict[Operator, Callable[[Tensor, Tensor], Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
}
_SLOPES: dict[Operator, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "+": lambda a, b: (torch.ones_like(a), torch.ones_like(b)),
    "-": lambda a, b: (torch.ones_like(a), -torch.ones_like(b)),
    "*": lambda a, b: (b, a),
    "/": lambda a, b: (1 / b, -(a / b) / b),
}
_calculated: Callable[..., Tensor] = _Calculated.apply
_rounded: Callable[..., Tensor] = _Rounded.apply
