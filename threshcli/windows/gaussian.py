"""Means of windows weighted by a Gaussian."""

from __future__ import annotations

import numpy as np

from threshcli.kernels._arena import Arena
from threshcli.windows.base import Array, Window, sigma_of
from threshcli.windows.boxes import Box
from threshcli.windows.passes import Blocks, Flat, Stage, separable, take
from threshcli.windows.sums import put

_AT_ONCE = 11  # weights for which NumPy has a loop of its own; with more it computes window by window
_WIDE = 128  # columns that are worth a loop of their own


def gaussian(
    values: Array, usable: Array | None, count: Array | None, window: Window, box: Box, arena: Arena, out: Array
) -> None:
    """The weighted mean of each window. Where not all elements are `usable`, the others are 0, those left share all of
    the weight, and `count` says how many each window has."""
    _blurred(values, window, box, arena, out)
    if usable is not None and count is not None:
        share = take(out.shape, np.float64, arena)
        _blurred(usable, window, box, arena, share)
        np.copyto(share, 0, where=count == 0)
        np.divide(out, share, out=out, where=count < window.elements)


def _blurred(values: Array, window: Window, box: Box, arena: Arena, out: Array) -> None:
    def stage(axis: int, base: int, ends: bool) -> Stage:
        weights = _weights(window.sizes[axis], window.reach[axis])

        def work(block: Flat, outs: Blocks) -> None:
            if block.columns >= _WIDE:
                _weighed_into(outs[0], block, weights)
                return
            block.arrays = [_weighed(block, weights, in_a_row=axis == len(window.sizes) - 1)]
            put(block, outs)

        return Stage([np.float64], work)

    separable([values], box, [2 * reach + 1 for reach in window.reach], arena, [out], stage)


def _weights(size: int, reach: int) -> Array:
    """The weights of a window of a size; they add up to 1."""
    if not reach:
        return np.ones(1)
    places = np.arange(-reach, reach + 1)
    found: Array = np.exp(-0.5 / sigma_of(size) ** 2 * places**2)
    found /= found.sum()
    return found


def _weighed_into(out: Array, block: Flat, weights: Array) -> None:
    """The weighted sums of windows across many columns, in the same order, and with no array in between."""
    (rows, length, columns), size = block.shape, len(weights)
    shape, steps = (rows, size, length - size + 1, columns), (8 * length * columns, 8 * columns, 8 * columns, 8)
    shifted: Array = np.ndarray(shape, np.float64, block.arrays[0], strides=steps)
    np.einsum("rknc,k->rnc", shifted, weights, out=out)


def _weighed(block: Flat, weights: Array, *, in_a_row: bool) -> Array:
    """The weighted sums of windows, in one order whatever the block: element by element from the first to the last,
    but along a tensor's last axis (`in_a_row`), where sums of a few elements each are added up.

    One call multiplies and adds in one pass over memory, in half the time of whole arrays multiplied and added:
    `einsum` where windows lie across the block's columns, else a few weights of `correlate` at a time (`einsum` would
    add up window by window there, in another order). A block with a single column of many is rare.
    """
    size, columns, total = len(weights), block.columns, block.lend(np.float64)
    here, array = block.stretch(size), block.arrays[0]
    if columns > 1:
        shifted: Array = np.ndarray((size, here.stop), np.float64, array, strides=(8 * columns, 8))
        np.einsum("kn,k->n", shifted, weights, out=total[here])
        return total
    step = _AT_ONCE if in_a_row or size <= _AT_ONCE else 1
    for first in range(0, size, step):
        some = weights[first : first + step]
        part = np.correlate(array[first : first + here.stop + len(some) - 1], some)
        if first:
            np.add(total[here], part, out=total[here])
        else:
            np.copyto(total[here], part)
    return total
