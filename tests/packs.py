"""Packed files read by the layouts alone, and the decoder of each."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.files import NAMES
from threshcli.dtypes import DTYPES, DType


class Raw(NamedTuple):
    """One tensor of a safetensors file: its dtype, its shape, its bytes."""

    dtype: DType
    shape: tuple[int, ...]
    data: bytes


def raw_tensors(path: Path) -> dict[str, Raw]:
    """All tensors of a safetensors file, in the order of its header."""
    text = path.read_bytes()
    length = int.from_bytes(text[:8], "little")
    header = json.loads(text[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        found[name] = Raw(DTYPES[NAMES[entry["dtype"]]], tuple(entry["shape"]), text[first:last])
    return found


def metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file."""
    text = path.read_bytes()
    found: dict[str, str] = json.loads(text[8 : 8 + int.from_bytes(text[:8], "little")]).get("__metadata__", {})
    return found


def from_bits(packed: Any, shape: tuple[int, ...]) -> Any:
    """The documented way back from a mask in bits."""
    return np.unpackbits(packed, count=math.prod(shape)).reshape(shape)


def from_bitmask(parts: dict[str, Raw], prefix: str) -> bytes:
    """A matrix by the layout: element by element, as a reader would that trusts nothing but its description."""
    rows, columns = np.frombuffer(parts[f"{prefix}.shape"].data, "<i8")
    values, mask = parts[f"{prefix}.compressed"], parts[f"{prefix}.bitmask"]
    size, width = values.dtype.itemsize, -(-int(columns) // 8)
    offsets = np.frombuffer(parts[f"{prefix}.row_offsets"].data, "<i8")
    assert mask.shape == (rows, width)
    assert offsets.shape == (rows,)
    out, at = bytearray(), 0
    for row in range(rows):
        assert offsets[row] == at
        for column in range(columns):
            stays = mask.data[row * width + column // 8] >> column % 8 & 1
            out += values.data[at * size : (at + 1) * size] if stays else bytes(size)
            at += stays
        assert not columns % 8 or mask.data[(row + 1) * width - 1] >> columns % 8 == 0
    assert values.shape == (at,)
    return bytes(out)
