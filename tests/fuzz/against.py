"""The libraries whose formats these are: what they make of a file that they accept, too."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import safetensors as safetensors_library
import torch
from safetensors import SafetensorError

from tests.files import CODES
from tests.fuzz.oracle import Broken, values
from tests.pt_files import bits
from threshcli.containers.base import Contents

deserialize: Any = safetensors_library.deserialize  # which comes without types
Judge = Callable[[bytes, Contents], bool]
"""Whether a library accepts a file, too; Broken if it then reads other values."""


def _loaded(data: bytes) -> Any:
    """What NumPy or torch makes of a file; they let out many kinds of exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python 2, of products that overflow, of other protocols
        if data[:6] == b"\x93NUMPY":
            return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        return torch.load(io.BytesIO(data), weights_only=True)


def npy(data: bytes, contents: Contents) -> bool:
    (tensor,) = contents.tensors
    try:
        found = _loaded(data)
    except Exception:  # NumPy lets out many kinds
        return False
    if found.shape != tensor.shape or found.dtype.itemsize != tensor.dtype.itemsize:
        raise Broken(f"numpy reads {found.dtype} {found.shape}, thresh {tensor.dtype.name} {tensor.shape}")
    little = found.astype(found.dtype.newbyteorder("<"))
    if little.tobytes() != values(data, tensor).tobytes():
        raise Broken("numpy reads other values")
    return True


def safetensors(data: bytes, contents: Contents) -> bool:
    try:
        found = dict(deserialize(data))
    except (SafetensorError, ValueError, OverflowError):
        return False
    if found.keys() != {tensor.name for tensor in contents.tensors}:
        raise Broken(f"safetensors finds {list(found)}, thresh {[tensor.name for tensor in contents.tensors]}")
    for tensor in contents.tensors:
        other, code = found[tensor.name], CODES.get(tensor.dtype.name, tensor.dtype.name)
        if (other["dtype"], tuple(other["shape"])) != (code, tensor.shape):
            raise Broken(f"safetensors reads {tensor.name!r} as {other['dtype']} {other['shape']}")
        if bytes(other["data"]) != values(data, tensor).tobytes():
            raise Broken(f"safetensors reads other values of {tensor.name!r}")
    return True


def pt(data: bytes, contents: Contents) -> bool:
    try:
        root = _loaded(data)
    except Exception:  # torch lets out many kinds
        return False
    found: dict[str, list[torch.Tensor]] = {}
    for name, item in _tensors(root):
        found.setdefault(name, []).append(item)
    for tensor in contents.tensors:
        if tensor.dtype.kind == "opaque":
            continue
        others = found.get(tensor.name.partition("#")[0], [])
        if not others:
            raise Broken(f"torch has no tensor {tensor.name!r}; it has {list(found)[:20]}")
        mine = values(data, tensor).tobytes()
        alike = [other for other in others if _alike(other, tensor.dtype.name, tensor.shape)]
        if not any(_bits(other) == mine for other in alike):
            raise Broken(
                f"torch reads {tensor.name!r} as {[(other.dtype, other.shape) for other in others]}, or other values"
            )
    return True


def _alike(found: torch.Tensor, dtype: str, shape: tuple[int, ...]) -> bool:
    return str(found.dtype) == f"torch.{dtype}" and tuple(found.shape) == shape


def _bits(tensor: torch.Tensor) -> bytes:
    """The elements, bools as they are stored (a copy has no others than 0 and 1); of long ones not byte by byte."""
    if tensor.dtype is torch.bool:
        tensor = tensor.detach().view(torch.uint8)
    if tensor.numel() < 1000:
        return bits(tensor)
    dense = tensor.detach().clone(memory_format=torch.contiguous_format)
    return bytes(dense.view(torch.uint8).numpy().tobytes())


def _tensors(root: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors in a tree that does not contain itself, by the path of keys."""
    left: list[tuple[str | None, Any]] = [(None, root)]
    while left:
        name, node = left.pop()
        if isinstance(node, torch.Tensor):
            yield name or "", node
            continue
        pairs: Any = (
            node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else ()
        )
        left += [(_joined(name, key), value) for key, value in pairs]


def _joined(name: str | None, key: Any) -> str:
    text = str(key) if isinstance(key, None | bool | int | float | str) else "?"
    return text if name is None else f"{name}.{text}"


def check_binary(given: bytes, made: bytes, kind: str) -> None:
    """What `binary -t 0.5` has made of plain floats: other zeros than they would be are Broken."""
    arrays: dict[str, Callable[[bytes], dict[str, Any]]] = {"npy": _array, "safetensors": _views, "pt": _leaves}
    old, new = arrays[kind](given), arrays[kind](made)
    for name, before in old.items():
        after = new.get(name)
        if after is None or after.shape != before.shape:
            raise Broken(f"the output has no {name!r} of shape {before.shape}")
        if not np.array_equal(before > 0.5, after != 0):
            raise Broken(f"{name!r} has wrong elements")


def _array(data: bytes) -> dict[str, Any]:
    found = _loaded(data)
    return {"": found} if found.dtype.kind == "f" else {}


def _views(data: bytes) -> dict[str, Any]:
    kinds = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
    found = [(name, item) for name, item in deserialize(data) if item["dtype"] in kinds and item["data"]]
    return {name: np.frombuffer(item["data"], kinds[item["dtype"]]).reshape(item["shape"]) for name, item in found}


def _leaves(data: bytes) -> dict[str, Any]:
    root = _loaded(data)
    plain = (torch.float16, torch.float32, torch.float64)
    return {name: item.detach().numpy() for name, item in _tensors(root) if item.dtype in plain}


def readable(data: bytes) -> None:
    """An exception unless the libraries take a file for one of their own."""
    if data[:6] == b"\x93NUMPY" or data[:4] == b"PK\x03\x04":
        _loaded(data)
    else:
        deserialize(data)
