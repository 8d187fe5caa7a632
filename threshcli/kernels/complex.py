"""Kernels for complex elements, over those for real ones: all that compares and counts looks at magnitudes.

A complex block holds the parts, two in a row, as kernels for real elements hold them. What is asked of one is asked of
its magnitudes, a real block that is worked out once, or of its parts; what is asked of real blocks (maps, what a rule
calculates with) goes to the other kernels as it is. An element is NaN or infinite if its magnitude is.

These kernels serve one tile, and cost nothing where all is real: `fitting` is asked for a dtype.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from threshcli.dtypes import Compare, DType, Range
from threshcli.kernels.base import Block, Cut, Kernels, MapCompare, Mask, Operator
from threshcli.stats import Measure


def fitting(kernels: Kernels, dtype: DType) -> Kernels:
    """The kernels to use for a tile whose elements are of this dtype."""
    return kernels if dtype.part is None else ComplexKernels(kernels)


class ComplexKernels(Kernels):
    """Kernels of a tile of complex elements; see the top of this module."""

    def __init__(self, real: Kernels) -> None:
        self._real = real
        self._known: dict[int, tuple[Any, Block]] = {}

    def reset(self) -> None:
        self._known.clear()
        self._real.reset()

    def session(self) -> AbstractContextManager[object]:
        return self._real.session()

    @contextmanager
    def scratch(self) -> Iterator[None]:
        before = dict(self._known)
        with self._real.scratch():
            yield
        self._known = before

    def magnitudes(self, x: Block) -> Block:
        if id(x.data) not in self._known:
            self._known[id(x.data)] = x.data, self._real.magnitudes(x)  # the data are kept, and with them their id
        return self._known[id(x.data)][1]

    def seen(self, x: Block) -> Block:
        return x if x.dtype.part is None else self.magnitudes(x)

    def buffer(self, nbytes: int) -> memoryview:
        return self._real.buffer(nbytes)

    def load(self, raw: memoryview, dtype: DType, *, swapped: bool = False) -> Block:
        return self._real.load(raw, dtype.compared, swapped=swapped)._replace(dtype=dtype)

    def store(self, block: Block, *, swapped: bool = False) -> memoryview:
        return self._real.store(block._replace(dtype=block.dtype.compared), swapped=swapped)

    def within(self, x: Block, keys: Range, *, magnitude: bool = False) -> Mask:
        return self._real.within(self.seen(x), keys, magnitude=magnitude)

    def against(self, x: Block, compare: MapCompare, other: Block, *, magnitude: bool = False) -> Mask:
        return self._real.against(self.seen(x), compare, other, magnitude=magnitude)

    def compare(self, x: Block, compare: Compare, cut: Cut, *, magnitude: bool = False) -> Mask:
        """Magnitudes need not have theirs taken again."""
        return self._real.compare(self.seen(x), compare, cut, magnitude=magnitude and x.dtype.part is None)

    def isnan(self, x: Block) -> Mask:
        return self._real.isnan(self.seen(x))

    def invert(self, mask: Mask) -> Mask:
        return self._real.invert(mask)

    def both(self, a: Mask, b: Mask) -> Mask:
        return self._real.both(a, b)

    def count(self, mask: Mask) -> int:
        return self._real.count(mask)

    def first(self, mask: Mask) -> int | None:
        return self._real.first(mask)

    def everywhere(self, mask: Mask) -> bool:
        return self._real.everywhere(mask)

    def select(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        return self._real.select(mask, a, b, dtype) if dtype.part is None else self._real.choose(mask, a, b, dtype)

    def put(self, block: Block, mask: Mask, code: int) -> None:
        self._real.put(block, mask, code)

    def choose(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        return self._real.choose(mask, a, b, dtype)

    def split(self, x: Block) -> tuple[Block, Block]:
        return self._real.split(x)

    def join(self, real: Block, imaginary: Block, dtype: DType) -> Block:
        return self._real.join(real, imaginary, dtype)

    def cast(self, x: Block, dtype: DType) -> Block:
        if x.dtype.part is None or x.dtype is dtype:
            return self._real.cast(x, dtype)
        return self._real.cast(x._replace(dtype=x.dtype.part), dtype.compared)._replace(dtype=dtype)

    def limit(self, cut: Block, dtype: DType, *, up: bool) -> Block:
        return self._real.limit(cut, dtype, up=up)

    def bound(self, cut: Cut, dtype: DType, *, up: bool) -> Block | int:
        return self._real.bound(cut, dtype, up=up)

    def calculate(self, a: Block | int, operator: Operator, b: Block | int, *, into: Block | None = None) -> Block:
        return self._real.calculate(a, operator, b, into=into)

    def clip(self, x: Block, limit: Block | int) -> Block:
        return self._real.clip(x, limit)

    def measure(self, x: Block, *, moments: bool = False, precise: bool = True) -> Measure:
        return self._real.measure(self.seen(x), moments=moments, precise=precise)

    def zeros(self, x: Block) -> int:
        if x.dtype.part is None:
            return self._real.zeros(x)
        return self.count(self.both(*(self._real.within(part, Range(0, 0)) for part in self.split(x))))

    def moments(self, x: Block, *, clean: bool, precise: bool, sums: bool = True) -> tuple[list[float], list[float]]:
        """The squares of parts add up to those of magnitudes, and need no roots."""
        if x.dtype.part is None:
            return self._real.moments(x, clean=clean, precise=precise, sums=sums)
        usable = x
        if not clean:
            finite = self._real.within(self.seen(x), Range(0, x.dtype.part.top - 1))
            usable = self.choose(finite, x, 0, x.dtype)
        parts = usable._replace(dtype=x.dtype.part)
        _, squares = self._real.moments(parts, clean=True, precise=precise, sums=False)
        found = self._real.moments(self.seen(x), clean=clean, precise=precise)[0] if sums else []
        return found, squares

    def changed(self, x: Block, y: Block, nan: int) -> int:
        """Parts differ by themselves; that of an infinite element may be NaN, so `nan` does not say that none is."""
        if x.dtype.part is None or y.dtype.part is None:
            return self._real.changed(self.seen(x), self.seen(y), nan)
        real, imaginary = (self._same(*pair) for pair in zip(self.split(x), self.split(y), strict=True))
        return self.count(self.invert(self.both(real, imaginary)))

    def _same(self, a: Block, b: Block) -> Mask:
        """Where two parts have one value, or both are NaN."""
        k = self._real
        differ, nan = k.invert(k.against(a, "eq", b)), k.both(k.isnan(a), k.isnan(b))
        return k.invert(k.both(differ, k.invert(nan)))

    def elements(self, x: Block) -> int:
        return self._real.elements(x) // (1 if x.dtype.part is None else 2)
