"""Arithmetic of float32 and float64 with NumPy: one rounding an operation, as IEEE 754 says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from threshcli.dtypes import DType
from threshcli.kernels._arena import Arena, Array
from threshcli.kernels.base import Block, Operator

_UFUNCS: dict[Operator, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}


def calculated(a: Block | int, operator: Operator, b: Block | int, into: Block | None, arena: Arena) -> Block:
    """`a operator b` in the buffer of `into`, or in one of the arena."""
    like = a if isinstance(a, Block) else b
    if not isinstance(like, Block):
        raise TypeError("two numbers are no block")
    out = arena.take(like.data.size, like.data.dtype) if into is None else into.data
    _UFUNCS[operator](_operand(a, like.dtype), _operand(b, like.dtype), out=out)
    return Block(out, like.dtype)


def clipped(x: Block, limit: Block | int, arena: Arena) -> Block:
    """x limited to [-limit, limit]."""
    data: Array = x.data
    out = arena.take(data.size, data.dtype)
    if isinstance(limit, int):
        end = _operand(limit, x.dtype)
        np.clip(data, -end, end, out=out)
    else:
        np.negative(limit.data, out=out)
        np.maximum(data, out, out=out)
        np.minimum(out, limit.data, out=out)
    return Block(out, x.dtype)


def _operand(value: Block | int, dtype: DType) -> Any:
    if isinstance(value, Block):
        return value.data
    return np.array([value], f"u{dtype.itemsize}").view(dtype.name)[0]
