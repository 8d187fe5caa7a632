"""`.safetensors`: an 8-byte length, a JSON header, bytes.

Reading trusts nothing before the library's own parser has accepted the file. Writing is ours, since the library puts
metadata in random order: keys sorted, tensors in their order, so the same tensors give the same bytes.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Mapping
from typing import Any

from threshcli.containers.base import BEHIND, Container, Contents, OutTensor, Reader, Skeleton, Tensor
from threshcli.dtypes import DTYPES, DType, opaque
from threshcli.errors import InputError, UsageError
from threshcli.tiles import View, row_major

_CODES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "C64": "complex64",
    "BOOL": "bool",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}
_NAMES = {name: code for code, name in _CODES.items()}
_LONGEST_HEADER = 100_000_000  # the library's own limit
_SMALL_HEADER = 1 << 20
_MOST_TENSORS, _MOST_DIMENSIONS = 1 << 18, 64
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)  # one without an end is taken once, too
_AGAIN = "copy or download it again"
_LONG_HEADER = 1 << 20  # to read longer ones twice, for the sake of files alike, does not pay


class Safetensors(Container):
    """Named tensors, C order, little-endian, with text metadata."""

    name = "safetensors"
    extensions = (".safetensors",)

    def sniff(self, head: bytes) -> bool:
        return len(head) >= 9 and int.from_bytes(head[:8], "little") <= _LONGEST_HEADER and head[8:9] in (b"{", b" ")

    def head(self, reader: Reader) -> bytes | None:
        length = _length(reader)
        return reader.read(0, 8 + length) if length <= _LONG_HEADER else None

    def read(self, reader: Reader) -> Contents:
        length = _length(reader)
        text = reader.read(8, length)
        _bound(text)
        _check(reader)
        header: dict[str, Any] = json.loads(text, object_pairs_hook=_without_duplicates)
        metadata = header.pop("__metadata__", None) or {}
        tensors = tuple(_tensor(name, entry, 8 + length) for name, entry in header.items())
        return Contents(self.name, tensors, metadata)

    def reach(self, reader: Reader) -> int:
        length = int.from_bytes(reader.read(0, 8), "little")
        if reader.size < 8 + length:
            return 8 + length
        try:
            text = reader.read(8, length)
            _bound(text)
            entries = [entry for name, entry in json.loads(text).items() if name != "__metadata__"]
            ends = [operator.index(entry["data_offsets"][1]) for entry in entries]
        except (ValueError, RecursionError, AttributeError, LookupError, TypeError):  # `read` says what is wrong
            return 0
        return 8 + length + max(ends, default=0) + BEHIND

    def skeleton(
        self, tensors: tuple[OutTensor, ...], origin: Contents | None, provenance: Mapping[str, str]
    ) -> Skeleton:
        names = [tensor.name for tensor in tensors]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise UsageError(f"two tensors would be called {twice[0]!r}", hint="write .pt, which keeps their nesting")
        metadata = dict(origin.metadata if origin is not None else {}) | dict(provenance)
        places, end = _places(tensors, origin)
        header: dict[str, Any] = {}
        if metadata:
            header["__metadata__"] = dict(sorted(metadata.items()))
        for tensor, place in zip(tensors, places, strict=True):
            span = [place, place + _nbytes(tensor, origin)]
            header[tensor.name] = {"dtype": _code(tensor.dtype), "shape": list(tensor.shape), "data_offsets": span}
        text = _encoded(header)
        text += b" " * (-len(text) % 8)
        if len(text) > _LONGEST_HEADER:
            raise UsageError(f"a header of {len(text):,} bytes is more than the format allows")
        start = 8 + len(text)
        fixed = len(text).to_bytes(8, "little") + text
        return Skeleton(start + end, ((0, fixed),), tuple(start + place for place in places))


def _length(reader: Reader) -> int:
    """The bytes of the header, which are there."""
    length = int.from_bytes(reader.read(0, 8), "little")
    if length > min(_LONGEST_HEADER, reader.size - 8):
        raise InputError(
            f"is truncated: its header alone is {length:,} bytes, the file {reader.size:,}",
            hint=_AGAIN,
        )
    return length


def _bound(text: bytes) -> None:
    """InputError where a header would take more memory than what any file needs, before it is parsed: it is the marks
    outside of its strings that count. Small ones cannot do much harm."""
    if len(text) <= _SMALL_HEADER:
        return
    marks = _STRING.sub(b"", text)
    objects, keys, lists, commas = (marks.count(mark) for mark in (b"{", b":", b"[", b","))
    if objects > _MOST_TENSORS or keys > 6 * _MOST_TENSORS:
        raise InputError(f"has more than {_MOST_TENSORS:,} tensors or pairs of metadata", hint="save several files")
    if lists > 2 * objects or commas > keys + _MOST_DIMENSIONS * objects:
        raise InputError("is not a sound safetensors file: its header has lists that no tensor needs", hint=_AGAIN)


def _check(reader: Reader) -> None:
    """Let the library's parser judge the whole header: overlaps, holes, duplicates, lengths."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(reader.path, framework="np"):
            pass
    except (SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"is not a sound safetensors file: {reason}", hint=_AGAIN) from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; the library's parser lets a name stand twice and takes the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"is not a sound safetensors file: {twice!r} stands twice in its header")
    return found


def _tensor(name: str, entry: dict[str, Any], start: int) -> Tensor:
    code, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if len(shape) > _MOST_DIMENSIONS:
        raise InputError(f"tensor {name[:80]!r} has {len(shape):,} dimensions, more than {_MOST_DIMENSIONS}")
    if code not in _CODES:  # 4- and 6-bit floats: their bytes are carried along
        return Tensor(name, opaque(code), shape, View(start + first, (last - first,), (1,), 1))
    dtype = DTYPES[_CODES[code]]
    return Tensor(name, dtype, shape, View(start + first, shape, row_major(shape), dtype.itemsize))


def _encoded(header: Mapping[str, Any]) -> bytes:
    """A header as text; UsageError of a lone surrogate in it, as in the name of a file that is not UTF-8."""
    try:
        return json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        names = [name for name in header if name != name.encode("utf-8", "replace").decode()]
        said = f"the name {names[0]!r} of a tensor" if names else "its metadata"
        raise UsageError(f"{said} is no text, as all is in .safetensors", hint="write .pt or .npy") from error


def _code(dtype: DType) -> str:
    if dtype.kind == "opaque":
        return dtype.name
    if dtype.name not in _NAMES:
        raise UsageError(f"{dtype.name} cannot be stored in .safetensors", hint="write .pt or .npy")
    return _NAMES[dtype.name]


def _nbytes(tensor: OutTensor, origin: Contents | None) -> int:
    if tensor.dtype.kind != "opaque":
        return tensor.nbytes
    if origin is None:
        raise UsageError(f"{tensor.dtype.name} of tensor {tensor.name!r} cannot be taken to another format")
    return origin.tensors[tensor.source].nbytes


def _places(tensors: tuple[OutTensor, ...], origin: Contents | None) -> tuple[list[int], int]:
    """Where each tensor's bytes go: in the order of the input's bytes, or by falling element size where that order
    would leave elements unaligned, which readers that view bytes in place refuse."""
    order = list(range(len(tensors)))
    if origin is not None:
        order.sort(key=lambda index: (origin.tensors[tensors[index].source].view.offset, index))
    sizes = [_nbytes(tensor, origin) for tensor in tensors]
    kept = origin is not None and all(
        (tensor.dtype, size) == (origin.tensors[tensor.source].dtype, origin.tensors[tensor.source].nbytes)
        for tensor, size in zip(tensors, sizes, strict=True)
    )
    for attempt in range(2):
        places, end, aligned = [0] * len(tensors), 0, True
        for index in order:
            places[index] = end
            aligned &= end % tensors[index].dtype.itemsize == 0
            end += sizes[index]
        if aligned or kept or attempt:
            break
        order.sort(key=lambda index: -tensors[index].dtype.itemsize)
    return places, end
