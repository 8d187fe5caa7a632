"""The rule `gradient` at work on gradients on devices, in place; nobody waits for a device.

What costs there is the number of operations and the bytes that they move. So gradients are cut into parts, and those
that share device, dtype and threshold are worked on together, in batches of a bounded size: a part that fills a batch
where it lies, smaller ones in a buffer, from which they go back. Each part has rows of its own in there, so that what
is measured by row is known by gradient; whoever reads the statistics sums rows up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from threshcli.dtypes import DType, Range
from threshcli.functional.running import Call
from threshcli.kernels._torch_convert import BITS, NATIVE
from threshcli.kernels.base import Block, Rank, Scalar
from threshcli.kernels.torch import TorchKernels
from threshcli.thresholds.base import Fixed
from threshcli.training.statistics import Rows, Waiting

_BATCH = 1 << 25  # bytes: operations on fewer are short beside their call, and more do not stay in the cache
_WIDTH = 4096  # elements in a row: few enough for exact counts and sums in float32; zeros fill up a part's last one


class Task(NamedTuple):
    """A gradient to be thresholded in place, and where its remainder goes, a contiguous tensor."""

    grad: Tensor
    residual: Tensor | None
    call: Call


class _Span(NamedTuple):
    """Some elements of a gradient, and the keys of the magnitudes that stay there."""

    place: slice
    keys: Range


class _Part(NamedTuple):
    """Elements of a gradient, in a row, and of its remainder; how many, and how many rows of a buffer they take."""

    owner: int
    x: Tensor
    rest: Tensor | None
    elements: int
    height: int


def threshold_on_devices(tasks: Sequence[Task]) -> list[Waiting]:
    """Threshold gradients, and tell of each what there will be to read."""
    alike: dict[tuple[torch.device, DType, Range], list[_Part]] = {}
    found: list[list[Rows]] = [[] for _ in tasks]
    known: dict[int, list[_Span]] = {}
    for owner, task in enumerate(tasks):
        if task.grad.is_contiguous():
            spans = known.get(id(task.call)) or known.setdefault(id(task.call), _spans(task.call))
            for keys, part in _parts(owner, task, spans):
                alike.setdefault((task.grad.device, task.call.dtype, keys), []).append(part)
        else:
            found[owner] += _scattered(task).rows
    for (_, dtype, keys), parts in alike.items():
        for batch in _batches(parts, _BATCH // dtype.itemsize):
            for part, rows in zip(batch, _worked(batch, dtype, keys), strict=True):
                found[part.owner].append(rows)
    return [Waiting(task.grad.numel(), tuple(rows)) for task, rows in zip(tasks, found, strict=True)]


def _scattered(task: Task) -> Waiting:
    """Elements that do not lie in a row are worked on in a tensor more."""
    row = task.grad.contiguous()
    (waiting,) = threshold_on_devices([task._replace(grad=row)])
    task.grad.detach().copy_(row)
    return waiting


def _spans(call: Call) -> list[_Span]:
    """What elements are compared with, from where to where: ties at a rank are above it before a position."""
    bound = call.bindings.bounds["threshold"]
    if not isinstance(bound, Fixed):
        raise TypeError("gradients are compared with one number")
    if bound.above is None:
        cuts: list[tuple[slice, Scalar]] = [(slice(None), Scalar(bound.value))]
    else:
        before, behind = slice(bound.above), slice(bound.above, None)
        cuts = [(before, Rank(bound.value, True)), (behind, Rank(bound.value, False))]
    return [_Span(place, cut.range(call.dtype, "gt", True)) for place, cut in cuts]


def _parts(owner: int, task: Task, spans: Iterable[_Span]) -> Iterator[tuple[Range, _Part]]:
    """The parts of a gradient, none of them empty, with the keys of the magnitudes that stay."""
    most, x = _BATCH // task.call.dtype.itemsize, task.grad.detach().view(-1)
    rest = None if task.residual is None else task.residual.view(-1)
    for place, keys in spans:
        start, end, _ = place.indices(x.numel())
        for first in range(start, end, most):
            count = min(most, end - first)
            part = slice(first, first + count)
            yield keys, _Part(owner, x[part], None if rest is None else rest[part], count, -(-count // _WIDTH))


def _batches(parts: Iterable[_Part], most: int) -> Iterator[list[_Part]]:
    """Parts that fit into a buffer of so many elements, or single ones."""
    batch: list[_Part] = []
    room = most // _WIDTH
    for part in parts:
        if batch and part.height > room:
            yield batch
            batch, room = [], most // _WIDTH
        batch.append(part)
        room -= part.height
    if batch:
        yield batch


def _worked(batch: Sequence[_Part], dtype: DType, keys: Range) -> list[Rows]:
    """Threshold a batch; returns where its parts are in what was measured."""
    (_, x, rest, elements, _), *others = batch
    if others or elements % _WIDTH:
        table = _gathered(batch, dtype, keys)
    else:
        table = _threshold(x.view(-1, _WIDTH), None if rest is None else rest.view(-1, _WIDTH), dtype, keys)
    found, zeros_stay, start = [], keys.low <= 0, 0
    for part in batch:
        found.append(Rows(table, start, start + part.height, 0 if zeros_stay else part.elements))
        start += part.height
    return found


def _gathered(batch: Sequence[_Part], dtype: DType, keys: Range) -> Tensor:
    """Threshold parts in a buffer, and put them back."""
    xs = [part.x for part in batch]
    rests = [part.rest for part in batch if part.rest is not None]
    rows = xs[0].new_zeros(sum(part.height for part in batch), _WIDTH)
    dropped = torch.empty_like(rows) if rests else None
    places = _places(rows, batch)
    torch._foreach_copy_(places, xs)
    table = _threshold(rows, dropped, dtype, keys)
    torch._foreach_copy_(xs, places)
    if dropped is not None:
        torch._foreach_copy_(rests, _places(dropped, batch))
    return table


def _places(rows: Tensor, batch: Sequence[_Part]) -> list[Tensor]:
    """Where parts lie in a buffer, each from the start of a row on."""
    sizes = [size for part in batch for size in (part.elements, part.height * _WIDTH - part.elements)]
    return list(rows.view(-1).split_with_sizes(sizes))[::2]


def _threshold(rows: Tensor, rest: Tensor | None, dtype: DType, keys: Range) -> Tensor:
    """Threshold rows in place, and write down what is dropped; returns the table that `Rows` tells of."""
    before = _norms(_computable(rows))
    if rest is not None:
        rest.copy_(rows)
    _drop(rows, dtype, keys)
    if rest is not None:
        bits = BITS[dtype.itemsize]
        rest.view(bits).bitwise_xor_(rows.view(bits))  # nothing of what stays, NaN included
    after = _computable(rows)
    nan = torch.ne(after, after, out=torch.empty_like(after, dtype=torch.float16))
    return torch.stack([before, _norms(after), _counts(after), _counts(nan)])


def _drop(rows: Tensor, dtype: DType, keys: Range) -> None:
    """Make +0.0 of all but NaN and magnitudes with these keys; all other bits stay."""
    if dtype in NATIVE and rows.device.type != "mps":  # Metal flushes subnormals
        torch.hardshrink(rows, dtype.number(keys.low - 1), out=rows)
        return
    k, x = TorchKernels(str(rows.device)), Block(rows.view(-1).view(BITS[dtype.itemsize]), dtype)
    stays = k.within(x, keys, magnitude=True).logical_or_(k.isnan(x))
    x.data.masked_fill_(stays.logical_not_(), 0)


def _norms(rows: Tensor) -> Tensor:
    """The root of the sum of squares of what is finite in each row."""
    return _reduced(torch.nan_to_num(rows, 0.0, 0.0, 0.0), 2)


def _counts(rows: Tensor) -> Tensor:
    """How many elements of each row are not zero; to sum masks up as integers would move many times the bytes."""
    return _reduced(rows, 0)


def _reduced(rows: Tensor, order: int) -> Tensor:
    dtype = torch.float64 if rows.dtype == torch.float64 else torch.float32
    found: Tensor = torch.linalg.vector_norm(rows, order, dim=1, dtype=dtype)
    return found


def _computable(rows: Tensor) -> Tensor:
    """Elements of 8 bits as wider ones, since torch does next to nothing with them."""
    return rows.float() if rows.element_size() == 1 else rows
