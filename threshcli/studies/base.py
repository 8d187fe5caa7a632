"""The contract of studies: how anything is worked out from values in passes over tiles, in bounded memory.

A *population* is a row of elements: a tensor, a slice of one, a file, all files of a call; positions count from 0 in
the order (file, tensor, flat index). A *fold* is one pass: it makes a small state of each stretch of the population,
and states add up, in any order, to the same state bit for bit. A *study* is a generator that yields folds and is sent
the state of each over the whole population, until it returns its answer:

    def spread() -> Study[float]:
        found = yield Extremes(VALUE)
        return found.high - found.low

so that parts of studies are put together with `yield from`. Who runs studies reads each stretch once for all folds
that are due at the same time, with as many workers as there are; a state is small, holds no reference to the data, and
can be pickled, so that another machine may send its own. Folds keep nothing: the same one serves all workers at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from threshcli.dtypes import DTYPES, FLOAT64, DType
from threshcli.errors import InputError
from threshcli.kernels import _numpy_complex as pairs
from threshcli.kernels._numpy_convert import native

Array = npt.NDArray[Any]
Room = Callable[[int, Any], Array]
"""Makes an array of so many elements of a NumPy dtype, whatever is in it."""
S = TypeVar("S")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Lens:
    """How elements are looked at: as they are, by magnitude, or by their distance from a centre (in float64). Complex
    elements are their magnitudes, whatever the lens, unless it shows a `part`: 0 the real, 1 the imaginary one."""

    magnitude: bool = False
    centre: float | None = None
    part: int | None = None

    def dtype(self, dtype: DType) -> DType:
        """The dtype of what is seen of elements of `dtype`: magnitudes of integers are unsigned, abs(-128) is 128."""
        if self.centre is not None:
            return FLOAT64
        dtype = dtype.compared
        if self.magnitude and dtype.kind == "int":
            return DTYPES[f"uint{dtype.bits}"]
        return dtype

    def see(self, data: Array, dtype: DType, room: Room = np.empty) -> Array:
        """Elements as they are stored (NumPy's own dtype for float32/64 and integers, unsigned bits for the narrow
        float formats and bool), seen through the lens, stored as `self.dtype(dtype)` is. `room` makes new arrays.
        Complex ones, as `_numpy_complex.elements` has them, come with the dtype of their parts."""
        if pairs.is_complex(data):
            return self._of_pairs(pairs.parts_of(data, dtype), dtype, room)
        if self.centre is not None:
            with np.errstate(all="ignore"):  # a signalling NaN, a distance beyond float64
                distance = room(data.size, np.float64)
                np.copyto(distance, native(data, dtype), casting="unsafe")
                distance -= self.centre
                return np.abs(distance, out=distance)
        if not self.magnitude or dtype.kind in ("uint", "bool") or not dtype.signed:
            return data
        if dtype.kind == "int":
            return np.abs(data, out=room(data.size, data.dtype)).view(f"u{dtype.itemsize}")
        if not dtype.negative_zero:  # the sign bit alone is the NaN of these formats: it stays
            return np.where(data == dtype.nan, data, data & (dtype.sign - 1)).astype(data.dtype)
        bits = data.view(f"u{dtype.itemsize}")
        found: Array = np.bitwise_and(bits, bits.dtype.type(dtype.sign - 1), out=room(bits.size, bits.dtype))
        return found.view(data.dtype)

    def _of_pairs(self, parts: Array, dtype: DType, room: Room) -> Array:
        """What is seen of complex elements; a part is NaN where the magnitude is not finite."""
        found = pairs.magnitudes(parts, dtype, room(parts.size // 2, parts.dtype))
        if self.part is not None:
            unusable = ~np.isfinite(native(found, dtype))
            found[:] = parts[self.part :: 2]
            found.view(f"u{dtype.itemsize}")[unusable] = dtype.nan
        return replace(self, part=None).see(found, dtype, room)


VALUE, MAGNITUDE = Lens(), Lens(magnitude=True)


class Sample:
    """A stretch of a population: the elements from position `start` on, of which `mask` (all, if None) belong to it.
    Who has buffers to use again lends them as `room`: new arrays of this size are dear."""

    def __init__(self, data: Array, dtype: DType, start: int, mask: Array | None = None, room: Room = np.empty) -> None:
        self.start, self.count, self.mask = start, data.size, mask
        self._data, self._dtype, self._room = data, dtype, room
        self._seen: dict[Lens, Array] = {}

    def whole(self, lens: Lens) -> Array:
        """All elements of the stretch, seen through a lens, whether or not they belong to the population."""
        if lens not in self._seen:
            self._seen[lens] = lens.see(self._data, self._dtype, self._room)
        return self._seen[lens]

    def seen(self, lens: Lens) -> tuple[Array, DType]:
        """The elements of the population seen through a lens, NaN included, and their dtype."""
        found = self.whole(lens)
        return found if self.mask is None else found[self.mask], lens.dtype(self._dtype)


class Fold(ABC, Generic[S]):
    """One pass over a population; see the top of this module. Subclasses are frozen dataclasses."""

    @abstractmethod
    def fold(self, sample: Sample) -> S:
        """The state of one stretch. Every stretch but the last of a tensor is a multiple of LEAF elements and begins
        at a multiple of LEAF in its tensor, unless `stretches` asked for others."""

    @abstractmethod
    def add(self, a: S, b: S) -> S:
        """The state of both; may alter and return `a`."""

    @abstractmethod
    def nothing(self, dtype: DType) -> S:
        """The state of a population without elements, of this dtype (before any lens)."""

    def stretches(self, elements: int) -> Iterable[tuple[int, int]] | None:
        """The stretches [start, stop) of a population of so many elements that are to be read; None for all of it."""
        return None


Study = Generator[Fold[Any], Any, A]
"""A question: yields folds, is sent their states, returns its answer."""


def tried(study: Study[A]) -> Study[A | InputError]:
    """The answer, or why there is none, so that other studies go on."""
    try:
        return (yield from study)
    except InputError as error:
        return error


Stretches = Iterable[tuple[int, int]] | None
"""Positions [start, stop) that a pass is to read; None for all."""


def answer_of(study: Study[A], look: Callable[[Fold[Any]], Any]) -> A:
    """The answer of a study, where `look` gives the state of a fold over the whole population."""
    state: Any = None
    try:
        while True:
            state = look(study.send(state))
    except StopIteration as ended:
        answer: A = ended.value
        return answer


def passed(fold: Fold[S], dtype: DType, elements: int, samples: Callable[[Stretches], Iterable[Sample]]) -> S:
    """The state of a fold over so many elements, of which `samples` gives those that it asks for."""
    state = fold.nothing(dtype)
    for sample in samples(fold.stretches(elements)):
        state = fold.add(state, fold.fold(sample))
    return state


def run_in_memory(study: Study[A], data: Array, dtype: DType, mask: Array | None = None) -> A:
    """The answer of a study to elements in memory (flat, stored as `Lens.see` says)."""

    def samples(ends: Stretches) -> Iterable[Sample]:
        for start, stop in [(0, data.size)] if ends is None else ends:
            part = None if mask is None else mask[start:stop]
            yield Sample(data[start:stop], dtype, start, part)

    return answer_of(study, lambda fold: passed(fold, dtype, data.size, samples))
