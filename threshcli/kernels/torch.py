"""torch's kernels: an accelerator, or the CPU where torch is loaded anyway.

A block's data are its bits as signed integers of the same width, since torch has neither order nor arithmetic for
unsigned 16, 32 and 64 bits and for 8-bit floats. Comparisons look at the ordered keys of `dtypes`, or at the floats
where the device compares them as IEEE 754 says. Values of different dtypes meet as float64 with a rest (`Exact`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from threshcli.dtypes import DType, Range
from threshcli.errors import DeviceError
from threshcli.kernels import _torch_arithmetic as arithmetic
from threshcli.kernels._torch_complex import TorchPairs
from threshcli.kernels._torch_convert import (
    BITS,
    NATIVE,
    OPERATORS,
    Exact,
    bias_of,
    compared,
    exact,
    keys_of,
    quiet,
    rounded,
    row_sums,
    signed,
    whole,
    widened,
)
from threshcli.kernels.base import Block, MapCompare, Mask, Operator
from threshcli.stats import Measure
from threshcli.tiles import LEAF


class TorchKernels(TorchPairs):
    """Kernels over torch tensors on one device."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._cuda, mps = self._device.type == "cuda", self._device.type == "mps"
        self._stream: torch.cuda.Stream | None = None
        self._native = {} if mps else NATIVE  # Metal flushes subnormals
        self._wide = torch.device("cpu") if mps else self._device  # Metal has no float64
        self._host: list[Tensor] = []
        self._taken = 0

    def session(self) -> AbstractContextManager[object]:
        """A stream of one's own: the copies of one worker overlap those of another."""
        if not self._cuda:
            return nullcontext()
        self._stream = self._stream or torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch has no type for it
        return torch.cuda.stream(self._stream)

    def reset(self) -> None:
        if self._cuda:  # a copy may still be reading from a buffer
            torch.cuda.current_stream(self._device).synchronize()
        self._taken = 0

    def _take(self, nbytes: int) -> Tensor:
        if self._taken == len(self._host):
            self._host.append(torch.empty(0, dtype=torch.uint8))
        if self._host[self._taken].numel() < nbytes:
            pinned = self._cuda  # else the driver copies twice
            self._host[self._taken] = torch.empty(nbytes, dtype=torch.uint8, pin_memory=pinned)
        self._taken += 1
        return self._host[self._taken - 1][:nbytes]

    def buffer(self, nbytes: int) -> memoryview:
        return self._take(nbytes).numpy().data

    def load(self, raw: memoryview, dtype: DType, *, swapped: bool = False) -> Block:
        if raw.readonly or not raw.nbytes:
            data = torch.tensor(bytearray(raw), dtype=torch.uint8)
        else:
            data = torch.frombuffer(raw, dtype=torch.uint8)
        try:
            data = data.to(self._device, non_blocking=self._cuda)
        except torch.OutOfMemoryError as error:
            hint = "use a smaller --max-memory, or --device cpu"
            raise DeviceError(f"{self._device} has no room for a tile of {raw.nbytes} bytes", hint=hint) from error
        if swapped:
            data = _swapped(data, dtype)
        if data.data_ptr() % dtype.itemsize:
            data = data.clone()
        bits = data.view(BITS[dtype.itemsize])
        return Block(bits.ne(0).view(torch.int8) if dtype.kind == "bool" else bits, dtype)

    def store(self, block: Block, *, swapped: bool = False) -> memoryview:
        data: Tensor = block.data.view(torch.uint8)
        if swapped:
            data = _swapped(data, block.dtype)
        if self._device.type != "cpu":
            data = self._take(data.numel()).copy_(data)
        return data.numpy().data

    def elements(self, x: Block) -> int:
        return int(x.data.numel())

    def within(self, x: Block, keys: Range, *, magnitude: bool = False) -> Mask:
        bounds = x.dtype.magnitude_keys if magnitude else x.dtype.keys
        low, high = max(keys.low, bounds.low), min(keys.high, bounds.high)
        if low > high:
            return torch.zeros(x.data.shape, dtype=torch.bool, device=self._device)
        if x.dtype in self._native:
            values, checked = self._floats(x, magnitude), high == bounds.high
            first, last = x.dtype.number(low), x.dtype.number(high)
        else:
            values, checked = keys_of(x, magnitude), x.dtype.is_float  # what lies past the bounds is NaN
            bias = bias_of(x.dtype, magnitude)
            first, last = low - bias, high - bias
        found = []
        if low > bounds.low or checked:
            found.append(values.ge(first))
        if high < bounds.high or (checked and x.dtype not in self._native):
            found.append(values.le(last))
        if _zero_is_nan(x.dtype) and low <= 0 <= high:
            found.append(x.data.ne(signed(x.dtype.nan, x.dtype)))
        if not found:
            return torch.ones(x.data.shape, dtype=torch.bool, device=self._device)
        return _all(found)

    def against(self, x: Block, compare: MapCompare, other: Block, *, magnitude: bool = False) -> Mask:
        operator = OPERATORS[compare]
        if x.dtype is other.dtype and x.dtype in self._native:
            return operator(self._floats(x, magnitude), self._floats(other))
        if x.dtype is other.dtype and (x.dtype.is_float or not magnitude):
            mask = operator(keys_of(x, magnitude), keys_of(other))
            return _all([mask, ~self.isnan(x), ~self.isnan(other)]) if x.dtype.is_float else mask
        a, b = self._exact(x), self._exact(other)
        if magnitude:
            a = Exact(a.near.abs(), None if a.rest is None else torch.where(a.near < 0, -a.rest, a.rest))
        return compared(a, compare, b).to(self._device)

    def isnan(self, x: Block) -> Mask:
        if x.dtype in self._native:
            return torch.isnan(self._floats(x))
        if not x.dtype.is_float:
            return torch.zeros(x.data.shape, dtype=torch.bool, device=self._device)
        if not x.dtype.negative_zero:
            return x.data.eq(signed(x.dtype.nan, x.dtype))
        return keys_of(x, True).gt(x.dtype.top)

    def invert(self, mask: Mask) -> Mask:
        return torch.logical_not(mask)

    def both(self, a: Mask, b: Mask) -> Mask:
        return torch.logical_and(a, b)

    def count(self, mask: Mask) -> int:
        return int(torch.count_nonzero(mask))

    def first(self, mask: Mask) -> int | None:
        if not mask.numel():
            return None
        index = int(mask.to(torch.int32).argmax())
        return index if bool(mask[index]) else None

    def select(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        if isinstance(a, int):
            kind = BITS[dtype.itemsize]
            rest = torch.full_like(mask, signed(b, dtype), dtype=kind) if isinstance(b, int) else b.data
            return Block(rest.masked_fill(mask, signed(a, dtype)), dtype)
        if isinstance(b, int):
            return Block(a.data.masked_fill(~mask, signed(b, dtype)), dtype)
        return Block(torch.where(mask, a.data, b.data), dtype)

    def put(self, block: Block, mask: Mask, code: int) -> None:
        block.data.masked_fill_(mask, signed(code, block.dtype))

    def cast(self, x: Block, dtype: DType) -> Block:
        if x.dtype is dtype:
            return x
        if dtype.kind == "bool":
            return Block(self._zero(x).logical_not().view(torch.int8), dtype)
        if dtype.is_float:
            data = rounded(self._exact(x), dtype)
            if x.dtype.is_float:
                data = torch.where(self.isnan(x), quiet(x, dtype), data.to(self._device))
        elif x.dtype.is_float:
            data = whole(self._exact(x).near)
        else:
            data = widened(x)
        return Block(data.to(self._device, BITS[dtype.itemsize]), dtype)

    def limit(self, cut: Block, dtype: DType, *, up: bool) -> Block:
        if dtype.is_float:
            return self.cast(cut, dtype)
        low, high = dtype.keys.low, dtype.keys.high
        if cut.dtype.is_float:
            near = self._exact(cut).near
            near = near.ceil() if up else near.floor()
            under, over = near < float(low), near >= float(high + 1)  # exact, which float(high) is not for int64
            data = whole(near.masked_fill(under | over, 0)).to(self._device)
            under, over = under.to(self._device), over.to(self._device)
        else:
            data, own = widened(cut), cut.dtype.keys
            under = self.within(cut, Range(own.low, low - 1))
            over = self.within(cut, Range(high + 1, own.high))
        data = data.masked_fill(under, low).masked_fill(over, high - (high >> 63 << 64))
        return Block(data.to(BITS[dtype.itemsize]), dtype)

    def calculate(self, a: Block | int, operator: Operator, b: Block | int, *, into: Block | None = None) -> Block:
        return arithmetic.calculated(a, operator, b, self._wide)

    def clip(self, x: Block, limit: Block | int) -> Block:
        return arithmetic.clipped(x, limit, self._wide)

    def measure(self, x: Block, *, moments: bool = False, precise: bool = True) -> Measure:
        if not x.data.numel():
            return Measure(None, None, 0, 0, 0)
        keys, nan, zero = keys_of(x), self.isnan(x), self._zero(x)
        ends = torch.iinfo(keys.dtype)
        infinite = keys_of(x, True).eq(x.dtype.top) if x.dtype.infinite else torch.zeros_like(nan)
        least, greatest = keys.masked_fill(nan, ends.max).min(), keys.masked_fill(nan, ends.min).max()
        found = [least.long(), greatest.long(), nan.sum(), infinite.sum(), zero.sum()]
        low, high, nans, infinities, zeros = torch.stack(found).tolist()  # the device is waited for once
        usable, bias = nans < x.data.numel(), bias_of(x.dtype)
        first, last = (x.dtype.number(key + bias) if usable else None for key in (low, high))
        sums, squares = self.moments(x, clean=False, precise=precise) if moments else ([], [])
        return Measure(first, last, nans, infinities, zeros, sums, squares)

    def moments(self, x: Block, *, clean: bool, precise: bool, sums: bool = True) -> tuple[list[float], list[float]]:
        if not x.data.numel():
            return [], []
        values = self._exact(x).near
        values = values if clean else values.masked_fill(~values.isfinite(), 0)
        width = min(LEAF, 1 << (values.numel() - 1).bit_length())
        leaves = torch.nn.functional.pad(values, (0, -values.numel() % width)).reshape(-1, width)
        squares = row_sums(leaves * leaves)
        return row_sums(leaves) if sums else [0.0] * len(squares), squares

    def _floats(self, x: Block, magnitude: bool = False) -> Tensor:
        """The elements of a native float dtype as such."""
        values: Tensor = x.data.view(NATIVE[x.dtype])
        return values.abs() if magnitude else values

    def _zero(self, x: Block) -> Tensor:
        """Where x is zero."""
        none = Range(1, 0)
        zero: Tensor = self.within(x, Range(0, 0) if x.dtype.signed else none)  # key 0 of float8_e8m0fnu is 2^-127
        return zero

    def _exact(self, x: Block) -> Exact:
        """The values in float64, where the device has it."""
        return exact(Block(x.data.to(self._wide), x.dtype))


def _all(masks: list[Tensor]) -> Tensor:
    mask = masks[0]
    for other in masks[1:]:
        mask = mask & other
    return mask


def _swapped(data: Tensor, dtype: DType) -> Tensor:
    """Bytes with those of each element in reverse."""
    return data.reshape(data.numel() // dtype.itemsize, dtype.itemsize).flip(1).reshape(-1)


def _zero_is_nan(dtype: DType) -> bool:
    """Whether `keys_of` gives NaN the key 0."""
    return dtype.is_float and dtype.signed and not dtype.negative_zero
