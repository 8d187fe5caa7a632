"""Means of windows weighted by a Gaussian."""

from __future__ import annotations

import numpy as np

from threshcli.kernels._arena import Arena
from threshcli.windows.base import Array, Window, sigma_of
from threshcli.windows.boxes import Box
from threshcli.windows.passes import Blocks, Flat, Stage, separable, take
from threshcli.windows.sums import put


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
            block.arrays = [_weighed(block, weights)]
            put(block, outs)

        return Stage([np.float64], work)

    separable([values], box, [2 * reach + 1 for reach in window.reach], arena, [out], stage)


def _weights(size: int, reach: int) -> list[float]:
    """The weights of a window of a size, from its middle outwards; with those of both sides they add up to 1."""
    if not reach:
        return [1.0]
    places = np.arange(-reach, reach + 1)
    found = np.exp(-0.5 / sigma_of(size) ** 2 * places**2)
    found /= found.sum()
    return [float(weight) for weight in found[reach:]]


def _weighed(block: Flat, weights: list[float]) -> Array:
    """From the ends of each window to its middle, both sides at once."""
    array, reach = block.arrays[0], len(weights) - 1
    total, pair = block.lend(np.float64), block.lend(np.float64)
    size = 2 * reach + 1
    here = block.stretch(size)
    np.multiply(array[block.stretch(size, reach)], weights[0], out=total[here])
    for off in range(reach, 0, -1):
        np.add(array[block.stretch(size, reach - off)], array[block.stretch(size, reach + off)], out=pair[here])
        np.multiply(pair[here], weights[off], out=pair[here])
        np.add(total[here], pair[here], out=total[here])
    return total
