"""What depends on neighbours, in memory: the masks of rules that look sideways, and thresholds from windows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from threshcli.dtypes import BOOL
from threshcli.engine.cuts import Cuts
from threshcli.engine.mapping import modify
from threshcli.errors import InputError, UsageError
from threshcli.functional.held import Given, Held
from threshcli.functional.solving import run
from threshcli.kernels import _numpy_convert as convert
from threshcli.kernels.base import Kernels, Mask
from threshcli.plan.fit import Fit
from threshcli.rules.base import Groups, Rule
from threshcli.sideways.components import hysteresis_mask
from threshcli.sideways.nm import magnitude_keys, nm_mask
from threshcli.spec import Axes
from threshcli.stats import Counts
from threshcli.studies.base import VALUE, Array
from threshcli.studies.counted import extent
from threshcli.thresholds.base import Extremes, Windowed
from threshcli.tiles import Tile, tile_elements, tiles
from threshcli.windows.local import local_map


class Looking(NamedTuple):
    """A rule that looks sideways at an input, along some axes, with its thresholds and with kernels."""

    rule: Rule
    x: Held
    cuts: Cuts
    axes: Axes | None
    kernels: Kernels
    tile_bytes: int


def mask_of(looking: Looking) -> memoryview:
    """What the rule selects: one bool an element, as bytes in C order."""
    x, groups = looking.x, looking.rule.beside
    if isinstance(groups, Groups):
        keys = magnitude_keys(VALUE.see(x.values, x.dtype.compared), x.dtype.compared).reshape(x.shape)
        found = nm_mask(keys, groups.n, groups.m, axis=groups.axis, partial=groups.partial)
    else:
        low, high = (part.reshape(x.shape) for part in _compared(looking))
        axes = None if looking.axes is None else looking.axes.of(len(x.shape))
        full = groups is not None and groups.full
        found = hysteresis_mask(low, high, "full" if full else "faces", axes)
    flat = np.ascontiguousarray(found).reshape(-1).view(np.uint8)
    return flat.data if flat.size else memoryview(b"")


def _compared(looking: Looking) -> tuple[Array, Array]:
    """What is above each of two thresholds."""
    x, k = looking.x, looking.kernels
    found = np.empty((2, x.elements), np.bool_)
    with k.session():
        for tile in tiles(x.elements, tile_elements(looking.tile_bytes, x.dtype.itemsize)):
            k.reset()
            block = k.load(x.data[tile.start * x.dtype.itemsize : tile.stop * x.dtype.itemsize], x.dtype)
            for row, cut in zip(found, looking.cuts.tile(k, tile, Counts()), strict=True):
                row[tile.start : tile.stop] = _bools(k, k.compare(block, "gt", cut))
    return found[0], found[1]


def _bools(k: Kernels, mask: Mask) -> Array:
    found: Array = np.frombuffer(k.store(k.select(mask, 1, 0, BOOL)), np.bool_)
    return found


def pieces(mask: memoryview, k: Kernels, tile: Tile) -> Any:
    """A tile's part of a mask, as the cut that a rule which looks sideways is applied with."""
    return k.load(mask[tile.start : tile.stop], BOOL)


def window_map(
    source: Windowed, x: Given, fit: Fit, *, magnitude: bool, axes: Axes | None, mask: Array | None = None
) -> Array:
    """The thresholds of a source that looks at windows, in float64; UsageError or InputError where there are none."""
    lens, kind = fit.terms(magnitude).lens, x.dtype.compared
    values = convert.native(lens.see(x.values, kind), lens.dtype(kind)).reshape(x.shape)
    usable = None if mask is None else mask.reshape(x.shape)
    if fit.ignore_zero:
        usable = values != 0 if usable is None else usable & (values != 0)
    source.check(len(x.shape), x.dtype, axes)
    sizes = source.spans(len(x.shape), axes) or (1,)
    window = source.window(sizes, kind, _extremes(source, x, fit, magnitude, usable))
    try:
        found = local_map(values, window, usable=usable)  # one thread: two wait for the interpreter
    except OverflowError as error:
        raise InputError(f"the input has no {source.text}: it is beyond what float64 holds") from error
    modify(found, fit)
    if magnitude and found.size and np.fmin.reduce(found, axis=None) < 0:
        raise UsageError(
            f"{source.text} is negative somewhere, and magnitudes never are", hint="--at-least 0 raises it"
        )
    return found


def _extremes(source: Windowed, x: Given, fit: Fit, magnitude: bool, usable: Array | None) -> Extremes:
    """The least and the largest element that can be used, if the source asks for them."""
    if not source.needs_extremes:
        return 0, 0
    part = (x, None if usable is None else usable.reshape(-1))
    looked = run(extent(fit.terms(magnitude).lens), [part], x.dtype.compared)
    return (0, 0) if looked.low is None or looked.high is None else (looked.low, looked.high)
