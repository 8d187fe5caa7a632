"""The thresholds of a box, and of a whole array in memory."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from threading import local

import numpy as np

from threshcli.kernels._arena import Arena
from threshcli.windows.base import Array, Window
from threshcli.windows.boxes import Box, cut
from threshcli.windows.gaussian import gaussian
from threshcli.windows.medians import median
from threshcli.windows.passes import take
from threshcli.windows.spreads import spread
from threshcli.windows.sums import counted, mean

_BOX = 1 << 19  # elements


def local_map(values: Array, window: Window, *, usable: Array | None = None, jobs: int = 1, box: int = _BOX) -> Array:
    """The threshold of each element, in float64: NaN where a window has nothing usable. NaN and infinities leave
    windows, and so does what is not `usable`. Boxes of about so many elements and workers change no bit of it."""
    if not values.ndim:
        return local_map(values.reshape(1), replaced(window, (1,)), usable=usable).reshape(())
    found, own = np.empty(values.shape), local()

    def work(item: Box) -> None:
        if not hasattr(own, "arena"):
            own.arena = Arena()
        own.arena.reset()
        reached = tuple(slice(side.low, side.high) for side in item)
        part = None if usable is None else usable[reached]
        found[tuple(slice(side.first, side.stop) for side in item)] = thresholds(
            values[reached], part, window, item, own.arena
        )

    boxes = list(cut(values.shape, window.reach, window.border, box)) if values.size else []
    if jobs > 1 and len(boxes) > 1:
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(work, boxes))
    else:
        for item in boxes:
            work(item)
    return found


def replaced(window: Window, sizes: tuple[int, ...]) -> Window:
    """The same window with other sizes."""
    return Window(window.method, sizes, window.k, window.r)


def thresholds(values: Array, usable: Array | None, window: Window, box: Box, arena: Arena) -> Array:
    """The thresholds of a box from the elements that its windows reach, in an array of the arena; OverflowError where
    squares or sums are beyond float64."""
    out = take([side.wanted for side in box], np.float64, arena)
    some = _usable(values, usable)
    with np.errstate(all="ignore"), arena.scratch():
        count = None
        if some is not None:
            values = np.where(some, values, values.dtype.type(0))
            spans = [2 * reach + 1 for reach in window.reach]
            count = counted(some, box, spans, arena)
        if window.method == "mean":
            mean(values, count, window, box, arena, out)
        elif window.method == "gaussian":
            gaussian(values, some, count, window, box, arena, out)
        elif window.method == "median":
            median(values, some, count, window, box, arena, out)
        else:
            spread(values, some, count, window, box, arena, out)
        if values.dtype == np.float64 or window.has_factors:  # means of all else are well within
            finite = np.isfinite(out)
            if not finite.all() and (count is None or (count[~finite] > 0).any()):
                raise OverflowError("a threshold is beyond float64")
    return out


def _usable(values: Array, usable: Array | None) -> Array | None:
    """Which elements can be worked with; None for all."""
    if values.dtype.kind == "f" and not (math.isfinite(values.max(initial=0)) and math.isfinite(values.min(initial=0))):
        finite = np.isfinite(values)  # NaN is the largest and the smallest of all
        usable = finite if usable is None else usable & finite
    return None if usable is None or usable.all() else usable
