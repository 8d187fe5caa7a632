"""Write an input of any size: `python data.py FILE DTYPE BYTES`, in the format of the file's extension; or of a shape:
`python data.py FILE.npy DTYPE 4096x4096`.

Random numbers, made once and written again and again; no holes, so that reading is reading.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

Floats = npt.NDArray[np.float32]
_BLOCK = 1 << 23  # elements that are really random
_CODES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int8": "I8", "uint8": "U8"}
_SPREAD = 8  # tensors of a .safetensors


def block(dtype: str, elements: int) -> npt.NDArray[Any]:
    """Standard normal numbers; integers over their whole range."""
    random = np.random.default_rng(7)
    if dtype in ("int8", "uint8"):
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, elements, dtype, endpoint=True)
    values = random.standard_normal(elements, np.float32)
    if dtype == "bfloat16":
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(dtype)


def write(path: Path, dtype: str, nbytes: int) -> None:
    """A file with so many bytes of elements."""
    data = block(dtype, min(_BLOCK, nbytes))
    elements = nbytes // data.itemsize
    with path.open("wb") as file:
        if path.suffix == ".npy":
            fields = {"descr": npy_format.dtype_to_descr(data.dtype), "fortran_order": False, "shape": (elements,)}
            npy_format.write_array_header_1_0(file, fields)
        else:
            elements -= elements % _SPREAD
            _write_header(file, _CODES[dtype], elements // _SPREAD, data.itemsize, _SPREAD)
        _fill(file, data, elements)


def _write_header(file: BinaryIO, code: str, elements: int, itemsize: int, tensors: int) -> None:
    size = elements * itemsize
    header = {
        f"layer.{index}": {"dtype": code, "shape": [elements], "data_offsets": [index * size, (index + 1) * size]}
        for index in range(tensors)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)


def _fill(file: BinaryIO, data: npt.NDArray[Any], elements: int) -> None:
    while elements:
        count = min(elements, data.size)
        file.write(data[:count].data)
        elements -= count


def write_tensors(path: Path, count: int, nbytes: int) -> None:
    """A .safetensors with so many float32 tensors of so many bytes."""
    elements = nbytes // 4
    with path.open("wb") as file:
        _write_header(file, "F32", elements, 4, count)
        _fill(file, block("float32", elements), elements * count)


def write_files(folder: Path, count: int, nbytes: int) -> None:
    """A folder with so many small .npy files."""
    folder.mkdir(exist_ok=True)
    data = block("float32", nbytes // 4)
    for index in range(count):
        np.save(folder / f"{index:05}.npy", data)


def write_shaped(path: Path, dtype: str, shape: list[int]) -> None:
    """An .npy of a shape."""
    np.save(path, block(dtype, math.prod(shape)).reshape(shape))


def _normal(start: int, count: int, elements: int) -> Floats:
    return np.random.default_rng(start).standard_normal(count, np.float32)


def _sorted(start: int, count: int, elements: int) -> Floats:
    return np.arange(start, start + count, dtype=np.float64).astype(np.float32) / np.float32(elements)


def _clustered(start: int, count: int, elements: int) -> Floats:
    """Long runs of values that hardly differ, their levels far apart."""
    level = np.arange(start, start + count) // max(1, elements // 40) * 7919 % 41
    return (level + 1e-4 * np.random.default_rng(start).random(count)).astype(np.float32)


def _tied(start: int, count: int, elements: int) -> Floats:
    """A dozen values."""
    return np.random.default_rng(start).integers(0, 12, count).astype(np.float32)


ARRANGED: dict[str, Callable[[int, int, int], Floats]] = {
    "normal": _normal,
    "sorted": _sorted,
    "clustered": _clustered,
    "tied": _tied,
}


def write_arranged(path: Path, kind: str, elements: int) -> None:
    """An .npy of float32 that never repeats itself as `write` does."""
    with path.open("wb") as file:
        fields = {"descr": "<f4", "fortran_order": False, "shape": (elements,)}
        npy_format.write_array_header_1_0(file, fields)
        for start in range(0, elements, _BLOCK):
            file.write(ARRANGED[kind](start, min(_BLOCK, elements - start), elements).data)


if __name__ == "__main__":
    target, kind, lengths = Path(sys.argv[1]), sys.argv[2], list(map(int, sys.argv[3].split("x")))
    size = lengths[0]
    if len(lengths) > 1:
        write_shaped(target, kind, lengths)
    elif kind == "files":
        write_files(target, size, 4096)
    elif kind == "tensors":
        write_tensors(target, size, 4096)
    elif kind in ARRANGED:
        write_arranged(target, kind, size)
    else:
        write(target, kind, size)
