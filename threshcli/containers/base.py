"""The contract of a container: a header and byte ranges.

A container answers two questions and moves no data itself. Reading: which tensors are in this file (name, dtype,
and a view: where their bytes lie)? Writing: what are the fixed bytes of an output with these tensors, and
where do their elements go (a *skeleton*)? Everything else (tiles, workers, counting, renaming, devices) is the same
for all and lives in the engine.

A container is one file here: a subclass of Container, found by itself. `sniff` recognises it by its first bytes (the
name of a file is only asked when an output is chosen). `read` sees the file through a Reader, checks everything it
can without reading elements, and bounds memory, time and recursion by what the file really holds; it raises
InputError, nothing else, for any file that cannot be trusted. `skeleton` is a pure function: the same arguments give
the same bytes.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

from threshcli.dtypes import DType
from threshcli.tiles import View

BEHIND = 1 << 20
"""Bytes behind the end of a file that comes through a pipe of which there is something to tell."""


class Reader(Protocol):
    """A file as a container sees it: a size, a path for messages and foreign parsers, and exact reads."""

    @property
    def path(self) -> str: ...

    @property
    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes:
        """Exactly so many bytes; raises InputError where the file ends earlier."""
        ...


class Region(NamedTuple):
    """Bytes of a file with a stored CRC-32, checked while they are read."""

    offset: int
    size: int
    crc: int


class Tensor(NamedTuple):
    """One tensor of a file: its name, its dtype, and where its elements lie.

    `nbytes` are the bytes of a dense copy. A tensor of an opaque dtype has the one-dimensional view of its bytes, and
    its true shape in `shape`.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    view: View

    @property
    def nbytes(self) -> int:
        return self.view.elements * self.view.itemsize


@dataclass(frozen=True, slots=True)
class Contents:
    """What a header says: the tensors in their order, and all else that an output of the same kind must repeat.

    `origin` is the container's own memory of the file (structure, bytes of the header), handed back to its `skeleton`
    and to nobody else. `notes` are lines for people: what would get lost in another container. `tied` are further names
    of tensors, with their places; `trailing` are the bytes behind the end of what the format knows.
    """

    container: str
    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()
    origin: Any = None
    notes: tuple[str, ...] = ()
    tied: tuple[tuple[str, int], ...] = ()
    trailing: int = 0


@dataclass(frozen=True, slots=True)
class OutTensor:
    """One tensor of an output: what it is called, its dtype and shape, the order of its axes in memory (slowest
    first), whether its bytes are big-endian, its place in the input (`source`, an index into Contents.tensors), and
    whether it is a bit-for-bit copy of that (`copied`)."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    order: tuple[int, ...]
    swapped: bool = False
    source: int = 0
    copied: bool = False

    @property
    def nbytes(self) -> int:
        """Its bytes, unless its dtype is opaque."""
        return math.prod(self.shape) * self.dtype.itemsize


class Checksum(NamedTuple):
    """Bytes [offset, offset + size) of an output whose CRC-32 must be written, little-endian, at each of `at`."""

    offset: int
    size: int
    at: tuple[int, ...]


class Copy(NamedTuple):
    """Bytes of the input that go to an output as they are."""

    source: int
    target: int
    size: int


class Skeleton(NamedTuple):
    """An output without its elements: its size, its fixed bytes as (offset, bytes), where each tensor's first element
    goes (None for one whose bytes are covered by `copies`), bytes to copy from the input, and the checksums to fill in
    last.

    Two tensors at the same place are tied: their elements are the same, and are written once."""

    size: int
    segments: tuple[tuple[int, bytes], ...]
    places: tuple[int | None, ...]
    copies: tuple[Copy, ...] = ()
    checksums: tuple[Checksum, ...] = ()


class Container(ABC):
    """One file format; see the top of this module."""

    name: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]]

    @abstractmethod
    def sniff(self, head: bytes) -> bool:
        """Whether a file that begins with these (at least 16, if it has them) bytes is of this kind."""

    @abstractmethod
    def read(self, reader: Reader) -> Contents:
        """What the file holds, from its header alone; raises InputError."""

    def head(self, reader: Reader) -> bytes | None:
        """The first bytes of a file, if they and its size are all that `read` goes by: files that have them in common
        are read once. None where more than they decide, or they are very long; raises InputError, as `read`."""
        return None

    def reach(self, reader: Reader) -> int:
        """How many bytes of a pipe are worth reading, as far as those tell that have come; it is asked again when they
        are there. BEHIND more than the file has; 0 where what is there is refused whatever follows; all that come
        where only its end tells."""
        return sys.maxsize

    @abstractmethod
    def skeleton(
        self, tensors: tuple[OutTensor, ...], origin: Contents | None, provenance: Mapping[str, str]
    ) -> Skeleton:
        """The output's fixed bytes. `origin` holds the input's Contents if that was of this container and its structure
        is to be kept, else None; `provenance` is text for a container that has room for it. Raises UsageError for
        what this format cannot hold (a dtype, several tensors in an .npy)."""

    def keeps_byte_order(self, container: str) -> bool:
        """Whether an output may hold big-endian elements if the input, of this container, did."""
        return False

    def axes(self, order: tuple[int, ...]) -> tuple[int, ...]:
        """The order of axes that an output of this kind can keep of an input's; C order unless overridden."""
        return tuple(range(len(order)))
