"""Where elements are that no calculation survives: NaN and infinities, counted, and the first of each found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from threshcli.dtypes import DType
from threshcli.kernels._numpy_convert import NATIVE
from threshcli.studies.base import VALUE, Array, Fold, Sample, Study

_CHUNK = 1 << 16
"""Elements that are looked at once: they stay in the cache from the first glance to the second."""


@dataclass(slots=True)
class Found:
    """How many elements of a kind there are, and the position of the first."""

    count: int = 0
    first: int | None = None

    def add(self, other: Found) -> None:
        if other.first is not None and (self.first is None or other.first < self.first):
            self.first = other.first
        self.count += other.count


@dataclass(slots=True)
class Unsound:
    """What was found of either kind."""

    nan: Found = field(default_factory=Found)
    inf: Found = field(default_factory=Found)

    def add(self, other: Unsound) -> None:
        self.nan.add(other.nan)
        self.inf.add(other.inf)


@dataclass(frozen=True, slots=True)
class _Looking(Fold[Unsound]):
    parts: int

    def fold(self, sample: Sample) -> Unsound:
        found = Unsound()
        data, dtype = sample.seen(VALUE)
        for at in range(0, data.size if dtype.is_float else 0, _CHUNK):
            chunk = data[at : at + _CHUNK]
            if not _sound(chunk, dtype):
                for kind, mask in zip((found.nan, found.inf), _masks(chunk, dtype), strict=True):
                    kind.add(_where(mask, sample.start + at, self.parts))
        return found

    def add(self, a: Unsound, b: Unsound) -> Unsound:
        a.add(b)
        return a

    def nothing(self, dtype: DType) -> Unsound:
        return Unsound()


@dataclass(frozen=True, slots=True)
class _Above(Fold[Found]):
    code: int

    def fold(self, sample: Sample) -> Found:
        data, _ = sample.seen(VALUE)
        return _where(data > self.code, sample.start, 1)

    def add(self, a: Found, b: Found) -> Found:
        a.add(b)
        return a

    def nothing(self, dtype: DType) -> Found:
        return Found()


def unsound(parts: int = 1) -> Study[Unsound]:
    """The NaN and infinities among real elements, of which so many `parts` in a row are one; in one pass."""
    found: Unsound = yield _Looking(parts)
    return found


def above(code: int) -> Study[Found]:
    """The elements above this one; in one pass."""
    found: Found = yield _Above(code)
    return found


def _magnitudes(bits: Array, dtype: DType) -> Array:
    return bits & bits.dtype.type(dtype.sign - 1) if dtype.sign else bits


def _sound(values: Array, dtype: DType) -> bool:
    """Whether a glance (extremes take a fraction of the time that masks do) shows that all are finite."""
    if dtype in NATIVE:
        return bool(np.isfinite(values.min()) and np.isfinite(values.max()))
    if dtype.signed and not dtype.negative_zero:  # NaN is the sign bit alone
        return not (values == dtype.nan).any()
    return bool(_magnitudes(values, dtype).max() <= dtype.top - dtype.infinite)


def _masks(values: Array, dtype: DType) -> Iterator[Array]:
    """Where NaN are, and where infinities."""
    bits: Array = values.view(f"u{dtype.itemsize}")
    sizes = _magnitudes(bits, dtype)
    yield np.equal(bits, dtype.nan) if dtype.signed and not dtype.negative_zero else np.greater(sizes, dtype.top)
    yield np.equal(sizes, dtype.top) if dtype.infinite else np.zeros(bits.size, np.bool_)


def _where(mask: Array, start: int, parts: int) -> Found:
    """The elements of a mask, the first part of which is at `start`."""
    if parts > 1:
        mask = np.logical_or.reduce(mask.reshape(-1, parts), axis=1)
    count = int(np.count_nonzero(mask))
    return Found(count, start // parts + int(mask.argmax()) if count else None)
