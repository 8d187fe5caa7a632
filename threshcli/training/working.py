"""The rule `gradient` at work on gradients, in place: what it keeps stays where it is, what it drops becomes zero, and,
where that is wanted, the remainder.

On the CPU it works tile by tile with NumPy's kernels, and measures while a tile is in the cache, in one thread: another
would wait for the interpreter most of the time. `devices` does the same elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from threshcli.dtypes import Real
from threshcli.engine.cuts import Cuts
from threshcli.errors import UsageError
from threshcli.functional.held import memory
from threshcli.functional.running import Call, own_kernels, planned, prepare, span
from threshcli.functional.solving import Solved
from threshcli.kernels.base import Block, Kernels, Mask
from threshcli.rules.gradient import Gradient
from threshcli.spec import ZERO
from threshcli.stats import Counts
from threshcli.thresholds.base import Fixed
from threshcli.tiles import tile_elements, tiles
from threshcli.training.devices import Task, threshold_on_devices
from threshcli.training.statistics import Line, Measured

_RULE = Gradient()
_TILE = 1 << 18  # bytes: all that is made of a tile stays in the cache


class Work(NamedTuple):
    """A gradient to be thresholded in place, and where its remainder goes, a contiguous tensor."""

    name: str
    grad: Tensor
    threshold: Real | Solved
    residual: Tensor | None = None


def refuse_unworkable(name: str, grad: Tensor) -> None:
    """UsageError of a gradient that cannot be thresholded, naming the parameter."""
    if grad.layout != torch.strided:
        raise UsageError(
            f"the gradient of {name} is sparse ({grad.layout}): it holds what is not zero already",
            hint="leave the parameter out by its name, or make the layer with sparse=False",
        )
    if type(grad) not in (Tensor, torch.nn.Parameter):
        raise UsageError(
            f"the gradient of {name} is of type {type(grad).__name__}, and only plain tensors are worked on",
            hint="leave the parameter out by its name",
        )
    if not grad.is_floating_point():
        raise UsageError(
            f"the gradient of {name} is {str(grad.dtype).removeprefix('torch.')}, not real floating point",
            hint="leave the parameter out by its name",
        )


def threshold_all(works: Sequence[Work]) -> list[Line]:
    """Threshold gradients in place, and tell what became of each. Whatever is refused is so before any changes."""
    known: dict[tuple[torch.dtype, torch.Size | None, int], _Settled] = {}  # most parameters are settled as others
    settled = []
    for work in works:
        shape = work.grad.shape if isinstance(work.threshold, Solved) else None  # to a number all are the same
        key = work.grad.dtype, shape, id(work.threshold)
        settled.append(known.get(key) or known.setdefault(key, _settle(work)))
    pairs = list(zip(works, settled, strict=True))
    tasks = [Task(work.grad, work.residual, found.call) for work, found in pairs if is_on_device(work.grad)]
    waiting = iter(threshold_on_devices(tasks))
    lines = []
    for work, found in pairs:
        measured = next(waiting) if is_on_device(work.grad) else _on_cpu(work, found)
        lines.append(Line(work.name, found.compared, measured))
    torch.autograd.graph.increment_version([work.grad for work in works])
    return lines


class _Settled(NamedTuple):
    """What gradients of one dtype, and at ranks of one shape, are thresholded with."""

    call: Call
    cuts: Cuts
    compared: float


def _settle(work: Work) -> _Settled:
    call = prepare(_RULE, work.grad, {"threshold": work.threshold})
    return _Settled(call, Cuts(call.rule, planned(call), call.bindings.held), _compared(call))


def _compared(call: Call) -> float:
    """The number that elements are compared with: rounded to their dtype, unless it stands at a rank."""
    bound = call.bindings.bounds["threshold"]
    return float(bound.plain(bound.value, call.dtype)) if isinstance(bound, Fixed) else math.nan


def is_on_device(grad: Tensor) -> bool:
    """Whether a gradient is out of reach of the CPU."""
    return grad.device.type != "cpu"


def _on_cpu(work: Work, settled: _Settled) -> Measured:
    if work.grad.is_contiguous():
        return _in_memory(work, settled)
    row = work.grad.contiguous()  # where elements do not lie in a row, a tensor more
    measured = _in_memory(work._replace(grad=row), settled)
    work.grad.detach().copy_(row)
    return measured


def _in_memory(work: Work, settled: _Settled) -> Measured:
    dtype, k, measured, counts = settled.call.dtype, own_kernels(), Measured(), Counts()
    data, residual = memory(work.grad), None if work.residual is None else memory(work.residual)
    with k.session():
        for tile in tiles(work.grad.numel(), tile_elements(_TILE, dtype.itemsize)):
            k.reset()
            place = span(tile, dtype)
            block = k.load(data[place], dtype)
            (cut,) = settled.cuts.tile(k, tile, counts)
            kept = k.compare(block, "gt", cut, magnitude=True)
            found, clean = _measured(k, block, kept)
            if residual is not None:
                residual[place] = k.store(_without_nan(k, k.where(kept, ZERO, block, dtype), found.nan))
            stays = k.invert(k.both(k.invert(kept), k.invert(k.isnan(block)))) if found.nan else kept
            k.keep(block, stays)  # in the memory of the gradient
            measured = measured.plus(found._replace(after=_squares(k, block, clean)))
    return measured


def _without_nan(k: Kernels, x: Block, nan: int) -> Block:
    """NaN stays where it is, and leaves no remainder."""
    return k.where(k.isnan(x), ZERO, x, x.dtype) if nan else x


def _measured(k: Kernels, x: Block, kept: Mask) -> tuple[Measured, bool]:
    """What there is to tell of a tile before it changes, and whether all of it is finite."""
    elements, count, nan, clean = k.elements(x), k.count(kept), 0, True
    if x.dtype.itemsize < 4:
        found = k.measure(x)
        nan, clean = found.nan, not (found.nan or found.inf)
    squares = _squares(k, x, clean)
    if not squares < float("inf"):  # of wider types one sum tells whether there is any NaN or infinity
        nan, clean = k.count(k.isnan(x)), False
        squares = _squares(k, x, clean)
    return Measured(elements, elements - count - nan, nan, squares), clean


def _squares(k: Kernels, x: Block, clean: bool) -> float:
    return sum(k.moments(x, clean=clean, precise=not clean, sums=False)[1])
