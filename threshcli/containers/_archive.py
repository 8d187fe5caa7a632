"""What `pt` knows of archives: kept apart, since most calls never need it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from threshcli.containers._checkpoint import Site, survey
from threshcli.containers._pickle import Call, load
from threshcli.containers._pickler import dump
from threshcli.containers._rebuild import Origin, Writing
from threshcli.containers._vocabulary import PACKED, PARAMETERS, allowed
from threshcli.containers._zip import Record, contents, records, trailing
from threshcli.containers.base import Contents, OutTensor, Reader, Region, Skeleton, Tensor
from threshcli.dtypes import DTYPES, opaque
from threshcli.errors import InputError, UsageError
from threshcli.tiles import View

_LARGEST_PICKLE = 1 << 27
_COPY_AGAIN = "copy or download it again"


def read(kind: str, reader: Reader) -> Contents:
    """What the archive holds, from its directory and its pickle."""
    found = records(reader)
    structure = contents(reader, found, "data.pkl", _LARGEST_PICKLE)
    for name in ("version", ".format_version", ".storage_alignment"):
        if name in found:
            contents(reader, found, name, 64)
    order = contents(reader, found, "byteorder", 64) if "byteorder" in found else b"little"
    if order not in (b"little", b"big"):
        raise InputError(f"its byte order is {order!r}, neither little nor big", hint=_COPY_AGAIN)
    root = load(structure, allowed)
    seen = survey(root)
    numbers: dict[tuple[object, ...], int] = {}  # tied views are one tensor
    sites = tuple((site, numbers.setdefault(_identity(site), len(numbers))) for site in seen.sites)
    tensors = _tensors([site for site, index in sites], numbers, found, order == b"big")
    claimed, allowance = sum(tensor.nbytes for tensor in tensors), 16 * (reader.size + (1 << 20))
    if claimed > allowance:
        raise InputError(f"its tensors claim {claimed:,} bytes, {claimed // reader.size:,} times those of the file")
    storages = [record for name, record in found.items() if name.startswith("data/") and record.size]
    notes = []
    if seen.others:
        listed = ", ".join(seen.examples) + (", ..." if seen.others > len(seen.examples) else "")
        plural = "s" if seen.others > 1 else ""
        notes.append(f"{seen.others:,} other value{plural} ({listed}) cannot go to another format")
    if any(not record.crc for record in storages):
        notes.append("its checksums were not computed when it was saved, so damage cannot be seen")
    return Contents(
        kind,
        tensors,
        regions=tuple(Region(record.offset, record.size, record.crc) for record in storages if record.crc),
        origin=Origin(root, sites, tuple(seen.parameters), found, order == b"big"),
        notes=tuple(notes),
        tied=_tied(sites, tensors, seen.again),
        trailing=trailing(reader),
    )


def skeleton(tensors: tuple[OutTensor, ...], origin: Contents | None, provenance: Mapping[str, str]) -> Skeleton:
    """An archive of these tensors, nested as in `origin` if all of that is there."""
    memory: Origin | None = origin.origin if origin is not None else None
    orders = {tensor.swapped for tensor in tensors if tensor.dtype.itemsize > 1}
    if len(orders) > 1:
        raise UsageError("a .pt file has one byte order for all tensors")
    big = orders.pop() if orders else memory is not None and memory.big
    writing = Writing(tensors, big)
    if memory is not None and origin is not None and len({one.source for one in tensors}) == len(origin.tensors):
        root, replaced = writing.nested(memory)
    else:
        root, replaced = writing.flat(), {}
    return writing.skeleton(dump(root, replaced, writing.persist))


def _identity(site: Site) -> tuple[object, ...]:
    return site.storage, site.dtype, site.offset, site.shape, site.strides


def _tensors(
    sites: list[Site], numbers: Mapping[tuple[object, ...], int], found: Mapping[str, Record], big: bool
) -> tuple[Tensor, ...]:
    """The distinct views, each under the name of its first place; a name that is taken gets a number."""
    tensors: list[Tensor] = []
    names: set[str] = set()
    for site in sites:
        record = found.get(f"data/{site.storage}")
        if record is None or record.size != site.storage_bytes:
            raise InputError(f"the storage of tensor {site.name!r} is missing or cut", hint=_COPY_AGAIN)
        if numbers[_identity(site)] == len(tensors):
            name, count = site.name, 1
            while name in names:
                count += 1
                name = f"{site.name}#{count}"
            names.add(name)
            tensors.append(_tensor(site, name, record, big))
    return tuple(tensors)


def _tied(
    sites: tuple[tuple[Site, int], ...], tensors: tuple[Tensor, ...], again: list[tuple[str, Call]]
) -> tuple[tuple[str, int], ...]:
    """The names of tensors that stand elsewhere under another one, as the same view or (`again`) the same object."""
    names, seen, found = {tensor.name for tensor in tensors}, 0, []
    calls = {}
    for site, index in sites:
        calls[id(site.call)] = index
        if index < seen and site.name not in names:
            found.append((site.name, index))
        seen = max(seen, index + 1)
    for name, call in again:
        held = call.args[0] if call.function.path in PARAMETERS else call
        if name not in names and id(held) in calls:
            found.append((name, calls[id(held)]))
    return tuple(found)


def _tensor(site: Site, name: str, record: Record, big: bool) -> Tensor:
    itemsize = PACKED[site.dtype] if site.dtype in PACKED else DTYPES[site.dtype].itemsize
    elements = math.prod(site.shape)
    last = site.offset + sum((length - 1) * step for length, step in zip(site.shape, site.strides, strict=True))
    if elements and (last + 1) * itemsize > record.size:
        raise InputError(
            f"tensor {name!r} claims {elements:,} elements over the {record.size:,} bytes of its storage",
            hint=_COPY_AGAIN,
        )
    start = record.offset + site.offset * itemsize if elements else record.offset
    view = View(start, site.shape, site.strides, itemsize, big and itemsize > 1)
    if site.dtype not in PACKED:
        return Tensor(name, DTYPES[site.dtype], site.shape, view)
    if view.order is None:
        raise InputError(f"tensor {name!r} of {site.dtype} is not contiguous", hint="save it with .contiguous()")
    return Tensor(name, opaque(site.dtype), site.shape, View(start, (elements * itemsize,), (1,), 1))
