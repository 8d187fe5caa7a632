"""NumPy's kernels: the CPU without torch, at the speed of the cache.

No `where`, no boolean indexing in the usual path: they are not vectorised for this and mispredict (about 1000 us for a
MiB of random float32, a bitwise select takes 80). Float formats that NumPy lacks, or computes slowly with, are compared
on their bits.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from threshcli.dtypes import DType, Range
from threshcli.kernels import _numpy_arithmetic as arithmetic
from threshcli.kernels import _numpy_convert as convert
from threshcli.kernels import _numpy_measure as measuring
from threshcli.kernels._arena import Arena, Array
from threshcli.kernels._numpy_compare import against, bits_within
from threshcli.kernels._numpy_complex import NumpyPairs
from threshcli.kernels._numpy_convert import NATIVE, storage
from threshcli.kernels._numpy_tables import Tables
from threshcli.kernels.base import Block, MapCompare, Mask, Operator
from threshcli.stats import Measure
from threshcli.tiles import LEAF

_FEW = 1 << 13  # elements that are counted as soon as it is known whether there are any
_any = np.logical_or.reduce  # the method passes through Python


@lru_cache(maxsize=1024)
def _bounds(dtype: DType, keys: Range, magnitude: bool) -> tuple[Any, Any]:
    """The ends of a range as NumPy scalars to compare with; None where the dtype has nothing beyond the end."""
    limits = dtype.magnitude_keys if magnitude else dtype.keys
    kind = np.dtype(f"u{dtype.itemsize}" if magnitude and not dtype.is_float else storage(dtype)).type
    low = kind(dtype.number(keys.low)) if keys.low > limits.low or keys.low == keys.high else None
    return low, kind(dtype.number(keys.high)) if keys.high < limits.high else None


class NumpyKernels(NumpyPairs):
    """Kernels over NumPy arrays in reused buffers."""

    def __init__(self) -> None:
        self._arena = Arena()
        self._tables = Tables(self._arena)

    def session(self) -> AbstractContextManager[object]:
        return np.errstate(all="ignore")  # NaN and overflow are values here, not warnings

    def scratch(self) -> AbstractContextManager[object]:
        return self._arena.scratch()

    def reset(self) -> None:
        self._arena.reset()

    def buffer(self, nbytes: int) -> memoryview:
        return self._arena.take(nbytes, np.uint8).data

    def load(self, raw: memoryview, dtype: DType, *, swapped: bool = False) -> Block:
        data = np.frombuffer(raw, storage(dtype))
        if swapped and dtype.itemsize > 1:
            data.byteswap(inplace=True)
        if dtype.kind == "bool" and data.size and data.max() > 1:
            np.minimum(data, 1, out=data)
        return Block(data, dtype)

    def store(self, block: Block, *, swapped: bool = False) -> memoryview:
        data: Array = block.data
        if swapped and block.dtype.itemsize > 1:
            bits = data.view(f"u{block.dtype.itemsize}")
            data = self._arena.take(data.size, bits.dtype)
            np.copyto(data, bits)
            data.byteswap(inplace=True)
        return data.view(np.uint8).data

    def elements(self, x: Block) -> int:
        return int(x.data.size)

    def within(self, x: Block, keys: Range, *, magnitude: bool = False) -> Mask:
        out = self._arena.take(x.data.size, np.bool_)
        if keys.empty:
            out[:] = False
            return out
        with self._arena.scratch():
            if x.dtype.is_float and x.dtype not in NATIVE:
                bits_within(x, keys, magnitude, self._arena, out)
            elif magnitude and x.dtype.is_float and 0 < keys.low < keys.high == x.dtype.top:
                self._beyond(x.data, _bounds(x.dtype, keys, magnitude)[0], out)
            else:
                values = self._magnitude(x) if magnitude else x.data
                self._native_within(values, keys, *_bounds(x.dtype, keys, magnitude), out)
        return out

    def _magnitude(self, x: Block) -> Array:
        """abs(x): for floats by the sign bit, for integers as unsigned."""
        bits: Array = x.data.view(f"u{x.dtype.itemsize}")
        if x.dtype.kind in ("uint", "bool"):
            return bits
        out = self._arena.take(bits.size, bits.dtype)
        if x.dtype.is_float:
            np.bitwise_and(bits, bits.dtype.type(x.dtype.sign - 1), out=out)
            return out.view(x.data.dtype)
        np.abs(x.data, out=out.view(x.data.dtype))
        return out

    def _beyond(self, values: Array, low: Any, out: Array) -> None:
        """abs(values) >= low > 0: two comparisons touch less memory than abs(values) and one."""
        other = self._arena.take(out.size, np.bool_)
        np.greater_equal(values, low, out=out)
        np.logical_or(out, np.less_equal(values, -low, out=other), out=out)

    def _native_within(self, values: Array, keys: Range, low: Any, high: Any, out: Array) -> None:
        if keys.low == keys.high:
            np.equal(values, low, out=out)
        elif low is not None:
            np.greater_equal(values, low, out=out)
            if high is not None:
                other = self._arena.take(out.size, np.bool_)
                np.logical_and(out, np.less_equal(values, high, out=other), out=out)
        elif high is not None:
            np.less_equal(values, high, out=out)
        elif values.dtype.kind == "f":
            np.equal(values, values, out=out)
        else:
            out[:] = True

    def against(self, x: Block, compare: MapCompare, other: Block, *, magnitude: bool = False) -> Mask:
        out = self._arena.take(x.data.size, np.bool_)
        against(x.data, x.dtype, compare, other.data, other.dtype, magnitude, out)
        return out

    def isnan(self, x: Block) -> Mask:
        return measuring.isnan(x.data, x.dtype, self._arena)

    def invert(self, mask: Mask) -> Mask:
        return np.logical_not(mask, out=self._arena.take(mask.size, np.bool_))

    def both(self, a: Mask, b: Mask) -> Mask:
        return np.logical_and(a, b, out=self._arena.take(a.size, np.bool_))

    def count(self, mask: Mask) -> int:
        if mask.size > _FEW and not _any(mask):
            return 0  # of rare things there are none, mostly
        return int(np.count_nonzero(mask))

    def first(self, mask: Mask) -> int | None:
        index = int(np.argmax(mask)) if mask.size else 0
        return index if mask.size and mask[index] else None

    def select(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        out = self._arena.take(mask.size, f"u{dtype.itemsize}")
        with self._arena.scratch():
            self._select(mask, a, b, dtype, out)
        return Block(out.view(storage(dtype)), dtype)

    def _select(self, mask: Array, a: Block | int, b: Block | int, dtype: DType, out: Array) -> None:
        """b ^ ((a ^ b) * m), m being 1 where the mask holds, else 0, and shorter forms where a or b is constant.
        Multiplying integers by 0 or 1 moves bits, and needs no mask as wide as the elements to be made of ones."""
        kind = out.dtype.type
        if (a, b) == (1, 0):
            np.copyto(out, mask.view(np.uint8))
            return
        if isinstance(a, int) and b == 0 and dtype in NATIVE and a == _one(dtype):
            np.copyto(out.view(storage(dtype)), mask)  # a cast from bool is one vectorised pass
            return
        if isinstance(a, int) and a == 0:
            mask = np.logical_not(mask, out=self._arena.take(mask.size, np.bool_))
            a, b = b, a
        ones: Array = mask.view(np.uint8)
        if kind is not np.uint8:
            np.copyto(out, ones)
            ones = out
        first, second = _bits(a, kind), _bits(b, kind)
        if isinstance(b, int) and b == 0:
            np.multiply(ones, first, out=out)
            return
        if isinstance(a, int) and isinstance(b, int):
            np.multiply(ones, first ^ second, out=out)
        else:
            difference = np.bitwise_xor(first, second, out=self._arena.take(out.size, out.dtype))
            np.multiply(ones, difference, out=out)
        np.bitwise_xor(out, second, out=out)

    def keep(self, x: Block, mask: Mask) -> None:
        """Make zero of what the mask does not hold, where it lies: a block that was loaded changes what it was loaded
        from. No other kernels have this, which saves a copy of what is in memory anyway."""
        with self._arena.scratch():
            bits: Array = x.data.view(f"u{x.dtype.itemsize}")
            wide = self._arena.take(bits.size, bits.dtype)
            np.copyto(wide, mask.view(np.uint8))
            np.multiply(bits, wide, out=bits)

    def put(self, block: Block, mask: Mask, code: int) -> None:
        with self._arena.scratch():
            bits: Array = block.data.view(f"u{block.dtype.itemsize}")
            wide, other = (self._arena.take(bits.size, bits.dtype) for _ in range(2))
            np.copyto(wide, mask.view(np.uint8))
            np.bitwise_xor(bits, bits.dtype.type(code), out=other)
            np.multiply(wide, other, out=wide)
            np.bitwise_xor(bits, wide, out=bits)

    def cast(self, x: Block, dtype: DType) -> Block:
        return x if x.dtype is dtype else Block(convert.cast(x.data, x.dtype, dtype), dtype)

    def limit(self, cut: Block, dtype: DType, *, up: bool) -> Block:
        return Block(convert.limit(cut.data, cut.dtype, dtype, up=up), dtype)

    def calculate(self, a: Block | int, operator: Operator, b: Block | int, *, into: Block | None = None) -> Block:
        return arithmetic.calculated(a, operator, b, into, self._arena)

    def clip(self, x: Block, limit: Block | int) -> Block:
        return arithmetic.clipped(x, limit, self._arena)

    def each(self, x: Block, make: Callable[[Block], Block], key: Hashable) -> Block:
        return self._tables.looked_up(x, make, key) if self._tables.serve(x) else make(x)

    def measure(self, x: Block, *, moments: bool = False, precise: bool = True) -> Measure:
        found = measuring.extremes(x.data, x.dtype, self._arena)
        zeros = 0
        if found.low is not None and found.high is not None and found.low <= 0 <= found.high:
            zeros = self.zeros(x)
        if not moments:
            return Measure(*found, zeros)
        return Measure(*found, zeros, *self.moments(x, clean=not (found.nan or found.inf), precise=precise))

    def measures(self, x: Block, many: int) -> list[Measure]:
        if many == 1:
            return [self.measure(x)]
        if x.dtype not in NATIVE:
            return super().measures(x, many)
        ends = measuring.ends(x.data.reshape(many, -1), zeros=self.zeros(x) > 0)
        each = zip(x.parts(many), ends, strict=True)
        return [self.measure(part) if end is None else Measure(*end, 0, 0, 0) for part, end in each]

    def zeros(self, x: Block) -> int:
        if not x.dtype.signed:
            return 0
        with self._arena.scratch():
            if x.dtype in NATIVE:
                return self.count(np.equal(x.data, 0, out=self._arena.take(x.data.size, np.bool_)))
            return measuring.zero_bits(x.data, x.dtype, self._arena)

    def moments(self, x: Block, *, clean: bool, precise: bool, sums: bool = True) -> tuple[list[float], list[float]]:
        return measuring.moments(x.data, x.dtype, clean, self._arena, precise, sums)

    def moments_of(
        self, x: Block, many: int, *, clean: bool, precise: bool, sums: bool = True
    ) -> list[tuple[list[float], list[float]]]:
        if many == 1:
            return [self.moments(x, clean=clean, precise=precise, sums=sums)]
        if not precise or x.data.size > many * LEAF or measuring.is_looked_up(x.dtype):
            return super().moments_of(x, many, clean=clean, precise=precise, sums=sums)
        found = measuring.exact(x.data.reshape(many, -1), x.dtype, clean, sums)
        return [([own], [square]) for own, square in zip(*found, strict=True)]

    def changed(self, x: Block, y: Block, nan: int) -> int:
        if x.dtype is not y.dtype or not x.dtype.is_float or x.dtype in NATIVE:
            return super().changed(x, y, nan)
        with self._arena.scratch():  # on the bits: equal, or zeros of both signs, or NaN
            equal = np.equal(x.data, y.data, out=self._arena.take(x.data.size, np.bool_))
            if x.dtype.negative_zero:
                union = np.bitwise_or(x.data, y.data, out=self._arena.take(x.data.size, x.data.dtype))
                zeros = np.equal(union, x.dtype.sign, out=self._arena.take(x.data.size, np.bool_))
                np.logical_or(equal, zeros, out=equal)
            if nan:
                np.logical_or(equal, self.both(self.isnan(x), self.isnan(y)), out=equal)
            return int(x.data.size - np.count_nonzero(equal))


@lru_cache(maxsize=64)
def _one(dtype: DType) -> int | None:
    return dtype.encode(Fraction(1))


def _bits(value: Block | int, kind: Any) -> Any:
    return kind(value) if isinstance(value, int) else value.data.view(kind)
