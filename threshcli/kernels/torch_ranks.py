"""Order statistics of what lies on a device, worked out there: exact, whatever the data, in few passes over it.

Few elements are sorted by their keys (threshcli.dtypes). Of many a sample says between which two keys a rank must lie,
but for bad luck; counting tells whether it does, and what lies between them is sorted, or looked at more narrowly while
that is still too much: a value that many elements have is tried by itself. The answer never depends on the sample. A
device is waited for as seldom as can be: each time costs as much as a look at millions of elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from threshcli.dtypes import FLOAT64, DType, Range
from threshcli.kernels._torch_convert import BITS, bias_of, exact, keys_of
from threshcli.kernels.base import Block, Mask
from threshcli.kernels.torch import TorchKernels
from threshcli.tiles import LEAF

CHUNK = 1 << 24
"""Elements that are looked at together: what is made of them takes memory of the device."""
FEW = 1 << 22
"""Up to so many elements are sorted."""
SAMPLE = 1 << 16
"""Elements of a sample, about."""
DEVIATIONS = 4
"""Standard deviations of a rank's place in the sample that are looked at to either side of it."""


class Placed(NamedTuple):
    """One order statistic: its key, how many elements lie below it, and how many are equal to it."""

    key: int
    below: int
    equal: int


@dataclass(frozen=True, slots=True)
class Row:
    """Tensors on one device as one row of elements, compared as `dtype`, which holds all that they hold; each part is
    in the bits of its own."""

    parts: Sequence[Block]
    dtype: DType
    kernels: TorchKernels

    @classmethod
    def of(cls, tensors: Sequence[Tensor], dtypes: Sequence[DType], dtype: DType) -> Row:
        """Of tensors of these dtypes."""
        rows = (tensor.detach().resolve_neg().reshape(-1) for tensor in tensors)
        parts = [Block(row.view(BITS[own.itemsize]), own) for row, own in zip(rows, dtypes, strict=True)]
        return cls(parts, dtype, TorchKernels(str(tensors[0].device)))

    @property
    def elements(self) -> int:
        return sum(len(part.data) for part in self.parts)

    def blocks(self, step: int = 1) -> Iterator[Block]:
        """Blocks of up to CHUNK elements in order, of every `step`-th one of each part; small parts go together."""
        waiting: list[Tensor] = []
        elements = 0
        for part in self.parts:
            for piece in part.data[::step].split(CHUNK):
                if waiting and elements + len(piece) > CHUNK:
                    yield self._joined(waiting)
                    waiting, elements = [], 0
                waiting.append(self.kernels.cast(Block(piece, part.dtype), self.dtype).data)
                elements += len(piece)
        yield self._joined(waiting)

    def zeros(self) -> int:
        """How many elements are zero."""
        return sum(self.kernels.zeros(block) for block in self.blocks())

    def _joined(self, pieces: list[Tensor]) -> Block:
        return Block(pieces[0] if len(pieces) == 1 else torch.cat(pieces), self.dtype)


@dataclass(frozen=True, slots=True)
class Seen:
    """A row as it is looked at: as it is, by magnitude, or by the distance from a centre, in float64."""

    row: Row
    magnitude: bool = False
    centre: float | None = None

    @property
    def dtype(self) -> DType:
        return self.row.dtype if self.centre is None else FLOAT64

    @property
    def range(self) -> Range:
        """All keys that may be seen; NaN has none."""
        return self.dtype.magnitude_keys if self.magnitude else self.dtype.keys

    def blocks(self, step: int = 1, *, ignore_zero: bool = False) -> Iterator[Block]:
        """What there is to look at; magnitudes are for `within` and `keys` to see."""
        blocks, centre = self.row.blocks(step), self.centre
        blocks = map(self._without_zeros, blocks) if ignore_zero else blocks
        return blocks if centre is None else (_distances(block, centre) for block in blocks)

    def _without_zeros(self, block: Block) -> Block:
        zeros = Range(0, 0) if block.dtype.signed else Range(0, -1)  # key 0 of float8_e8m0fnu is 2^-127
        return Block(block.data[~self.row.kernels.within(block, zeros)], block.dtype)

    def within(self, block: Block, keys: Range) -> Mask:
        """Which elements of a block have these keys."""
        return self.row.kernels.within(block, keys, magnitude=self.magnitude)

    def keys(self, block: Block) -> Tensor:
        """The keys of a block without NaN, less the bias."""
        return keys_of(block, self.magnitude)

    @property
    def bias(self) -> int:
        """What keys are less than they should be, so that they fit into signed integers."""
        return bias_of(self.dtype, self.magnitude)

    def equal(self, key: int) -> list[tuple[int, int, int]]:
        """From where to where there are elements of this key, in stretches of up to LEAF elements, and how many."""
        found, start = [], 0
        for block in self.blocks():
            mask = self.within(block, Range(key, key))
            counts = torch.nn.functional.pad(mask, (0, -len(mask) % LEAF)).view(-1, LEAF).sum(1)
            stop = start + len(mask)
            firsts = range(start, stop, LEAF)
            found += [
                (first, min(first + LEAF, stop), count)
                for first, count in zip(firsts, counts.tolist(), strict=True)
                if count
            ]
            start = stop
        return found

    def positions(self, key: int, start: int, stop: int) -> list[int]:
        """The positions in a stretch of the elements that have this key."""
        found, first = [], 0
        for block in self.blocks():
            inside = slice(max(start - first, 0), max(stop - first, 0))
            mask = self.within(Block(block.data[inside], block.dtype), Range(key, key))
            found += [first + inside.start + place for place in mask.nonzero().view(-1).tolist()]
            first += len(block.data)
        return found


def _distances(block: Block, centre: float) -> Block:
    return Block((exact(block).near - centre).abs_().view(torch.int64), FLOAT64)


class _Span(NamedTuple):
    """Keys from `low` to `high`, both included, and how many elements lie below and inside."""

    low: int
    high: int
    below: int
    inside: int


class Ranks:
    """What is seen of a row, ready to be asked for order statistics, zeros left out if they are not to count."""

    def __init__(self, seen: Seen, *, ignore_zero: bool = False) -> None:
        self._seen, self._ignore_zero = seen, ignore_zero
        self._few = self._sorted(seen.range) if seen.row.elements <= FEW else None
        """All elements, if they are few."""
        self.usable: int = self._up_to(seen.range.high)[0] if self._few is None else len(self._few)
        """How many elements are not NaN."""

    @property
    def nan(self) -> int:
        """How many elements are NaN."""
        zeros = self._seen.row.zeros() if self._ignore_zero else 0
        return self._seen.row.elements - zeros - self.usable

    def find(self, ranks: Sequence[int]) -> list[Placed]:
        """The order statistics of these ranks among the usable elements; rank 0 is the smallest."""
        found: dict[int, Placed] = {}
        for rank in ranks:
            if rank not in found:
                span = self._narrowed(rank)
                own = sorted({other for other in ranks if span.below <= other < span.below + span.inside})
                found.update(zip(own, self._inside(span, own), strict=True))
        return [found[rank] for rank in ranks]

    def _blocks(self, step: int = 1) -> Iterator[Block]:
        return self._seen.blocks(step, ignore_zero=self._ignore_zero)

    def _sorted(self, keys: Range, step: int = 1) -> Tensor:
        """The keys of elements in a range, less the bias, in ascending order."""
        blocks = ((block, self._seen.within(block, keys)) for block in self._blocks(step))
        found = [self._seen.keys(Block(block.data[mask], block.dtype)) for block, mask in blocks]
        return torch.cat(found).sort().values

    def _up_to(self, *keys: int) -> list[int]:
        """How many elements have keys up to each of these."""
        low, found = self._seen.range.low, []
        for block in self._blocks():
            masks = [self._seen.within(block, Range(low, high)) for high in keys]
            found.append(torch.stack([torch.count_nonzero(mask) for mask in masks]))
        counts: list[int] = torch.stack(found).sum(0).tolist()
        return counts

    def _narrowed(self, rank: int) -> _Span:
        """Keys of few elements, or one key, of which one has this rank."""
        low, high = self._seen.range
        below, inside = 0, self.usable
        while inside > FEW and low < high:
            first, last = self._guessed(_Span(low, high, below, inside), rank)
            under, reached = self._up_to(first - 1, last)
            if rank < under:
                high, inside = first - 1, under - below
            elif rank < reached:
                low, high, below, inside = first, last, under, reached - under
            else:
                low, below, inside = last + 1, reached, below + inside - reached
        return _Span(low, high, below, inside)

    @cached_property
    def _sample(self) -> npt.NDArray[np.int64]:
        """The keys of some elements, less the bias, in ascending order: every so-many-th one, an odd number, so that
        they are not all of one column of a matrix, say."""
        step = max(1, self._seen.row.elements // SAMPLE) | 1
        found: npt.NDArray[np.int64] = self._sorted(self._seen.range, step).long().cpu().numpy()
        return found

    def _guessed(self, span: _Span, rank: int) -> tuple[int, int]:
        """Two keys of a span, between which a rank most likely lies, but not most of the span."""
        bias = self._seen.bias
        start = np.searchsorted(self._sample, span.low - bias, "left")
        own = self._sample[start : np.searchsorted(self._sample, span.high - bias, "right")]
        if not own.size:
            middle = (span.low + span.high) // 2
            return middle, middle
        place = (rank - span.below) * own.size / span.inside
        margin = 1 + DEVIATIONS * math.sqrt(place * (1 - place / own.size))
        ends = math.floor(place - margin), math.ceil(place + margin)
        first = int(own[ends[0]]) + bias if ends[0] >= 0 else span.low
        last = int(own[ends[1]]) + bias if ends[1] < own.size else span.high
        held = np.searchsorted(own, last - bias, "right") - np.searchsorted(own, first - bias, "left")
        if held * span.inside > FEW * own.size:  # as it is of the whole span
            first = last = int(own[math.floor(place)]) + bias
        return first, last

    def _inside(self, span: _Span, ranks: Iterable[int]) -> list[Placed]:
        """The order statistics of these ranks, all of which lie in the span."""
        if span.low == span.high:
            return [Placed(span.low, span.below, span.inside) for _ in ranks]
        ordered = self._sorted(Range(span.low, span.high)) if self._few is None else self._few
        keys = torch.stack([ordered[rank - span.below] for rank in ranks])
        under, reached = (torch.searchsorted(ordered, keys, right=right) for right in (False, True))
        found = torch.stack([keys.long(), under, reached]).T.tolist()  # the device is waited for once
        return [Placed(key + self._seen.bias, span.below + a, b - a) for key, a, b in found]
