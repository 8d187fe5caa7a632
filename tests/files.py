"""Safetensors files of any dtype by their codes, written and read with the library's parser only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import safe_open

from tests.reference import pack, unpack
from threshcli.dtypes import DTYPES, DType

CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float8_e5m2": "F8_E5M2",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e8m0fnu": "F8_E8M0", "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "complex64": "C64",
}  # fmt: skip
NAMES = {code: name for name, code in CODES.items()}


def write_codes(
    path: Path,
    tensors: Mapping[str, tuple[DType, Sequence[int]]],
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """A safetensors file of these codes, one-dimensional unless shapes are given."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    data = b""
    for name, (dtype, codes) in tensors.items():
        part = bytes(pack(list(codes), dtype))
        shape = list((shapes or {}).get(name, [len(codes)]))
        header[name] = {"dtype": CODES[dtype.name], "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def read_codes(path: Path) -> dict[str, tuple[DType, list[int]]]:
    """The dtype and codes of each tensor, in the order of the header; the library must accept the file."""
    with safe_open(path, framework="np") as file:
        names = set(file.keys())
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    assert header.keys() == names
    found = {}
    for name, entry in header.items():
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        dtype = DTYPES[NAMES[entry["dtype"]]]
        found[name] = dtype, unpack(raw[first:last], dtype)
    return found
