"""Sums over windows: exact in integers wherever they fit, else in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from threshcli.kernels._arena import Arena
from threshcli.windows import chains
from threshcli.windows.base import Array, Window
from threshcli.windows.boxes import Box
from threshcli.windows.passes import Blocks, Flat, Stage, Work, separable, take

_WHOLE = 1 << 63


def largest(kind: np.dtype[Any]) -> int:
    """The largest magnitude of integers of a dtype."""
    limits = np.iinfo(kind)
    return max(-int(limits.min), int(limits.max))


def sum_kind(kind: np.dtype[Any], most: int) -> np.dtype[Any]:
    """The dtype of sums of elements of a dtype whose magnitude is at most `most`: the smallest that is exact."""
    if kind.kind == "f" or most >= _WHOLE:
        return np.dtype(np.float64)
    bits = next(bits for bits in (8, 16, 32, 64) if most < 1 << (bits - (kind.kind == "i" or bits == 64)))
    return np.dtype(f"{'i' if bits == 64 else kind.kind}{bits // 8}")


def added(block: Flat, array: Array, size: int) -> Array:
    """The sums of all windows of a size in an array of a block, which is given back."""

    def join(a: Array, b: Array, step: chains.Step) -> Array:
        out = block.lend(array.dtype)
        here = block.stretch(step.size)
        np.add(a[here], b[block.stretch(step.size, step.first)], out=out[here])
        return out

    return chains.run(size, array, join, block.release)


def _sums(values: Array, box: Box, sizes: Sequence[int], most: int, arena: Arena, outs: Blocks, last: Work) -> None:
    """Sums over the windows of a box of values whose magnitude is at most `most`; with them in the block goes on `last`
    in the end."""

    def stage(axis: int, base: int, ends: bool) -> Stage:
        def work(block: Flat, outs: Blocks) -> None:
            block.arrays[0] = added(block, block.arrays[0], sizes[axis])
            if ends:
                last(block, outs)
            else:
                put(block, outs)

        return Stage([sum_kind(values.dtype, most * base * sizes[axis])], work)

    separable([values], box, sizes, arena, outs, stage)


def put(block: Flat, outs: Blocks) -> None:
    """The arrays of a block as they are."""
    for array, out in zip(block.arrays, outs, strict=True):
        np.copyto(out, block.wanted(array, out.shape[1]))


def counted(usable: Array, box: Box, sizes: Sequence[int], arena: Arena, kind: Any = np.float64) -> Array:
    """How many usable elements each window has."""
    out = take([side.wanted for side in box], kind, arena)
    _sums(usable.view(np.uint8), box, sizes, 1, arena, [out], put)
    return out


def mean(values: Array, count: Array | None, window: Window, box: Box, arena: Arena, out: Array) -> None:
    """The mean of each window; unusable values are 0, and `count` says how many others there are."""

    def last(block: Flat, outs: Blocks) -> None:
        total = window.elements if count is None else outs[1]
        np.divide(block.wanted(block.arrays[0], outs[0].shape[1]), total, out=outs[0])

    most = 0 if values.dtype.kind == "f" else largest(values.dtype)
    _sums(values, box, window.sizes, most, arena, [out] if count is None else [out, count], last)
