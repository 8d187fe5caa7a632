"""Complex elements with NumPy: parts in a row, magnitudes, choices between pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from threshcli.dtypes import DTYPES, FLOAT64, DType
from threshcli.kernels import _magnitudes as size
from threshcli.kernels import _numpy_convert as convert
from threshcli.kernels._arena import Arena, Array
from threshcli.kernels.base import Block, Kernels, Mask

_CHUNK = 1 << 14
"""Elements whose magnitudes are worked out at once: what is in between stays in the cache."""


def elements(parts: Array, dtype: DType) -> Array:
    """Parts as elements that can be indexed: NumPy's own, or (complex32) 4 bytes each."""
    return parts.view(np.dtype((np.void, 4)) if dtype.itemsize == 4 else np.dtype(dtype.name))


def is_complex(data: Array) -> bool:
    """Whether an array holds such elements."""
    return data.dtype.kind in "cV"


def parts_of(data: Array, dtype: DType) -> Array:
    """The parts of such elements in a row, as they are stored; `dtype` is theirs."""
    return np.ascontiguousarray(data).view(convert.storage(dtype))


def magnitudes(parts: Array, dtype: DType, out: Array) -> Array:
    """abs(x) from parts of this type in a row, into `out`, stored as that type is."""
    with np.errstate(all="ignore"):
        for start in range(0, out.size, _CHUNK):
            chunk = parts[2 * start : 2 * (start + _CHUNK)]
            target = out[start : start + _CHUNK]
            found = _wide(chunk) if dtype is FLOAT64 else _narrow(chunk, dtype)
            if not found.max() < np.inf:  # an infinity, a NaN, or too large a sum
                _settle_infinities(found, chunk, dtype)
            target[:] = found if dtype is FLOAT64 else convert.cast(found, FLOAT64, dtype)
    return out


def _narrow(parts: Array, dtype: DType) -> Array:
    wide = convert.native(parts, dtype).astype(np.float64)
    found: Array = size.narrow(wide[0::2], wide[1::2], np)
    return found


def _wide(parts: Array) -> Array:
    real, imaginary = parts[0::2], parts[1::2]
    peak = np.maximum(np.abs(real), np.abs(imaginary))
    found: Array = (size.scaled if size.needs_scaling(peak) else size.usual)(real, imaginary, np)
    return found


def _settle_infinities(found: Array, parts: Array, dtype: DType) -> None:
    """An infinite part makes an infinite magnitude."""
    infinite = np.isinf(convert.native(parts, dtype))
    found[infinite[0::2] | infinite[1::2]] = np.inf


class NumpyPairs(Kernels):
    """What `NumpyKernels` do with complex elements."""

    _arena: Arena

    def magnitudes(self, x: Block) -> Block:
        part = x.dtype.compared
        return Block(magnitudes(x.data, part, self._arena.take(x.data.size // 2, convert.storage(part))), part)

    def split(self, x: Block) -> tuple[Block, Block]:
        return Block(x.data[0::2], x.dtype.compared), Block(x.data[1::2], x.dtype.compared)

    def join(self, real: Block, imaginary: Block, dtype: DType) -> Block:
        out = self._arena.take(2 * real.data.size, convert.storage(dtype))
        out[0::2], out[1::2] = real.data, imaginary.data
        return Block(out, dtype)

    def choose(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        """Elements of up to 64 bits are as easily chosen as integers; of wider ones each part."""
        kind = DTYPES.get(f"uint{dtype.bits}")
        if kind is not None:
            made = self.select(mask, _as(a, kind), _as(b, kind), kind)
            return Block(made.data.view(convert.storage(dtype)), dtype)
        twice = self._arena.take(mask.size, np.uint16)
        np.multiply(mask.view(np.uint8), np.uint16(0x0101), out=twice)
        part = dtype.compared
        first, second = (self._parts(value, mask.size, dtype) for value in (a, b))
        return Block(self.select(twice.view(np.bool_), first, second, part).data, dtype)

    def _parts(self, value: Block | int, count: int, dtype: DType) -> Block | int:
        """An operand as parts in a row; a number that is not 0 has one part that is."""
        part = dtype.compared
        if isinstance(value, Block):
            return Block(value.data, part)
        if not value:
            return 0
        out = self._arena.take(2 * count, convert.storage(part))
        out[0::2], out[1::2] = np.array([value], f"u{part.itemsize}").view(out.dtype)[0], 0
        return Block(out, part)


def _as(value: Block | int, kind: DType) -> Any:
    return value if isinstance(value, int) else Block(value.data.view(convert.storage(kind)), kind)
