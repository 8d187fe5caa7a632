"""The rule `gradient` at work on gradients, in place: what it keeps stays where it is, what it drops becomes zero, and,
where that is wanted, the remainder.

On the CPU it works tile by tile with NumPy's kernels, several threads side by side, and measures while a tile is in the
cache. On a device torch's kernels do the same with a tensor at a time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, reduce
from typing import NamedTuple

import torch
from torch import Tensor

from threshcli.dtypes import Real
from threshcli.engine.cuts import Cuts
from threshcli.errors import UsageError
from threshcli.functional.held import Held, hold
from threshcli.functional.running import TILE, Call, own_kernels, planned, prepare, span
from threshcli.functional.solving import Solved
from threshcli.functional.tensors import memory, select
from threshcli.kernels._torch_convert import BITS
from threshcli.kernels.base import Block, Kernels, Mask
from threshcli.rules.gradient import Gradient
from threshcli.spec import ZERO
from threshcli.stats import Counts
from threshcli.thresholds.base import Fixed
from threshcli.tiles import Tile, tile_elements, tiles
from threshcli.training.statistics import Line, Measured, Waiting, measured_on_device

_RULE = Gradient()
_ALONE = 4 << 20  # bytes under which threads cost more than they save
_TOGETHER = 4  # tiles that a thread takes at once


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
            f"the gradient of {name} is a {type(grad).__name__}, and only plain tensors are worked on",
            hint="leave the parameter out by its name",
        )
    if not grad.is_floating_point():
        raise UsageError(
            f"the gradient of {name} is {str(grad.dtype).removeprefix('torch.')}, not real floating point",
            hint="leave the parameter out by its name",
        )


def threshold_all(works: Sequence[Work]) -> list[Line]:
    """Threshold gradients in place, and tell what became of each. Whatever is refused is so before any changes."""
    calls = [_prepared(work) for work in works]
    found: dict[int, Measured | Waiting] = {}
    rows = [i for i, work in enumerate(works) if work.grad.device.type == "cpu" and work.grad.is_contiguous()]
    found.update(zip(rows, _in_memory([(works[i], calls[i]) for i in rows]), strict=True))
    for index, (work, call) in enumerate(zip(works, calls, strict=True)):
        if index not in found:
            found[index] = _by_itself(work, call)
        torch.autograd.graph.increment_version(work.grad)
    pairs = enumerate(zip(works, calls, strict=True))
    return [Line(work.name, _compared(call), found[index]) for index, (work, call) in pairs]


def _compared(call: Call) -> float:
    """The number that elements are compared with: rounded to their dtype, unless it stands at a rank."""
    bound = call.bindings.bounds["threshold"]
    return float(bound.plain(bound.value, call.dtype)) if isinstance(bound, Fixed) else math.nan


def _prepared(work: Work) -> Call:
    return prepare(_RULE, work.grad, {"threshold": work.threshold}, broadcast=False, out_dtype=None)


def _by_itself(work: Work, call: Call) -> Measured | Waiting:
    """On a device, or where elements do not lie in a row: a copy is one tensor more, so no two at a time."""
    if work.grad.device.type != "cpu":
        return on_device(work, call)
    row = work.grad.contiguous()
    (measured,) = _in_memory([(work._replace(grad=row), call)])
    work.grad.detach().copy_(row)
    return measured


class _Part(NamedTuple):
    """A tile of a gradient on the CPU, with all that is needed to work on it."""

    call: Call
    cuts: Cuts
    x: Held
    out: memoryview
    residual: memoryview | None
    tile: Tile


def _in_memory(items: Sequence[tuple[Work, Call]]) -> list[Measured]:
    parts = [list(_parts(work, call)) for work, call in items]
    measured = iter(_side_by_side([part for some in parts for part in some]))
    return [reduce(Measured.plus, [next(measured) for _ in some], Measured()) for some in parts]


def _parts(work: Work, call: Call) -> Iterator[_Part]:
    held, cuts = hold(work.grad, work.name), Cuts(call.rule, planned(call), call.bindings.held)
    out, residual = memory(work.grad), None if work.residual is None else memory(work.residual)
    for tile in tiles(held.elements, tile_elements(TILE, call.dtype.itemsize)):
        yield _Part(call, cuts, held, out, residual, tile)


def _side_by_side(parts: Sequence[_Part]) -> list[Measured]:
    """What comes of parts, by as many threads as torch uses; their order changes nothing."""
    threads = torch.get_num_threads()
    size = sum(part.tile.count * part.call.dtype.itemsize for part in parts)
    if threads == 1 or size < _ALONE:
        return [_worked(part) for part in parts]
    batches = [parts[start : start + _TOGETHER] for start in range(0, len(parts), _TOGETHER)]
    done = _pool(threads).map(lambda batch: [_worked(part) for part in batch], batches)
    return [measured for batch in done for measured in batch]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that keep their buffers from step to step."""
    return ThreadPoolExecutor(threads, "threshcli")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not live on in a copy of the process


def _worked(part: _Part) -> Measured:
    k, call = own_kernels(), part.call
    with k.session():
        k.reset()
        x = k.load(part.x.data[span(part.tile, call.dtype)], call.dtype)
        (cut,) = part.cuts.tile(k, part.tile, Counts())
        dropped = k.compare(x, "le", cut, magnitude=True)  # not of NaN, which stays
        made = k.where(dropped, ZERO, x, call.dtype)
        measured = _measured(k, x, made, dropped)
        if part.residual is not None:
            left = k.where(dropped, x, ZERO, call.dtype)
            part.residual[span(part.tile, call.dtype)] = k.store(left)
        part.out[span(part.tile, call.dtype)] = k.store(made)
    return measured


def _measured(k: Kernels, x: Block, made: Block, dropped: Mask) -> Measured:
    elements, gone = k.elements(x), k.count(dropped)
    _, before = k.moments(x, clean=True, precise=False, sums=False)
    _, after = k.moments(made, clean=True, precise=False, sums=False)
    squares, nan = sum(before), 0
    if not squares < float("inf"):  # one sum tells whether there is any NaN or infinity
        nan = k.count(k.isnan(x))
        squares = sum(k.moments(x, clean=False, precise=True, sums=False)[1])
        after = k.moments(made, clean=False, precise=True, sums=False)[1]
    return Measured(elements, gone, nan, squares, sum(after))


def on_device(work: Work, call: Call) -> Waiting:
    """The same with torch's kernels, on the device of the gradient; nobody waits for it."""
    x = work.grad.detach()
    made = select(call, x)
    measured = measured_on_device(x, made)
    if work.residual is not None:
        bits = BITS[x.element_size()]
        flat = work.residual.view(x.shape)
        torch.bitwise_xor(x.contiguous().view(bits), made.contiguous().view(bits), out=flat.view(bits))
    x.copy_(made)
    return measured
