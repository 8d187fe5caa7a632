"""Checkpoints for tests: saved by torch, read by our container, and written by an engine of a few lines."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from threshcli.containers.base import Contents, OutTensor, Region, Skeleton, Tensor
from threshcli.containers.pt import Pt
from threshcli.errors import InputError

Bytes = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Held:
    """A file in memory, as a Reader."""

    data: bytes
    path: str = "memory.pt"

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise InputError("is truncated")
        return self.data[offset : offset + size]


def saved(value: object, **options: Any) -> bytes:
    """What torch.save makes of a value."""
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def loaded(data: bytes) -> Any:
    """What torch makes of a file, with nothing allowed beyond plain values."""
    return torch.load(io.BytesIO(data), weights_only=True)


def mapped(data: bytes, folder: Path) -> Any:
    """What torch makes of a file that it maps into memory, computing the offsets of records itself."""
    from torch.utils.serialization import config

    (folder / "mapped.pt").write_bytes(data)
    config.load.calculate_storage_offsets = True
    try:
        return torch.load(folder / "mapped.pt", weights_only=True, mmap=True)
    finally:
        config.load.calculate_storage_offsets = False


def read(data: bytes) -> Contents:
    return Pt().read(Held(data))


def repacked(data: bytes, change: Callable[[str, bytes], bytes | None], method: int = zipfile.ZIP_STORED) -> bytes:
    """The archive with its records changed, or left out where `change` gives None."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", method) as new:
        for entry in old.infolist():
            changed = change(entry.filename, old.read(entry))
            if changed is not None:
                new.writestr(entry.filename, changed)
    return out.getvalue()


def archive(structure: bytes, **storages: bytes) -> bytes:
    """An archive of a pickle that torch would not write; storages are called `s0`, `s1`, ..."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as new:
        new.writestr("x/data.pkl", structure)
        new.writestr("x/version", b"3\n")
        for key, content in storages.items():
            new.writestr(f"x/data/{key}", content)
    return out.getvalue()


def elements(data: bytes, tensor: Tensor) -> Bytes:
    """The elements of a tensor as bytes of its itemsize, in its shape."""
    view = tensor.view
    strides = [step * view.itemsize for step in view.strides]
    made: Bytes = np.ndarray(view.shape, f"V{view.itemsize}", data, view.offset if view.elements else 0, strides)
    return made


def plain(contents: Contents, *, copied: bool = True) -> tuple[OutTensor, ...]:
    """Every tensor of a file, as it is."""
    outs = []
    for index, tensor in enumerate(contents.tensors):
        natural = tuple(range(len(tensor.shape)))
        order = natural if tensor.dtype.kind == "opaque" else tensor.view.order or natural
        out = OutTensor(tensor.name, tensor.dtype, tensor.shape, order, tensor.view.swapped, index)
        outs.append(replace(out, copied=copied))
    return tuple(outs)


def written(
    data: bytes, contents: Contents, outs: tuple[OutTensor, ...], values: Mapping[int, Bytes] | None = None
) -> bytes:
    """The output with these tensors: elements of the input unless `values` has others, by the index of the source.

    Every byte of the file must be written, and written once."""
    skeleton = Pt().skeleton(outs, contents, {})
    assert skeleton == Pt().skeleton(outs, contents, {})
    return filled(skeleton, data, contents, outs, values or {})


def filled(
    skeleton: Skeleton, data: bytes, contents: Contents, outs: tuple[OutTensor, ...], values: Mapping[int, Bytes]
) -> bytes:
    """The skeleton with its elements, copies and checksums."""
    pieces = [*skeleton.segments]
    pieces += [(copy.target, data[copy.source : copy.source + copy.size]) for copy in skeleton.copies]
    for place, out in zip(skeleton.places, outs, strict=True):
        if place is not None:
            array = values.get(out.source, elements(data, contents.tensors[out.source]))
            pieces.append((place, (array if out.dtype.kind == "opaque" else array.transpose(out.order)).tobytes()))
    made, end = bytearray(skeleton.size), 0
    for start, piece in sorted(piece for piece in pieces if piece[1]):
        assert start == end, "a hole, or bytes written twice"
        end = start + len(piece)
        made[start:end] = piece
    assert end == skeleton.size
    for checksum in skeleton.checksums:
        crc = zlib.crc32(made[checksum.offset : checksum.offset + checksum.size])
        for at in checksum.at:
            made[at : at + 4] = crc.to_bytes(4, "little")
    return bytes(made)


def sound(data: bytes) -> bytes:
    """The same bytes, once everything that can be checked about an archive holds."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
    for region in read(data).regions:
        assert crc(data, region) == region.crc
    return data


def crc(data: bytes, region: Region) -> int:
    return zlib.crc32(data[region.offset : region.offset + region.size])


def again(value: object, *, copied: bool = True) -> Any:
    """A value saved by torch, read and written by us, and loaded by torch."""
    data = saved(value)
    contents = read(data)
    return loaded(sound(written(data, contents, plain(contents, copied=copied))))


def bits(tensor: torch.Tensor) -> bytes:
    """The elements of a tensor of any dtype, in C order."""
    dense = tensor.detach().clone(memory_format=torch.contiguous_format)
    return storage_bytes(dense)[: tensor.numel() * tensor.itemsize]


def storage_bytes(tensor: torch.Tensor) -> bytes:
    """All bytes under a tensor."""
    held: Any = tensor.untyped_storage()
    return bytes(held.tolist())


def alike(one: Any, other: Any) -> bool:
    """Whether two loaded values are the same down to types, bits and gradients; views may be laid out anew."""
    if type(one) is not type(other) or vars_of(one).keys() != vars_of(other).keys():
        return False
    if isinstance(one, torch.Tensor):
        traits = [(tensor.dtype, tensor.shape, tensor.requires_grad) for tensor in (one, other)]
        return traits[0] == traits[1] and bits(one) == bits(other)
    if not all(alike(vars_of(one)[name], vars_of(other)[name]) for name in vars_of(one)):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def vars_of(value: Any) -> dict[str, Any]:
    return getattr(value, "__dict__", {}) if isinstance(value, dict | torch.Tensor) else {}


def trained(kind: type[torch.optim.Optimizer], **options: Any) -> dict[str, Any]:
    """A checkpoint as training scripts write them, after one step."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    optimizer = kind(model.parameters(), **options)
    model(torch.randn(3, 5)).square().sum().backward()
    optimizer.step()
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    return {**states, "epoch": 3, "best": 0.25, "args": {"lr": 1e-3, "name": "été", "layers": (5, 4)}, "rng": [None]}
