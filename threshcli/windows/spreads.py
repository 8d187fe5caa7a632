"""Means and standard deviations of windows, for niblack and sauvola.

Of integers whose squares add up exactly the variance is (n * sum of x^2 - (sum of x)^2) / n^2, exact up to the
division. Of floats that formula would lose all digits where the spread is small beside the mean; there sums of squared
deviations are put together of those of smaller windows (Chan, Golub & LeVeque 1983,
doi:10.1080/00031305.1983.10483115): with sums S and deviations Q of n elements each, Q = Qa + Qb +
(na * Sb - nb * Sa)^2 / (na * nb * (na + nb)). Only sums are taken from one another, which loses digits of the deviation
as m / s grows, where the formula with squares loses them as (m / s)^2 does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from threshcli.kernels._arena import Arena
from threshcli.windows import chains
from threshcli.windows.base import Array, Window
from threshcli.windows.boxes import Box
from threshcli.windows.passes import Blocks, Flat, Stage, separable, take
from threshcli.windows.sums import added, largest, put, sum_kind

_DIGITS = 1 << 53  # integers up to here are exact in float64


def spread(
    values: Array, usable: Array | None, count: Array | None, window: Window, box: Box, arena: Arena, out: Array
) -> None:
    """The threshold of each window by its mean and standard deviation. Where not all elements are `usable`, the others
    are 0, and `count` says how many each window has."""
    if values.dtype.kind != "f" and (window.elements * largest(values.dtype)) ** 2 < 1 << 63:
        _whole(values, count, window, box, arena, out)
        return
    _paired(values, window, box, arena, out)
    if usable is not None and count is not None:
        some = take(out.shape, np.float64, arena)
        _weighted(values, usable, window, box, arena, some)
        np.copyto(out, some, where=count < window.elements)


def _cut(mean: Array, deviation: Array, window: Window) -> None:
    """The threshold in place of a mean; the deviation is overwritten."""
    if window.method == "niblack":
        np.multiply(deviation, window.k, out=deviation)
        np.subtract(mean, deviation, out=mean)
        return
    np.divide(deviation, window.r, out=deviation)
    np.subtract(deviation, 1, out=deviation)
    np.multiply(deviation, window.k, out=deviation)
    np.add(deviation, 1, out=deviation)
    np.multiply(mean, deviation, out=mean)


def _whole(values: Array, count: Array | None, window: Window, box: Box, arena: Arena, out: Array) -> None:
    """By exact sums and sums of squares."""
    most, total = largest(values.dtype), window.elements
    exact = np.float64 if (total * most) ** 2 < _DIGITS else np.int64

    def stage(axis: int, base: int, ends: bool) -> Stage:
        size = window.sizes[axis]
        kinds = [sum_kind(values.dtype, bound * base * size) for bound in (most, most**2)]

        def work(block: Flat, outs: Blocks) -> None:
            if base == 1:
                np.multiply(block.arrays[1], block.arrays[1], out=block.arrays[1])
            block.arrays = [added(block, array, size) for array in block.arrays]
            if not ends:
                put(block, outs)
                return
            sums, squares = (take(outs[0].shape, exact, block.arena) for _ in "SQ")
            put(block, [sums, squares])
            _by_squares(sums, squares, total if count is None else outs[1].astype(exact), window, outs[0])

        return Stage(kinds, work)

    separable([values, values], box, window.sizes, arena, [out] if count is None else [out, count], stage)


def _by_squares(sums: Array, squares: Array, number: Array | int, window: Window, out: Array) -> None:
    """The threshold by exact sums; these are overwritten."""
    np.divide(sums, number, out=out)
    np.multiply(sums, sums, out=sums)
    np.multiply(squares, number, out=squares)
    np.subtract(squares, sums, out=squares)
    deviation = sums.view(np.float64)
    np.sqrt(squares, out=deviation)
    np.divide(deviation, number, out=deviation)
    _cut(out, deviation, window)


class _Part(NamedTuple):
    """Sums and squared deviations of windows; single elements have none."""

    sums: Array
    deviations: Array | None


def _paired(values: Array, window: Window, box: Box, arena: Arena, out: Array) -> None:
    """By deviations of smaller windows, all elements usable."""

    def stage(axis: int, base: int, ends: bool) -> Stage:
        def work(block: Flat, outs: Blocks) -> None:
            single = _Part(block.arrays[0], block.arrays[1] if base > 1 else None)
            pairs = _Pairs(base, block)
            found = chains.run(window.sizes[axis], single, pairs.join, pairs.release)
            block.arrays = [found.sums, np.zeros_like(found.sums) if found.deviations is None else found.deviations]
            if not ends:
                put(block, outs)
                return
            for array in block.arrays:
                np.divide(array, window.elements, out=array)
            mean, deviation = block.arrays
            np.sqrt(deviation, out=deviation)
            _cut(mean, deviation, window)
            np.copyto(outs[0], block.wanted(mean, outs[0].shape[1]))

        return Stage([np.float64] * 2, work)

    separable([values, values], box, window.sizes, arena, [out], stage)


class _Pairs(NamedTuple):
    """Windows of a block, of `base` elements for each index along the axis, put together two by two."""

    base: int
    block: Flat

    def release(self, part: _Part) -> None:
        for array in part:
            if array is not None:
                self.block.release(array)

    def join(self, a: _Part, b: _Part, step: chains.Step) -> _Part:
        block, first, second = self.block, step.first, step.second
        here, there = block.stretch(step.size), block.stretch(step.size, first)
        before, behind = a.sums[here], b.sums[there]
        made = _Part(block.lend(np.float64), block.lend(np.float64))
        sums, off = (array[here] for array in made if array is not None)
        if first == second:
            np.subtract(behind, before, out=off)
            weight = 1 / (2 * first * self.base)
        else:
            np.multiply(behind, first, out=off)
            np.multiply(before, second, out=sums)
            np.subtract(off, sums, out=off)
            weight = 1 / (first * second * (first + second) * self.base)
        np.multiply(off, off, out=off)
        np.multiply(off, weight, out=off)
        for part, where in ((a, here), (b, there)):
            if part.deviations is not None:
                np.add(off, part.deviations[where], out=off)
        np.add(before, behind, out=sums)
        return made


class _Weighted(NamedTuple):
    """The numbers of usable elements, sums and squared deviations of windows."""

    number: Array
    sums: Array
    deviations: Array


def _weighted(values: Array, usable: Array, window: Window, box: Box, arena: Arena, out: Array) -> None:
    """By deviations of smaller windows, of which some have fewer usable elements than others, or none."""

    def stage(axis: int, base: int, ends: bool) -> Stage:
        def work(block: Flat, outs: Blocks) -> None:
            if base == 1:
                block.arrays[2][:] = 0

            def join(a: _Weighted, b: _Weighted, step: chains.Step) -> _Weighted:
                here, there = block.stretch(step.size), block.stretch(step.size, step.first)
                return _weighed(
                    *(_Weighted(*(array[where] for array in part)) for part, where in ((a, here), (b, there)))
                )

            found = chains.run(window.sizes[axis], _Weighted(*block.arrays), join, lambda _: None)
            block.arrays = [np.resize(array, block.elements) for array in found]
            if not ends:
                put(block, outs)
                return
            number, sums, deviations = (block.wanted(array, outs[0].shape[1]) for array in block.arrays)
            np.divide(sums, number, out=outs[0])
            _cut(outs[0], np.sqrt(deviations / number), window)

        return Stage([np.float64] * 3, work)

    separable([usable, values, values], box, window.sizes, arena, [out], stage)


def _weighed(a: _Weighted, b: _Weighted) -> _Weighted:
    number = a.number + b.number
    off = (a.number * b.sums - b.number * a.sums) ** 2
    off /= np.maximum(a.number * b.number * number, 1)  # where one of them has nothing, there is nothing to divide
    return _Weighted(number, a.sums + b.sums, a.deviations + b.deviations + off)
