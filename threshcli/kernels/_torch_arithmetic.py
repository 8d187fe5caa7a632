"""Arithmetic of float32 and float64 with torch: one rounding an operation, where the device does as IEEE 754 says."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from threshcli.dtypes import DType
from threshcli.kernels._torch_convert import BITS, NATIVE, signed
from threshcli.kernels.base import Block, Operator

_FUNCTIONS: dict[Operator, Callable[[Tensor, Tensor], Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
}


def calculated(a: Block | int, operator: Operator, b: Block | int, device: torch.device) -> Block:
    """`a operator b`, worked out on `device`. Numbers become tensors: torch divides by a plain number by multiplying
    with its inverse on some devices, which rounds twice."""
    like = a if isinstance(a, Block) else b
    if not isinstance(like, Block):
        raise TypeError("two numbers are no block")
    found = _FUNCTIONS[operator](_operand(a, like.dtype, device), _operand(b, like.dtype, device))
    return _block(found, like)


def clipped(x: Block, limit: Block | int, device: torch.device) -> Block:
    """x limited to [-limit, limit]."""
    end = _operand(limit, x.dtype, device)
    return _block(_operand(x, x.dtype, device).clamp(-end, end), x)


def _operand(value: Block | int, dtype: DType, device: torch.device) -> Tensor:
    if isinstance(value, Block):
        bits: Tensor = value.data.to(device)
    else:
        bits = torch.full((), signed(value, dtype), dtype=BITS[dtype.itemsize], device=device)  # nobody waits for it
    return bits.view(NATIVE[dtype])


def _block(values: Tensor, like: Block) -> Block:
    return Block(values.view(BITS[like.dtype.itemsize]).to(like.data.device), like.dtype)
