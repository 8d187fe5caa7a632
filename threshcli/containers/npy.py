"""`.npy`: one array without a name. The header is NumPy's own to read and to write (`numpy.lib.format`)."""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Mapping
from typing import Any

from threshcli.containers.base import BEHIND, Container, Contents, OutTensor, Reader, Skeleton, Tensor
from threshcli.dtypes import DTYPES, DType
from threshcli.errors import InputError, UsageError
from threshcli.tiles import View, ordered_strides, row_major

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 1 << 16  # NumPy reads a header before it checks its own limit
_KINDS = {"f": "float", "i": "int", "u": "uint", "c": "complex"}


class Npy(Container):
    """One array: C or Fortran order, any byte order."""

    name = "npy"
    extensions = (".npy",)

    def sniff(self, head: bytes) -> bool:
        return head.startswith(_MAGIC)

    def head(self, reader: Reader) -> bytes:
        return _header(reader)

    def read(self, reader: Reader) -> Contents:
        header = _header(reader)
        shape, fortran, kind = _parse(header)
        dtype, swapped = _dtype(kind)
        elements = math.prod(shape)
        there = reader.size - len(header)
        if elements * dtype.itemsize > there:
            needed = elements * dtype.itemsize
            raise InputError(
                f"is truncated: {elements:,} {dtype.name} need {needed:,} bytes, {there:,} are there",
                hint="copy or download it again",
            )
        axes = tuple(range(len(shape)))
        strides = ordered_strides(shape, axes[::-1]) if fortran else row_major(shape)
        view = View(len(header), shape, strides, dtype.itemsize, swapped)
        return Contents(self.name, (Tensor("", dtype, shape, view),), trailing=there - elements * dtype.itemsize)

    def reach(self, reader: Reader) -> int:
        try:
            length = _header_length(reader)
            if reader.size < length:
                return length
            shape, _, kind = _parse(reader.read(0, length))
            return length + math.prod(shape) * _dtype(kind)[0].itemsize + BEHIND
        except InputError:
            return 0

    def skeleton(
        self, tensors: tuple[OutTensor, ...], origin: Contents | None, provenance: Mapping[str, str]
    ) -> Skeleton:
        from numpy.lib import format as npy_format

        if len(tensors) != 1:
            raise UsageError(
                f"an .npy file holds one tensor, not {len(tensors)}", hint="choose one with -k, or write .safetensors"
            )
        (tensor,) = tensors
        if not _storable(tensor.dtype):
            raise UsageError(
                f"{tensor.dtype.name} cannot be stored in .npy", hint="write .safetensors, or use --out-dtype float32"
            )
        kind = {"float": "f", "int": "i", "uint": "u", "complex": "c", "bool": "b"}[tensor.dtype.kind]
        order = "|" if tensor.dtype.itemsize == 1 else ">" if tensor.swapped else "<"
        axes = tuple(range(len(tensor.shape)))
        header = io.BytesIO()
        fields = {
            "descr": f"{order}{kind}{tensor.dtype.itemsize}",
            "fortran_order": tensor.order != axes,
            "shape": tensor.shape,
        }
        npy_format.write_array_header_1_0(header, fields)
        start = header.tell()
        return Skeleton(start + math.prod(tensor.shape) * tensor.dtype.itemsize, ((0, header.getvalue()),), (start,))

    def keeps_byte_order(self, container: str) -> bool:
        return True

    def axes(self, order: tuple[int, ...]) -> tuple[int, ...]:
        plain = tuple(range(len(order)))
        return order if order == plain[::-1] else plain


def _header(reader: Reader) -> bytes:
    """The bytes up to the first element; its length is checked before it is read."""
    return reader.read(0, _header_length(reader))


def _header_length(reader: Reader) -> int:
    if reader.size < 10:
        raise InputError(f"is truncated: {reader.size} bytes are no .npy header", hint="copy or download it again")
    head = reader.read(0, min(reader.size, 12))
    wide = head[6] >= 2
    length: int = struct.unpack_from("<I" if wide else "<H", head.ljust(12, b"\0"), 8)[0] + (12 if wide else 10)
    if head[6] not in (1, 2, 3) or head[7] != 0:
        raise InputError(f"has .npy version {head[6]}.{head[7]}, which is not known")
    if length > _LONGEST_HEADER:
        raise InputError(f"has a header of {length:,} bytes, where 65,536 are plenty")
    return length


def _parse(header: bytes) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, Fortran order and NumPy dtype. NumPy lets header faults out as many kinds of exception."""
    from numpy.lib import format as npy_format

    stream = io.BytesIO(header)
    try:
        with warnings.catch_warnings(action="ignore"):  # that Python 2 has written it, that a name of a dtype is old
            version = npy_format.read_magic(stream)
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, fortran, kind = read(stream, max_header_size=_LONGEST_HEADER)
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"has a damaged .npy header: {reason}") from error
    if len(shape) > 64 or any(isinstance(length, bool) or not 0 <= length < 1 << 63 for length in shape):
        raise InputError(f"has an impossible shape in its header: {shape}"[:200])
    return shape, fortran, kind


def _dtype(kind: Any) -> tuple[DType, bool]:
    if kind.hasobject:
        raise InputError(
            "holds Python objects, which thresh never loads", hint="save plain numbers: array.astype('float32')"
        )
    name = "bool" if kind.kind == "b" else _KINDS.get(kind.kind, "") + str(8 * kind.itemsize)
    if kind.subdtype is not None or kind.names is not None or name not in DTYPES or not _storable(DTYPES[name]):
        raise InputError(f"holds {str(kind)[:80]} elements, which are not numbers that thresh knows")
    return DTYPES[name], kind.byteorder == ">"


def _storable(dtype: DType) -> bool:
    if dtype.is_float:
        return dtype.name in ("float64", "float32", "float16")
    return dtype.kind != "opaque" and dtype.name != "complex32"
