"""Two tensors side by side: where they differ, and by how much. Bytes are compared first, values only where those do
not agree; tiles, workers and the order in memory change nothing of what is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from threshcli.dtypes import DTYPES, DType
from threshcli.engine.crew import Crew
from threshcli.engine.reading import Bytes, read_elements
from threshcli.kernels._numpy_compare import against
from threshcli.kernels._numpy_convert import native
from threshcli.kernels._numpy_distance import distance
from threshcli.kernels.base import Kernels
from threshcli.tiles import Tile, View, row_major, tile_elements, tiles

Array = npt.NDArray[Any]

_ALONE = 1 << 21  # bytes under which a second thread costs more than it gains
_CHUNK = 1 << 16  # elements whose values are compared at once: they stay in the cache


class Side(NamedTuple):
    """One of two tensors: where its elements lie, and what they are."""

    source: Bytes
    view: View
    dtype: DType


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What counts as equal: |a - b| <= atol + rtol |b|; whether NaN equals NaN; or, stricter, `bits` alone."""

    rtol: float = 0.0
    atol: float = 0.0
    nan_equal: bool = True
    bits: bool = False

    @property
    def exact(self) -> bool:
        return not (self.rtol or self.atol)


@dataclass(slots=True)
class Peak:
    """The largest value that was met, and the first of the positions where it was."""

    value: float | int | None = None
    at: int | None = None

    def add(self, other: Peak) -> None:
        if other.value is None or other.at is None:
            return
        if self.value is None or self.at is None or (other.value, -other.at) > (self.value, -self.at):
            self.value, self.at = other.value, other.at


@dataclass(slots=True)
class Differences:
    """How many elements differ beyond the tolerance, and the position of the first; of how many just one of both is
    NaN; then, of all that are unequal, the largest distance, and the largest share of it in |b| where b is not 0."""

    count: int = 0
    first: int | None = None
    nan: int = 0
    largest: Peak = field(default_factory=Peak)
    relative: Peak = field(default_factory=Peak)

    def add(self, other: Differences) -> None:
        """Add what was found elsewhere in the same tensors."""
        if other.first is not None and (self.first is None or other.first < self.first):
            self.first = other.first
        self.count += other.count
        self.nan += other.nan
        self.largest.add(other.largest)
        self.relative.add(other.relative)


def comparable(a: DType, b: DType) -> bool:
    """Whether elements of these dtypes have values to compare: both real, both complex, or just the same."""
    return a is b or (a.is_real and b.is_real) or (a.part is not None and b.part is not None)


def differences(a: Side, b: Side, tolerance: Tolerance, crew: Crew, tile_bytes: int) -> Differences:
    """What differs between two tensors of one shape, whose dtypes are `comparable`. Positions are those in C order."""
    order = a.view.order
    plain = tuple(range(len(a.view.shape)))
    if order is None or order == plain or b.view.order != order:
        order = plain
    pair = _Pair(_walked(a, order), _walked(b, order), tolerance, _positions(a.view.shape, order))
    found: dict[int, Differences] = {}

    def work(tile: Tile, k: Kernels) -> None:
        k.reset()
        found.setdefault(id(k), Differences()).add(pair.tile(tile, k))

    elements = a.view.elements
    size = tile_elements(tile_bytes, max(a.view.itemsize, b.view.itemsize))
    crew.run(tiles(elements, size), work, alone=elements * a.view.itemsize < _ALONE)
    total = Differences()
    for part in found.values():
        total.add(part)
    return total


def _walked(side: Side, order: tuple[int, ...]) -> Side:
    return side._replace(view=side.view.permuted(order))


def _positions(shape: tuple[int, ...], order: tuple[int, ...]) -> Callable[[Array], Array]:
    """From positions in the order in which elements are walked to those in C order."""
    if order == tuple(range(len(shape))):
        return lambda walked: walked
    strides, lengths = row_major(shape), tuple(shape[axis] for axis in order)

    def in_c_order(walked: Array) -> Array:
        places = np.unravel_index(walked, lengths)
        return np.asarray(sum(place * strides[axis] for place, axis in zip(places, order, strict=True)))

    return in_c_order


@dataclass(frozen=True, slots=True)
class _Pair:
    a: Side
    b: Side
    tolerance: Tolerance
    positions: Callable[[Array], Array]

    def tile(self, tile: Tile, k: Kernels) -> Differences:
        raw = [self._read(side, tile, k) for side in (self.a, self.b)]
        alike = self.a.dtype is self.b.dtype and self.a.view.swapped == self.b.view.swapped
        telling = self.tolerance.nan_equal or self.tolerance.bits or not self.a.dtype.compared.is_float
        if alike and telling and _same_bytes(*raw):
            return Differences()
        x, y = (self._elements(side, data, k) for side, data in zip((self.a, self.b), raw, strict=True))
        parts, total = x.size // tile.count, Differences()
        for at in range(0, tile.count, _CHUNK):
            ends = slice(at * parts, (at + _CHUNK) * parts)
            total.add(self._chunk(x[ends], y[ends], tile.start + at, parts))
        return total

    def _read(self, side: Side, tile: Tile, k: Kernels) -> memoryview:
        raw = k.buffer(tile.count * side.view.itemsize)
        read_elements(side.source, side.view, tile.start, tile.stop, raw)
        return raw

    def _elements(self, side: Side, raw: memoryview, k: Kernels) -> Array:
        """The elements as kernels store them; of complex ones the parts."""
        found: Array = k.load(raw, self._seen(side.dtype), swapped=side.view.swapped).data
        return found

    def _seen(self, dtype: DType) -> DType:
        """Bytes of bool are one of two values, unless it is their bits that count; those of opaque dtypes are bytes."""
        bytes_alone = dtype.kind == "opaque" or (dtype.kind == "bool" and self.tolerance.bits)
        return DTYPES["uint8"] if bytes_alone else dtype.compared

    def _chunk(self, x: Array, y: Array, start: int, parts: int) -> Differences:
        kinds = self._seen(self.a.dtype), self._seen(self.b.dtype)
        unequal, one_nan = self._unequal(x, y, *kinds)
        if parts > 1:
            unequal, one_nan = (np.logical_or.reduce(mask.reshape(-1, parts), axis=1) for mask in (unequal, one_nan))
        where = np.flatnonzero(unequal)
        if not where.size:
            return Differences()
        x, y = (data.reshape(-1, parts)[where] for data in (x, y))
        apart, size = _distances(x, y, *kinds)
        at = self.positions(start + where)
        beyond = at if self.tolerance.exact else at[~self._close(apart, size)]
        return Differences(
            count=beyond.size,
            first=int(beyond.min()) if beyond.size else None,
            nan=int(np.count_nonzero(one_nan)),
            largest=_peak(apart, at),
            relative=_peak(apart[size != 0] / size[size != 0], at[size != 0]),
        )

    def _unequal(self, x: Array, y: Array, x_type: DType, y_type: DType) -> tuple[Array, Array]:
        """Where elements are unequal, and where NaN makes them so: it does where just one is NaN, or may not equal."""
        if self.tolerance.bits:
            return x.view(f"u{x.dtype.itemsize}") != y.view(f"u{y.dtype.itemsize}"), np.zeros(x.size, np.bool_)
        equal = np.empty(x.size, np.bool_)
        against(x, x_type, "eq", y, y_type, False, equal)
        if equal.all():
            return ~equal, np.zeros(x.size, np.bool_)
        nans = [_isnan(data, kind) for data, kind in ((x, x_type), (y, y_type))]
        if not self.tolerance.nan_equal:
            return ~equal, nans[0] | nans[1]
        return ~(equal | (nans[0] & nans[1])), nans[0] ^ nans[1]

    def _close(self, apart: Array, size: Array) -> Array:
        """As numpy.isclose: nothing but itself is close to what is not finite."""
        with np.errstate(all="ignore"):
            limit = self.tolerance.atol + (self.tolerance.rtol * size if self.tolerance.rtol else 0.0)
            found: Array = (apart <= limit) & np.isfinite(size)
        return found


def _same_bytes(a: memoryview, b: memoryview) -> bool:
    whole = len(a) // 8 * 8
    x, y = (np.frombuffer(raw[:whole], np.uint64) for raw in (a, b))
    return np.array_equal(x, y) and bytes(a[whole:]) == bytes(b[whole:])


def _isnan(data: Array, kind: DType) -> Array:
    return np.isnan(native(data, kind)) if kind.is_float else np.zeros(data.size, np.bool_)


def _distances(x: Array, y: Array, x_type: DType, y_type: DType) -> tuple[Array, Array]:
    """|x - y| and |y| of elements with their parts along the last axis."""
    apart = distance(x.reshape(-1), x_type, y.reshape(-1), y_type).reshape(x.shape)
    with np.errstate(all="ignore"):
        size = np.abs(native(y.reshape(-1), y_type).astype(np.float64)).reshape(y.shape)
        if x.shape[1] == 1:
            return apart[:, 0], size[:, 0]
        return np.hypot(apart[:, 0], apart[:, 1]), np.hypot(size[:, 0], size[:, 1])


def _peak(values: Array, at: Array) -> Peak:
    """The largest of these that are numbers, and the first of its positions."""
    numbers = values == values
    if not numbers.any():
        return Peak()
    top = values[numbers].max()
    return Peak(top.item(), int(at[numbers & (values == top)].min()))
