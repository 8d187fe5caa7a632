"""Populations: the elements that a threshold is worked out from, as pieces of files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from threshcli.dtypes import DType
from threshcli.plan.sharing import shared_dtype
from threshcli.thresholds.base import Mapped
from threshcli.tiles import LEAF, Tile, View, tiles

if TYPE_CHECKING:
    from threshcli.engine.before import Before


class Piece(NamedTuple):
    """A tensor, or a part of one, in C order of its axes; `mask` says which elements belong to the population. `file`
    is what people call the file at `path`."""

    file: str
    path: str
    fingerprint: tuple[int, ...]
    view: View
    dtype: DType
    mask: Mapped | None = None
    before: Before | None = None
    """What the elements go through before they are looked at; `dtype` is that of what comes out."""

    def slices(self, axis: int, first: int, count: int) -> Piece:
        """Indices [first, first + count) along an axis, one after the other."""
        mask = None if self.mask is None else self.mask._replace(view=_slices(self.mask.view, axis, first, count))
        return self._replace(view=_slices(self.view, axis, first, count), mask=mask)

    def as_line(self) -> Piece:
        """A scalar as a line of one element."""
        mask = None if self.mask is None else self.mask._replace(view=_line(self.mask.view))
        return self._replace(view=_line(self.view), mask=mask)

    def box(self, ends: Sequence[tuple[int, int]]) -> Piece:
        """The indices [first, stop) along each axis."""
        mask = None if self.mask is None else self.mask._replace(view=_box(self.mask.view, ends))
        return self._replace(view=_box(self.view, ends), mask=mask)


def _line(view: View) -> View:
    return view._replace(shape=(1,), strides=(1,))


def _box(view: View, ends: Sequence[tuple[int, int]]) -> View:
    first = sum(start * stride for (start, _), stride in zip(ends, view.strides, strict=True))
    shape = tuple(stop - start for start, stop in ends)
    return view._replace(offset=view.offset + first * view.itemsize, shape=shape)


def _slices(view: View, axis: int, first: int, count: int) -> View:
    moved = view.permuted((axis, *(other for other in range(len(view.shape)) if other != axis)))
    offset = moved.offset + first * moved.strides[0] * moved.itemsize
    return moved._replace(offset=offset, shape=(count, *moved.shape[1:]))


class Stretch(NamedTuple):
    """Elements of one piece, and the position of the first in the population."""

    piece: Piece
    tile: Tile
    position: int


class Population:
    """Pieces in a row: (file, tensor, flat index) is the order of positions. Complex elements are in it as their
    magnitudes."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = tuple(pieces)
        self.dtype = shared_dtype({piece.dtype.compared for piece in pieces})
        self._ends = list(accumulate(piece.view.elements for piece in pieces))

    @property
    def elements(self) -> int:
        return self._ends[-1] if self._ends else 0

    def start(self, index: int) -> int:
        """The position of a piece's first element."""
        return self._ends[index] - self.pieces[index].view.elements

    def everything(self, size: int) -> Iterator[Stretch]:
        """All elements in stretches of at most `size`, a multiple of LEAF."""
        for index, piece in enumerate(self.pieces):
            start = self.start(index)
            for tile in tiles(piece.view.elements, max(LEAF, size // LEAF * LEAF)):
                yield Stretch(piece, tile, start + tile.start)

    def some(self, ends: Iterable[tuple[int, int]], size: int) -> Iterator[Stretch]:
        """The positions [start, stop) of each pair, cut at the ends of pieces and at `size` elements."""
        for start, stop in ends:
            at = start
            while at < stop:
                index = bisect_right(self._ends, at)
                end = min(stop, self._ends[index], at + size)
                first = self.start(index)
                yield Stretch(self.pieces[index], Tile(at - first, end - first), at)
                at = end
