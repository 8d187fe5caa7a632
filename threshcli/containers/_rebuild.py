"""A checkpoint written again: the tree that was read, with other storages under its tensors.

A storage of which every view is to stay as it is goes over as it is, with whatever overlaps in it. Of any other
storage each view gets its own, dense; views that are the same view stay one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from threshcli.containers._checkpoint import Site
from threshcli.containers._pickle import ORDERED_DICT, Call, Global, Map, Persistent
from threshcli.containers._vocabulary import PACKED, STORAGES, UNTYPED, WITH_ATTRIBUTES
from threshcli.containers._zip import Layout, Record
from threshcli.containers.base import Copy, OutTensor, Skeleton
from threshcli.dtypes import DType
from threshcli.errors import UsageError
from threshcli.tiles import ordered_strides


def _global(path: str) -> Global:
    return Global(*path.rsplit(".", 1))


_KINDS = {dtype: _global(path) for path, dtype in STORAGES.items()}
_UNTYPED = _global(UNTYPED)
_HOOKS = _global(ORDERED_DICT)
_REBUILD = _global("torch._utils._rebuild_tensor_v2")
_REBUILD_ANY = _global("torch._utils._rebuild_tensor_v3")  # of a type without a storage of its own


@dataclass(frozen=True, slots=True)
class Origin:
    """What a file is rebuilt from: its tree, where tensors are in it and which of Contents.tensors each is."""

    root: Any
    sites: tuple[tuple[Site, int], ...]
    parameters: tuple[Call, ...]
    records: Mapping[str, Record]
    big: bool


@dataclass(slots=True, eq=False)
class _Storage:
    """A storage of an output: a copy of `record`, or the elements of one tensor."""

    kind: Global
    elements: int
    size: int
    location: str
    record: Record | None = None
    tensor: int | None = None
    key: str | None = None


@dataclass(slots=True, eq=False)
class Writing:
    """One output on its way: storages are numbered in the order in which the pickle meets them, as torch does."""

    tensors: tuple[OutTensor, ...]
    big: bool
    copied: dict[str, _Storage] = field(default_factory=dict)
    storages: list[_Storage] = field(default_factory=list)

    def nested(self, memory: Origin) -> tuple[Any, dict[int, Any]]:
        """The tree of the input, and what stands in it for each tensor that changes."""
        numbers = {tensor.source: number for number, tensor in enumerate(self.tensors)}
        rewritten = {
            site.storage
            for site, index in memory.sites
            if not self.tensors[numbers[index]].copied or self.big != memory.big
        }
        locations: dict[str, str] = {}  # torch takes the first that it meets
        fresh: dict[int, _Storage] = {}
        replaced: dict[int, Any] = {}
        integers: set[int] = set()
        for site, index in memory.sites:
            tensor, location = self.tensors[numbers[index]], locations.setdefault(site.storage, site.location)
            if site.storage not in rewritten:
                record = memory.records[f"data/{site.storage}"]
                self.copied[site.storage] = _Storage(_UNTYPED, 0, record.size, location, record)
                continue
            storage = fresh.setdefault(index, self._storage(numbers[index], location))
            replaced[id(site.call)] = _rebuilt(tensor, storage, site)
            if not _differentiable(tensor.dtype):
                integers.add(id(site.call))
        for call in memory.parameters:  # an integer cannot require a gradient
            if id(call.args[0]) in integers:
                replaced[id(call)] = Call(call.function, (call.args[0], False, *call.args[2:]))
        return memory.root, replaced

    def flat(self) -> Any:
        """A dict of tensors by name, or the one tensor that has none."""
        names = [tensor.name for tensor in self.tensors]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"two tensors would be called {twice!r}")
        for tensor in self.tensors:
            if tensor.dtype.kind == "opaque":
                raise UsageError(
                    f"{tensor.dtype.name} of tensor {tensor.name!r} can only be copied with its whole file"
                )
        calls = [_rebuilt(tensor, self._storage(number, "cpu"), None) for number, tensor in enumerate(self.tensors)]
        return calls[0] if names == [""] else Map(list(zip(names, calls, strict=True)))

    def _storage(self, number: int, location: str) -> _Storage:
        """A storage for the elements of one tensor, dense."""
        tensor = self.tensors[number]
        elements, size = math.prod(tensor.shape), tensor.dtype.itemsize
        if tensor.dtype.kind == "opaque":
            size = PACKED[tensor.dtype.name]
        kind = _KINDS.get(tensor.dtype.name, _UNTYPED)
        return _Storage(kind, elements * (size if kind is _UNTYPED else 1), elements * size, location, tensor=number)

    def persist(self, node: Persistent) -> tuple[Any, ...]:
        """The id under which the pickle refers to a storage."""
        if isinstance(node.id, _Storage):
            storage, kind, elements = node.id, node.id.kind, node.id.elements
        else:
            _, kind, key, _, elements = node.id
            storage = self.copied[key]
        if storage.key is None:
            storage.key = str(len(self.storages))
            self.storages.append(storage)
        return ("storage", kind, storage.key, storage.location, elements)

    def skeleton(self, structure: bytes) -> Skeleton:
        """The archive around this pickle."""
        layout = Layout()
        layout.record("data.pkl", structure)
        layout.record(".format_version", b"1")
        layout.record(".storage_alignment", b"64")
        layout.record("byteorder", b"big" if self.big else b"little")
        places: list[int | None] = [None] * len(self.tensors)
        copies: list[Copy] = []
        for storage in self.storages:
            place = layout.hole(f"data/{storage.key}", storage.size)
            if storage.tensor is not None:
                places[storage.tensor] = place
            elif storage.record is not None and storage.size:
                copies.append(Copy(storage.record.offset, place, storage.size))
        layout.record("version", b"3\n")
        layout.finish()
        return Skeleton(layout.size, tuple(layout.segments), tuple(places), tuple(copies), tuple(layout.checksums))


def _differentiable(dtype: DType) -> bool:
    return dtype.kind in ("float", "complex", "opaque")


def _rebuilt(tensor: OutTensor, storage: _Storage, site: Site | None) -> Call:
    """The call that rebuilds a tensor over its new storage, with what the old call had besides."""
    strides = ordered_strides(tensor.shape, tensor.order)
    if site is not None and tensor.dtype.kind == "opaque":  # its bytes stay in the order in which they are
        strides = site.strides
    old: tuple[Any, ...] = () if site is None else site.args
    gradient, hooks = old[4:6] if len(old) > 4 else (False, Call(_HOOKS, ()))
    untyped = storage.kind is _UNTYPED  # torch fails to load such a tensor with a gradient, Parameters aside
    gradient = gradient and _differentiable(tensor.dtype) and not untyped
    args: tuple[Any, ...] = (Persistent(storage), 0, (*tensor.shape,), strides, gradient, hooks)
    if untyped:
        args = (*args, Global("torch", tensor.dtype.name))
    function = _REBUILD_ANY if untyped else _REBUILD
    if site is not None and site.call.function.path == WITH_ATTRIBUTES:
        _, kind, _, state = site.call.args
        return Call(site.call.function, (function, kind, args, state))
    return Call(function, args)
