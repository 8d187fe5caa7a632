"""`bitmask`: pruned weights as the values that are left and a bit for each place, as compressed-tensors reads them."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from threshcli.containers.base import Contents, OutTensor, Tensor
from threshcli.dtypes import INT64, UINT8
from threshcli.errors import InputError
from threshcli.packings.base import Folded, Given, Packed, Packing, Piece, Reader, Sizes
from threshcli.tiles import LEAF, Tile, tiles

_WEIGHT = ".weight"
_PARTS = ("shape", "compressed", "bitmask", "row_offsets")
_MARK = 4 * LEAF
"""Elements after which it is noted how many values came before."""
_MOST_EMPTY = 1 << 10
"""Rows without elements, of which a file may claim any number: each has an offset in the output."""

Bools = npt.NDArray[np.bool_]


class Bitmask(Packing):
    """The sparse-bitmask layout of compressed-tensors: a matrix of R rows and C columns called P.weight becomes

    - P.shape: R and C, as int64;
    - P.compressed: the values that are not zero, row by row, in their dtype;
    - P.bitmask: uint8 of R rows and ceil(C / 8) columns; a set bit has a value, the lowest bit is the first;
    - P.row_offsets: where in P.compressed each row begins, as int64.

    Zero is what has no bit set: -0.0 and NaN are values, so that what comes back is the same to the bit.
    """

    name = "bitmask"
    formats = ("safetensors",)
    measured = True

    def refusal(self, out: OutTensor) -> str | None:
        if len(out.shape) != 2:
            return "it is no matrix"
        if out.shape[0] > _MOST_EMPTY and not out.shape[1]:
            return "it has rows and no elements"
        return None if _is_weight(out.name) else "its name does not end in .weight"

    def pack(self, out: OutTensor, sizes: Sizes | None) -> Packed:
        rows, columns = out.shape
        before: dict[int, int] = {}
        total = 0
        for start in sorted(sizes or ()):
            before[start] = total
            total += (sizes or {})[start]
        kept = rows * columns if sizes is None else total
        made = ((INT64, (2,)), (out.dtype, (kept,)), (UINT8, (rows, -(-columns // 8))), (INT64, (rows,)))
        prefix = out.name.removesuffix(_WEIGHT)
        parts = tuple(
            replace(out, name=f"{prefix}.{part}", dtype=dtype, shape=shape, order=tuple(range(len(shape))))
            for part, (dtype, shape) in zip(_PARTS, made, strict=True)
        )
        return _Weight(parts, out, self.name, before)

    def metadata(self, packed: Sequence[OutTensor], before: Mapping[str, str]) -> str:
        """The names of the matrices: for people, and for `told`; what is packed is found without it."""
        return json.dumps(sorted({*_named(before.get(self.key, "[]")), *(out.name for out in packed)}))

    def told(self, metadata: Mapping[str, str]) -> Set[str]:
        names = (name.removesuffix(_WEIGHT) for name in _named(metadata.get(self.key, "[]")))
        return {f"{name}.{part}" for name in names for part in _PARTS}

    def packed_in(self, contents: Contents, reader: Reader, given: Given) -> list[Folded]:
        numbers = {tensor.name: number for number, tensor in enumerate(contents.tensors)}
        found: list[Folded] = []
        for name in numbers:
            prefix = name.removesuffix(f".{_PARTS[0]}")
            parts = [numbers.get(f"{prefix}.{part}") for part in _PARTS]
            if prefix != name and None not in parts:
                if prefix + _WEIGHT in numbers:
                    raise _damaged(prefix + _WEIGHT, "it is there as it was, too")
                found.append(_folded(prefix, [number for number in parts if number is not None], contents, reader))
        return found


def _named(text: str) -> list[str]:
    """The names that the metadata tells."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise InputError("its metadata does not tell of packed weights", hint="write the file again")
    return found


def _is_weight(name: str) -> bool:
    return name.endswith(_WEIGHT) and name != _WEIGHT


@dataclass(frozen=True)
class _Weight(Packed):
    """A matrix on its way into its parts."""

    before: dict[int, int]
    """How many values come before those of each tile."""

    def measure(self, data: memoryview) -> int:
        return int(np.count_nonzero(_codes(data, self.stored.dtype.itemsize)))

    def constants(self) -> Iterator[Piece]:
        yield Piece(0, 0, np.array(self.stored.shape, "<i8").tobytes())

    def pieces(self, tile: Tile, data: memoryview) -> Iterator[Piece]:
        itemsize, before = self.stored.dtype.itemsize, self.before[tile.start]
        codes = _codes(data, itemsize)
        for part in tiles(tile.count, _MARK):  # what is made of rows of few elements is larger than they are
            some = codes[part.start : part.stop]
            stays: Bools = some != 0
            values = some[stays]
            yield Piece(1, before * itemsize, values.view(np.uint8).data)
            yield from self._places(Tile(tile.start + part.start, tile.start + part.stop), stays, before)
            before += len(values)

    def _places(self, tile: Tile, stays: Bools, before: int) -> Iterator[Piece]:
        """Where the values belong."""
        columns = self.stored.shape[1]
        for run in _runs(tile.start, tile.stop, columns):
            yield from _in_bits(stays[run.start - tile.start : run.stop - tile.start], run, columns)
        first = -(-tile.start // columns)
        if first * columns < tile.stop:
            offsets = _row_offsets(stays, tile, columns) + before
            yield Piece(3, 8 * first, offsets.astype("<i8", copy=False).view(np.uint8).data)


def _codes(data: memoryview, itemsize: int) -> npt.NDArray[Any]:
    """Elements as the bits that they are stored in."""
    return np.frombuffer(data, f"u{itemsize}")


def _runs(start: int, stop: int, columns: int) -> Iterator[Tile]:
    """Elements [start, stop) of rows of so many columns: the end of a row, whole rows, the beginning of one."""
    whole = -(-start // columns) * columns, stop // columns * columns
    if whole[0] >= whole[1]:  # no row is whole: one end of one, one beginning, or something between
        whole = (min(whole[0], stop),) * 2
    for run in (Tile(start, whole[0]), Tile(*whole), Tile(whole[1], stop)):
        if run.count:
            yield run


def _in_bits(stays: Bools, run: Tile, columns: int) -> Iterator[Piece]:
    """The bytes of the bitmask for one run; at its ends may be bytes that it shares with other tiles."""
    (row, column), width = divmod(run.start, columns), -(-columns // 8)
    if column == 0 and run.count % columns == 0:
        rows = np.packbits(stays.reshape(-1, columns), axis=1, bitorder="little")
        yield Piece(2, row * width, rows.reshape(-1).data)
        return
    lead, end = column % 8, column + run.count
    bits = np.zeros(lead + run.count, np.bool_)
    bits[lead:] = stays
    packed, at = np.packbits(bits, bitorder="little"), row * width + column // 8
    first, last = 0, len(packed)
    shared = []
    if lead:
        shared.append(first)
        first += 1
    if end % 8 and end < columns and last > first:
        last -= 1
        shared.append(last)
    for index in shared:
        yield Piece(2, at + index, packed[index : index + 1].tobytes(), shared=True)
    if last > first:
        yield Piece(2, at + first, packed[first:last].data)


def _row_offsets(stays: Bools, tile: Tile, columns: int) -> npt.NDArray[np.int64]:
    """How many of a tile's values come before each row that begins in it."""
    first = -(-tile.start // columns) * columns - tile.start
    starts = np.arange(first, tile.count, columns)
    counts = np.add.reduceat(stays, starts, dtype=np.int64)  # the last of them is not asked for
    head = np.count_nonzero(stays[:first])
    found: npt.NDArray[np.int64] = np.cumsum(counts) - counts + head
    return found


@dataclass(frozen=True)
class _Matrix(Folded):
    """The parts of a matrix, by the offsets of their bytes, on their way back into one."""

    offsets: tuple[int, ...]
    values: int
    marks: array[int] = field(default_factory=lambda: array("q"))

    def check(self, reader: Reader) -> None:
        """Every row begins where its offset says, and there are as many values as bits."""
        rows, columns = self.shape
        seen = 0
        for tile in tiles(rows * columns, _MARK):
            stays = self._bits(reader, tile.start, tile.stop)
            first = -(-tile.start // columns)
            if first * columns < tile.stop:
                expected = _row_offsets(stays, tile, columns) + seen
                raw = reader.read(self.offsets[3] + 8 * first, 8 * len(expected))
                if not np.array_equal(np.frombuffer(raw, "<i8"), expected):
                    raise _damaged(self.name, "its row_offsets are not those of its bitmask")
            self.marks.append(seen)
            seen += int(np.count_nonzero(stays))
        empty = tiles(0 if columns else rows, _MARK)  # rows of no elements
        if any(any(reader.read(self.offsets[3] + 8 * some.start, 8 * some.count)) for some in empty):
            raise _damaged(self.name, "its row_offsets are not those of its bitmask")
        if seen != self.values:
            raise _damaged(self.name, f"its bitmask has {seen:,} bits set for {self.values:,} values")

    def elements(self, reader: Reader, start: int, stop: int) -> memoryview:
        mark, itemsize = start // _MARK, self.dtype.itemsize
        before = self.marks[mark]
        if start > mark * _MARK:
            before += int(np.count_nonzero(self._bits(reader, mark * _MARK, start)))
        stays = self._bits(reader, start, stop)
        raw = reader.read(self.offsets[1] + before * itemsize, int(np.count_nonzero(stays)) * itemsize)
        out = np.zeros(stop - start, f"u{itemsize}")
        out[stays] = np.frombuffer(raw, out.dtype)
        return out.view(np.uint8).data

    def _bits(self, reader: Reader, start: int, stop: int) -> Bools:
        """Which of the elements [start, stop) have a value."""
        columns = self.shape[1]
        width, found = -(-columns // 8), []
        for run in _runs(start, stop, columns):
            row, column = divmod(run.start, columns)
            first, lead = row * width + column // 8, column % 8
            if column == 0 and run.count % columns == 0:
                packed = np.frombuffer(reader.read(self.offsets[2] + first, run.count // columns * width), np.uint8)
                bits = np.unpackbits(packed.reshape(-1, width), axis=1, count=columns, bitorder="little")
                found.append(bits.reshape(-1))
            else:
                packed = np.frombuffer(reader.read(self.offsets[2] + first, -(-(lead + run.count) // 8)), np.uint8)
                found.append(np.unpackbits(packed, count=lead + run.count, bitorder="little")[lead:])
        return np.concatenate(found).view(np.bool_)


def _damaged(name: str, what: str) -> InputError:
    return InputError(f"the packed tensor {name!r} is damaged: {what}", hint="copy it or write it again")


def _folded(prefix: str, numbers: list[int], contents: Contents, reader: Reader) -> _Matrix:
    """A matrix from its parts, whose dtypes and shapes are checked."""
    parts = [contents.tensors[number] for number in numbers]
    shape, compressed, bitmask, offsets = parts
    name = prefix + _WEIGHT
    if shape.dtype is not INT64 or shape.shape != (2,):
        raise _damaged(name, f"its shape is {_told(shape)}, where a matrix has int64 of shape [2]")
    rows, columns = (int(length) for length in np.frombuffer(reader.read(shape.view.offset, 16), "<i8"))
    if min(rows, columns) < 0:
        raise _damaged(name, f"its shape is [{rows}, {columns}]")
    for part, dtype, extent in ((bitmask, UINT8, (rows, -(-columns // 8))), (offsets, INT64, (rows,))):
        if part.dtype is not dtype or part.shape != extent:
            kind = part.name.rpartition(".")[2]
            raise _damaged(name, f"its shape is [{rows}, {columns}], and its {kind} {_told(part)}")
    if compressed.dtype.kind == "opaque" or len(compressed.shape) != 1:
        raise _damaged(name, f"its values are {_told(compressed)}")
    places = tuple(part.view.offset for part in parts)
    return _Matrix(tuple(numbers), name, compressed.dtype, (rows, columns), places, math.prod(compressed.shape))


def _told(tensor: Tensor) -> str:
    return f"{tensor.dtype.name} of shape {list(tensor.shape)}"
