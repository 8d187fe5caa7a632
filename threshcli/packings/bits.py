"""`bits`: masks of 0 and 1, one bit an element, in the order of numpy.packbits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from threshcli.containers.base import Contents, OutTensor, Tensor
from threshcli.dtypes import BOOL, DTYPES, UINT8, DType
from threshcli.errors import InputError, UsageError
from threshcli.packings.base import PREFIX, Folded, Given, Packed, Packing, Piece, Reader, Sizes
from threshcli.rules.base import Rule
from threshcli.tiles import Tile

_KEY = f"{PREFIX}bits"
"""In the metadata: {name: {"dtype": ..., "shape": [...]}} as JSON."""
_RANKS = 64  # NumPy's limit


class Bits(Packing):
    """A mask becomes uint8 of ceil(n / 8) elements: its own in C order, the first in the highest bit of a byte, so that
    `np.unpackbits(packed, count=n).reshape(shape)` is the way back. Bits past the last element are 0."""

    name = "bits"

    def check(self, rule: Rule, cuts: int) -> None:
        written = list(rule.written(cuts) or ())
        policy = rule.nan_policy
        if policy.fill is not None:
            written.append(policy.fill)
        if not rule.decides or policy.action == "keep" or {number.value for number in written} - {0, 1}:
            raise UsageError(
                "--pack bits is for masks of 0 and 1, and the rule may write other values",
                hint="use the rule binary, or band with --binary",
            )

    def pack(self, out: OutTensor, sizes: Sizes | None) -> Packed:
        stored = replace(out, dtype=UINT8, shape=(_length(out.shape),), order=(0,), swapped=False)
        return _Mask((stored,), stored, self.name)

    def metadata(self, packed: Sequence[OutTensor], before: Mapping[str, str]) -> str:
        said = dict(_said(before)) | {out.name: (out.dtype, out.shape) for out in packed}
        entries = {name: {"dtype": dtype.name, "shape": list(shape)} for name, (dtype, shape) in said.items()}
        return json.dumps(entries, sort_keys=True)

    def told(self, metadata: Mapping[str, str]) -> Set[str]:
        return _said(metadata).keys()

    def packed_in(self, contents: Contents, reader: Reader, given: Given) -> list[Folded]:
        tensors = list(enumerate(contents.tensors))
        said = _said(contents.metadata)
        missing = sorted(said.keys() - {tensor.name for _, tensor in tensors})
        if missing:
            what = f"its metadata tells of a mask {missing[0][:80]!r}, which is not there"
            raise InputError(what, hint="write the file again")
        if not said:
            said = _guessed([item for item in tensors if _may_be(item[1])], given, reader)
        return [_bits(number, tensor, *said[tensor.name], given) for number, tensor in tensors if tensor.name in said]


@dataclass(frozen=True)
class _Mask(Packed):
    """A mask on its way into bits."""

    def pieces(self, tile: Tile, data: memoryview) -> Iterator[Piece]:
        """A tile begins at a multiple of 8 elements, and so at a byte of its own."""
        elements = np.frombuffer(data, f"u{len(data) // tile.count}")
        yield Piece(0, tile.start // 8, np.packbits(elements != 0).data)


@dataclass(frozen=True)
class _Bits(Folded):
    """Bits on their way into a mask."""

    offset: int

    def check(self, reader: Reader) -> None:
        """Any bits are a mask."""

    def elements(self, reader: Reader, start: int, stop: int) -> memoryview:
        first, last = start // 8, -(-stop // 8)
        packed = np.frombuffer(reader.read(self.offset + first, last - first), np.uint8)
        bits = np.unpackbits(packed, count=stop - 8 * first)[start - 8 * first :]
        elements = bits.astype(f"<u{self.dtype.itemsize}")
        elements *= self.dtype.encode(Fraction(1)) or 1
        return elements.view(np.uint8).data


def _length(shape: tuple[int, ...]) -> int:
    """Bytes of a mask."""
    return -(-math.prod(shape) // 8)


def _may_be(tensor: Tensor) -> bool:
    return tensor.dtype is UINT8 and len(tensor.shape) == 1 and tensor.view.contiguous


def _bits(number: int, tensor: Tensor, dtype: DType, shape: tuple[int, ...], given: Given) -> _Bits:
    length = _length(shape)
    if not _may_be(tensor) or tensor.shape != (length,):
        there = f"{tensor.dtype.name} of shape {list(tensor.shape)}"
        what = f"tensor {tensor.name!r} is not" if tensor.name else "does not hold"
        raise InputError(
            f"{what} a mask of shape {list(shape)} in bits: that is uint8 of {length:,} bytes, and it is {there}",
            hint="check --shape or --like, if given, or write the file again",
        )
    dtype = given.dtype or dtype
    if dtype.encode(Fraction(0)) != 0 or not dtype.is_real:
        raise UsageError(f"a mask cannot be {dtype.name}", hint="use --out-dtype bool")
    return _Bits((number,), tensor.name, dtype, shape, tensor.view.offset)


def _said(metadata: Mapping[str, str]) -> dict[str, tuple[DType, tuple[int, ...]]]:
    """Dtype and shape of each packed mask, as the metadata tells; InputError where it cannot be read."""
    try:
        found = json.loads(metadata.get(_KEY, "{}"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(_is_entry(entry) for entry in found.values()):
        raise InputError(f"its metadata {_KEY!r} does not tell of masks", hint="write the file again")
    return {name: (DTYPES[entry["dtype"]], tuple(entry["shape"])) for name, entry in found.items()}


def _is_entry(entry: Any) -> bool:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    lengths = isinstance(shape, list) and len(shape) <= _RANKS and all(type(n) is int and n >= 0 for n in shape)
    return lengths and isinstance(entry.get("dtype"), str) and entry["dtype"] in DTYPES


def _guessed(
    candidates: list[tuple[int, Tensor]], given: Given, reader: Reader
) -> dict[str, tuple[DType, tuple[int, ...]]]:
    """What a user says of masks that say nothing of themselves."""
    if len(candidates) == len(given.like) == 1:
        given = Given(like={candidates[0][1].name: next(iter(given.like.values()))})
    if given.shape is not None:
        if len(candidates) != 1:
            raise UsageError(
                f"--shape is for one mask in bits, and {len(candidates)} tensors may be",
                hint="name a file that has the shapes with --like FILE",
            )
        return {candidates[0][1].name: (BOOL, given.shape)}
    likes = ((tensor, given.like.get(tensor.name)) for _, tensor in candidates)
    return {tensor.name: like for tensor, like in likes if like is not None and not _is_as(tensor, *like, reader)}


def _is_as(tensor: Tensor, dtype: DType, shape: tuple[int, ...], reader: Reader) -> bool:
    """Whether a tensor that may be a mask in bits is none, but what it is to be like. One element in bits is a byte as
    well: another dtype tells, or that bits past the last element are 0."""
    if tensor.shape != shape or tensor.shape == (0,):
        return False
    return tensor.shape != (1,) or (dtype is UINT8 and reader.read(tensor.view.offset, 1)[0] & 0x7F != 0)
