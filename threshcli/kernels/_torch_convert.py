"""Values of different dtypes with torch: compared exactly, converted exactly where it can be, else rounded once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from threshcli.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, DType
from threshcli.kernels.base import Block, MapCompare

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
NATIVE = {FLOAT64: torch.float64, FLOAT32: torch.float32, FLOAT16: torch.float16, BFLOAT16: torch.bfloat16}
"""Float formats that torch compares and converts itself."""

OPERATORS: dict[MapCompare, Callable[[Tensor, Tensor], Tensor]] = {
    "gt": torch.gt,
    "ge": torch.ge,
    "lt": torch.lt,
    "le": torch.le,
    "eq": torch.eq,
}


class Exact(NamedTuple):
    """Any value of any dtype: the nearest float64, and what it lacks (None: nothing, for every element).

    Rounding keeps order, so values compare as the pairs do: first by `near`, then by `rest`.
    """

    near: Tensor
    rest: Tensor | None


def exact(x: Block) -> Exact:
    """The values of a block in float64, and the rests where that does not hold them."""
    bits: Tensor = x.data
    if x.dtype in NATIVE:
        return Exact(bits.view(NATIVE[x.dtype]).double(), None)
    if x.dtype.is_float:
        return Exact(_values(x.dtype, bits.device)[bits.int() & 0xFF].double(), None)
    if x.dtype.itemsize < 8:
        return Exact(widened(x).double(), None)
    upper = bits >> 32 if x.dtype.kind == "int" else (bits >> 32) & 0xFFFFFFFF
    high, low = upper.double() * 2.0**32, (bits & 0xFFFFFFFF).double()
    near = high + low
    return Exact(near, low - (near - high))  # exact: Dekker 1971, Fast2Sum


def compared(a: Exact, compare: MapCompare, b: Exact) -> Tensor:
    """`a compare b` by the nearest floats, and where these are equal by the rests."""
    operator = OPERATORS[compare]
    if a.rest is None and b.rest is None:
        return operator(a.near, b.near)
    left, right = (torch.zeros_like(one.near) if one.rest is None else one.rest for one in (a, b))
    tied = (a.near == b.near) & operator(left, right)
    match compare:
        case "gt" | "ge":
            return tied | (a.near > b.near)
        case "lt" | "le":
            return tied | (a.near < b.near)
        case _:
            return tied


def rounded(value: Exact, dtype: DType) -> Tensor:
    """The bits of values but NaN in a float dtype, rounded once."""
    near = value.near
    if dtype is FLOAT64:
        return near.view(torch.int64)
    if value.rest is not None:
        near = _odd(near, value.rest)
    if dtype.itemsize == 1:
        return _nearest(near, dtype)
    single = near.float()
    if dtype is not FLOAT32:
        single = _odd(single, near - single.double())
    return single.to(NATIVE[dtype]).view(BITS[dtype.itemsize])


def _odd(near: Tensor, rest: Tensor) -> Tensor:
    """Values with a rest moved to that neighbour whose last bit is odd ("round to odd"), so that rounding them again to
    two bits less is rounding once (Boldo & Melquiond 2008, doi:10.1109/TC.2007.70819)."""
    bits = near.view(BITS[near.itemsize])
    outward = rest.signbit() == near.signbit()
    moved = torch.where(outward, bits + 1, bits - 1)
    return torch.where((rest.abs() > 0) & (bits & 1 == 0), moved, bits).view(near.dtype)


def _nearest(values: Tensor, dtype: DType) -> Tensor:
    """Codes of an 8-bit format: how many of the boundaries between its magnitudes lie at or under abs(x)."""
    keys = torch.bucketize(values.abs(), _starts(dtype, values.device), right=True)
    negative = values.signbit()
    if not dtype.signed:  # its smallest value begins at a boundary too: there is no zero to round to
        return (keys - 1).masked_fill((keys == 0) | (keys > dtype.top + 1) | negative, dtype.nan)
    signed = negative if dtype.negative_zero else negative & keys.ne(0)
    return torch.where(signed, keys | dtype.sign, keys).masked_fill(keys > dtype.top, dtype.nan)


@lru_cache(maxsize=32)
def _values(dtype: DType, device: torch.device) -> Tensor:
    """The value of each code of an 8-bit float; each is exact in float32."""
    values = [math.nan] * 256
    for key in range(dtype.keys.low, dtype.keys.high + 1):
        values[dtype.code(key)] = dtype.number(key)
    if dtype.negative_zero:
        values[dtype.sign] = -0.0
    return torch.tensor(values, dtype=torch.float32).to(device)


@lru_cache(maxsize=32)
def _starts(dtype: DType, device: torch.device) -> Tensor:
    """The least float64 magnitude that rounds to each key but 0 of an 8-bit float, and the least that overflows; of a
    format without zero, also the least that does not underflow."""
    keys = range(dtype.top + (not dtype.infinite) + 1)
    middles = [float(dtype.magnitude(a) + dtype.magnitude(b)) / 2 for a, b in itertools.pairwise(keys)]
    starts = [middle if key & 1 else math.nextafter(middle, math.inf) for key, middle in enumerate(middles)]
    lowest = [] if dtype.signed else [float(dtype.magnitude(0)) * 0.75]
    return torch.tensor(lowest + starts, dtype=torch.float64).to(device)


def quiet(x: Block, dtype: DType) -> Tensor:
    """For each element of a float block the quiet NaN of another float dtype, with its sign and leading payload; the
    formats of 8 bits have one NaN, without either."""
    bits: Tensor = x.data.long()
    if 1 in (x.dtype.itemsize, dtype.itemsize):
        return torch.full_like(bits, signed(dtype.nan, dtype))
    payload, up = bits & ((1 << x.dtype.mantissa) - 1), dtype.mantissa - x.dtype.mantissa
    payload = payload << up if up > 0 else payload >> -up
    return payload | dtype.nan | (bits >> 63 << (dtype.bits - 1))


def signed(code: int, dtype: DType) -> int:
    """A code as the signed integer that has its bits."""
    return code - (1 << dtype.bits) if code >> (dtype.bits - 1) else code


def widened(x: Block) -> Tensor:
    """Integers as int64; of uint64 the bits."""
    wide: Tensor = x.data.long()
    return wide & ((1 << x.dtype.bits) - 1) if x.dtype.kind == "uint" and x.dtype.itemsize < 8 else wide


def whole(values: Tensor) -> Tensor:
    """Whole float64 values in [-2^63, 2^64) as the bits of int64 or uint64."""
    large = values >= 2.0**63
    bits = torch.where(large, values - 2.0**63, values).long()
    return torch.where(large, bits | -(1 << 63), bits)


def row_sums(leaves: Tensor) -> list[float]:
    """The sums of rows of a power of two of float64, by halves: the same on every device."""
    while leaves.shape[1] > 1:
        leaves = leaves[:, : leaves.shape[1] // 2] + leaves[:, leaves.shape[1] // 2 :]
    return [float(total) for total in leaves[:, 0].tolist()]


def bias_of(dtype: DType, magnitude: bool = False) -> int:
    """What `keys_of` lie under the keys of `dtypes`, so that unsigned ones fit into a signed integer."""
    unsigned = dtype.kind == "uint" or not dtype.signed or (magnitude and dtype.kind == "int")
    return 1 << (dtype.bits - 1) if unsigned else 0


def keys_of(x: Block, magnitude: bool = False) -> Tensor:
    """The keys of the elements, or of their magnitudes, less `bias_of`; those of NaN lie past the bounds, except where
    NaN is coded as the negative zero."""
    bits: Tensor = x.data
    if x.dtype.is_float and x.dtype.signed:
        size = bits & (x.dtype.sign - 1)
        if magnitude:
            return size
        sign = bits >> (x.dtype.bits - 1)
        return (size ^ sign) - sign
    if magnitude and x.dtype.kind == "int":  # abs(-128) is 128 once it is read as unsigned
        sign = bits >> (x.dtype.bits - 1)
        bits = (bits ^ sign) - sign
    return bits ^ -bias_of(x.dtype, magnitude) if bias_of(x.dtype, magnitude) else bits
