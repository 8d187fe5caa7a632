"""What one pass over a tile tells, with NumPy: extremes, counts, sums.

The extremes come first since they make the rest cheap: a minimum that is not NaN shows that there is none, finite
extremes that there is no infinity, extremes of one sign that there is no zero.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from threshcli.dtypes import BFLOAT16, FLOAT16, DType
from threshcli.kernels._arena import Arena, Array
from threshcli.kernels._numpy_convert import NATIVE, native
from threshcli.kernels._numpy_words import PAIR, every_word, look_up
from threshcli.tiles import LEAF

_RUN = {True: 1024, False: 256}  # squares (of floats or not) that float32 adds up before float64 takes over: 256 of
# 8-bit integers are exact; of floats BLAS keeps many sums side by side, which leaves about 1e-7
_TOGETHER = 2  # leaves that are converted at once: 512 KiB of float32 stay in the cache
_SAFE = (1e-30, 1e36)  # sums of squares of a leaf outside are taken again in float64: float32 might have lost them


_least, _greatest, _total = np.minimum.reduce, np.maximum.reduce, np.add.reduce  # methods pass through Python for these


class Extremes(NamedTuple):
    """Smallest and largest value but NaN (None if there is none), and how many NaN and infinities there are."""

    low: float | int | None
    high: float | int | None
    nan: int
    inf: int


def extremes(data: Array, dtype: DType, arena: Arena) -> Extremes:
    """The extremes of an array."""
    if not data.size:
        return Extremes(None, None, 0, 0)
    if dtype in NATIVE:
        return _native_extremes(data)
    if dtype.is_float:
        with arena.scratch():
            return _bit_extremes(data, dtype, arena)
    return Extremes(int(_least(data)), int(_greatest(data)), 0, 0)


def _native_extremes(data: Array) -> Extremes:
    low, high = float(_least(data)), float(_greatest(data))  # both are NaN if any element is
    nan = 0
    if low != low:
        nan = int(np.count_nonzero(data != data))
        if nan == data.size:
            return Extremes(None, None, nan, 0)
        usable = data[data == data]  # not fmin: it makes a signalling NaN the result
        low, high = float(usable.min()), float(usable.max())
    infinite = low == -np.inf or high == np.inf
    return Extremes(low, high, nan, int(np.count_nonzero(np.isinf(data))) if infinite else 0)


def ends(rows: Array, *, zeros: bool) -> list[tuple[float, float] | None]:
    """The extremes of each row of floats; None where there may be more to tell: where one is NaN or infinite, or where
    there may be `zeros` between them."""
    low, high = _least(rows, axis=1), _greatest(rows, axis=1)
    plain = (low > -np.inf) & (high < np.inf)
    if zeros:
        plain &= (low > 0) | (high < 0)
    each = zip(low.tolist(), high.tolist(), plain.tolist(), strict=True)
    return [(least, greatest) if known else None for least, greatest, known in each]


def _bit_extremes(data: Array, dtype: DType, arena: Arena) -> Extremes:
    """Extremes of a narrow format from extremes of its bits: as signed integers the largest is the largest positive
    value, as unsigned ones the largest is the most negative value; NaN lies beyond either."""
    sign, top = dtype.sign, dtype.top
    largest = int(_greatest(data))
    if not sign:
        positive, negative = largest, 0
    else:
        signed = int(_greatest(data.view(f"i{dtype.itemsize}")))
        positive = signed if signed >= 0 else -1
        negative = largest - sign if largest >= sign else -1
    odd = not dtype.negative_zero and sign and negative >= 0 and bool(np.any(data == sign))
    if positive > top or negative > top or odd:
        return _bit_extremes_with_nan(data, dtype, arena)
    smallest = 0 if positive >= 0 and negative >= 0 and sign else int(data.min())
    high = positive if positive >= 0 else sign - smallest
    low = -negative if negative >= 0 and sign else smallest
    found = 0
    if dtype.infinite and (high == top or low == -top):
        found = int(np.count_nonzero(data & (sign - 1) == top))
    return Extremes(dtype.number(low), dtype.number(high), 0, found)


def _bit_extremes_with_nan(data: Array, dtype: DType, arena: Arena) -> Extremes:
    """Extremes where one of the others takes the place of every NaN: to pick them out costs more."""
    mask = isnan(data, dtype, arena)
    nan, at = int(np.count_nonzero(mask)), int(np.argmin(mask))
    if nan == data.size:
        return Extremes(None, None, nan, 0)
    usable = np.bitwise_xor(data, data[at], out=arena.take(data.size, data.dtype.str))
    np.multiply(usable, mask.view(np.uint8), out=usable)
    np.bitwise_xor(usable, data, out=usable)
    found = _bit_extremes(usable, dtype, arena)
    more = nan if dtype.infinite and data[at] & (dtype.sign - 1) == dtype.top else 0
    return found._replace(nan=nan, inf=found.inf - more)


def zero_bits(data: Array, dtype: DType, arena: Arena) -> int:
    """How many elements of an integer or a narrow format, that is signed, are zero."""
    if not dtype.negative_zero:
        return int(data.size - np.count_nonzero(data))
    negative = data.view(f"i{dtype.itemsize}")
    if data.size and _least(data) > 0 and _least(negative) > -dtype.sign:  # neither zero: two passes that write nothing
        return 0
    rest = arena.take(data.size, f"u{dtype.itemsize}")
    np.bitwise_and(data, data.dtype.type(dtype.sign - 1), out=rest)
    return int(data.size - np.count_nonzero(rest))


def isnan(data: Array, dtype: DType, arena: Arena) -> Array:
    """Where the elements are NaN."""
    out = arena.take(data.size, np.bool_)
    if dtype in NATIVE:
        np.isnan(data, out=out)
    elif not dtype.is_float:
        out[:] = False
    elif not dtype.negative_zero:
        np.equal(data, dtype.nan, out=out)
    else:
        with arena.scratch():
            magnitudes = np.bitwise_and(data, dtype.sign - 1, out=arena.take(data.size, data.dtype.str))
            np.greater(magnitudes, dtype.top, out=out)
    return out


def moments(
    data: Array, dtype: DType, clean: bool, arena: Arena, precise: bool, sums_wanted: bool
) -> tuple[list[float], list[float]]:
    """For each leaf the sum of the finite values (0 unless wanted), and of their squares."""
    if is_looked_up(dtype):
        squares = _looked_up(data, _pair_sums(dtype, 2), dtype, arena)
        return _looked_up(data, _pair_sums(dtype, 1), dtype, arena) if sums_wanted else [0.0] * len(squares), squares
    whole = data.size // LEAF * LEAF if clean and not precise else 0
    if dtype in NATIVE and whole:  # what needs no conversion is summed at once
        sums, squares = _quick(data[:whole], dtype, arena, sums_wanted)
    else:
        sums, squares = [], []
        for start in range(0, whole, _TOGETHER * LEAF):
            with arena.scratch():
                found = _quick(data[start : min(start + _TOGETHER * LEAF, whole)], dtype, arena, sums_wanted)
            sums += found[0]
            squares += found[1]
    if squares and whole == data.size and _SAFE[0] < min(squares) and max(squares) < _SAFE[1]:
        return sums, squares
    for start in range(0, data.size, LEAF):
        number = start // LEAF
        if start >= whole or not _is_safe(squares[number], dtype):
            leaf = data[start : start + LEAF].reshape(1, -1)
            sums[number : number + 1], squares[number : number + 1] = exact(leaf, dtype, clean, sums_wanted)
    return sums, squares


def is_looked_up(dtype: DType) -> bool:
    """Whether sums are taken of pairs of elements, which is another order than that of `exact`."""
    return dtype.is_float and dtype.itemsize == 1


def _looked_up(data: Array, table: Array, dtype: DType, arena: Arena) -> list[float]:
    """For each leaf the sum of what a table has for pairs of elements."""
    sums: list[float] = []
    for start in range(0, data.size, _TOGETHER * LEAF):
        part = data[start : start + _TOGETHER * LEAF]
        if part.size % PAIR:
            part = np.append(part, data.dtype.type(dtype.nan))  # which the table has 0 for
        with arena.scratch():
            found = arena.take(part.size // PAIR, np.float64)
            look_up(table, part, PAIR, found, arena)
            whole = part.size // LEAF * LEAF // PAIR
            sums += _total(found[:whole].reshape(-1, LEAF // PAIR), axis=1).tolist()
            if whole < found.size:
                sums.append(float(_total(found[whole:])))
    return sums


@lru_cache(maxsize=10)
def _pair_sums(dtype: DType, power: int) -> Array:
    """For each pair of elements of an 8-bit format, the sum of their finite values to this power."""
    values = native(every_word(dtype, PAIR), dtype).astype(np.float64).reshape(-1, PAIR)
    values[~np.isfinite(values)] = 0
    sums: Array = (values**power).sum(axis=1)
    return sums


def _is_safe(square: float, dtype: DType) -> bool:
    """Whether float32 has lost nothing that counts."""
    return _SAFE[0] < square < _SAFE[1] or (square == 0 and not dtype.is_float)


def exact(rows: Array, dtype: DType, clean: bool, sums_wanted: bool) -> tuple[list[float], list[float]]:
    """For each row, a leaf at most, sum and sum of squares in float64."""
    values = native(rows, dtype).astype(np.float64)
    if not clean:
        values[~np.isfinite(values)] = 0
    runs = values.shape[1] // _RUN[True]
    whole = runs * _RUN[True]
    parts, rest = values[:, :whole].reshape(len(values), runs, _RUN[True]), values[:, whole:]
    with np.errstate(over="ignore"):
        # of longer rows BLAS adds up with threads, which wait for each other
        squares = _total(np.vecdot(parts, parts), axis=1)
        if whole < values.shape[1]:
            squares = squares + np.vecdot(rest, rest)
        sums = _total(values, axis=1).tolist() if sums_wanted else [0.0] * len(values)
        return sums, squares.tolist()


def _quick(data: Array, dtype: DType, arena: Arena, sums_wanted: bool) -> tuple[list[float], list[float]]:
    """Sums of whole leaves in runs of float32, then float64."""
    leaves = data.size // LEAF
    total: Any = 0.0
    square: Any = 0.0
    for part in _float32_parts(data, dtype, arena, sums_wanted):
        rows = part.reshape(-1, _RUN[dtype.is_float])
        if sums_wanted:
            total = total + _total(np.matmul(rows, _ones(rows)).reshape(leaves, -1), axis=1, dtype=np.float64)
        square = square + _total(np.vecdot(rows, rows).reshape(leaves, -1), axis=1, dtype=np.float64)
    return total.tolist() if sums_wanted else [0.0] * leaves, square.tolist()


@lru_cache(maxsize=8)
def _all_ones(length: int, kind: np.dtype[Any]) -> Array:
    return np.ones(length, kind)


def _ones(rows: Array) -> Array:
    return _all_ones(rows.shape[1], rows.dtype)


def _float32_parts(leaf: Array, dtype: DType, arena: Arena, signs: bool) -> list[Array]:
    """The values as float32 (float64 for wide types) in one or two arrays: 16-bit formats go in pairs, as the halves of
    32-bit words, which needs no widening. Without `signs` they may be magnitudes."""
    if dtype in NATIVE:
        return [leaf]
    if dtype is FLOAT16:
        return _halves(leaf.view(np.uint32), arena, signs)
    if dtype is BFLOAT16:
        words = leaf.view(np.uint32)
        upper, lower = (arena.take(words.size, np.uint32) for _ in range(2))
        np.bitwise_and(words, 0xFFFF0000, out=upper)
        np.left_shift(words, 16, out=lower)
        return [upper.view(np.float32), lower.view(np.float32)]
    if dtype.is_float:
        return [native(leaf, dtype)]
    part = arena.take(leaf.size, np.float32 if dtype.itemsize <= 2 else np.float64)
    np.copyto(part, leaf, casting="unsafe")
    return [part]


def _halves(words: Array, arena: Arena, signs: bool) -> list[Array]:
    """Pairs of float16 as float32: move exponent and fraction to where float32 has them, then correct the exponent by
    a power of two, which also makes subnormals right."""
    parts = []
    for shift, places in ((np.right_shift, 3), (np.left_shift, 13)):
        bits = shift(words, places, out=arena.take(words.size, np.uint32))
        np.bitwise_and(bits, 0x0FFFE000, out=bits)
        parts.append(bits)
    if signs:
        sign = arena.take(words.size, np.uint32)
        np.bitwise_or(parts[0], np.bitwise_and(words, 0x80000000, out=sign), out=parts[0])
        np.left_shift(words, 16, out=sign)
        np.bitwise_or(parts[1], np.bitwise_and(sign, 0x80000000, out=sign), out=parts[1])
    values = [part.view(np.float32) for part in parts]
    return [np.multiply(part, np.float32(2.0**112), out=part) for part in values]
