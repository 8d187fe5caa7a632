"""The contract of a packing: how elements of an output are stored in fewer bytes, and how they are found again.

A packing is one file here, named as `--pack` takes it: a subclass of Packing. It stands between a rule and a container,
and knows neither files nor workers.

Writing: `pack` says which tensors of the container (its *parts*) stand for one tensor of the output. What it gives, a
Packed, makes of each tile's bytes the *pieces* that are written, whatever the tile's size and in any order. Pieces of
two tiles never overlap, but for single bytes in which bits of both lie: these say that they are `shared`, and are or-ed
together. Where the size of a part depends on the data (`measured`), a first pass asks `measure` of every tile, and the
sums are handed to `pack`; without them it plans for the most that it may be.

Reading: `packed_in` finds what is packed in a file, by names and metadata, and checks everything that the header can
tell; it raises InputError, nothing else, for what cannot be trusted. Each tensor that it finds checks its data before
the first element is asked of it, and gives any stretch of elements in memory that does not grow with the tensor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from threshcli.containers.base import Contents, OutTensor
from threshcli.dtypes import DType
from threshcli.rules.base import Rule
from threshcli.tiles import Tile

PREFIX = "thresh."
"""What the keys of packings begin with."""

Sizes = Mapping[int, int]
"""What was measured of the tiles of a tensor, by their first elements."""


class Piece(NamedTuple):
    """Bytes for one of the parts, from `offset` on; one that is `shared` is a single byte, and other tiles add bits."""

    part: int
    offset: int
    data: bytes | memoryview
    shared: bool = False


@dataclass(frozen=True)
class Packed(ABC):
    """One tensor as it is stored: its parts, and what a report tells of it."""

    parts: tuple[OutTensor, ...]
    stored: OutTensor
    packing: str

    @abstractmethod
    def pieces(self, tile: Tile, data: memoryview) -> Iterator[Piece]:
        """What is written of a tile of elements, given their bytes as the rule made them."""

    def constants(self) -> Iterator[Piece]:
        """What is written whatever the elements are; all other bytes of the parts are zero where no piece goes."""
        return iter(())

    def measure(self, data: memoryview) -> int:
        """What a first pass adds up, of one tile."""
        raise NotImplementedError


class Reader(Protocol):
    """A file whose bytes are asked for."""

    def read(self, offset: int, size: int) -> bytes: ...


@dataclass(frozen=True)
class Given:
    """What a user says of packed tensors that say nothing of themselves: the shape of the only one there is, or dtype
    and shape of each by its name (`like`); and the dtype that masks are to have."""

    shape: tuple[int, ...] | None = None
    like: Mapping[str, tuple[DType, tuple[int, ...]]] = field(default_factory=dict)
    dtype: DType | None = None


@dataclass(frozen=True)
class Folded(ABC):
    """One tensor that is packed in a file: its parts, by their numbers there, and what it is when it is unpacked."""

    numbers: tuple[int, ...]
    name: str
    dtype: DType
    shape: tuple[int, ...]

    @abstractmethod
    def check(self, reader: Reader) -> None:
        """InputError where the bytes of the parts do not fit each other; called once, before `elements`."""

    @abstractmethod
    def elements(self, reader: Reader, start: int, stop: int) -> memoryview:
        """The bytes of elements [start, stop), in C order."""


class Packing(ABC):
    """One way of packing; see the top of this module."""

    name: ClassVar[str]
    formats: ClassVar[tuple[str, ...] | None] = None
    """The containers that can hold it; None for all."""
    measured: ClassVar[bool] = False
    """Whether the size of what is written depends on the data."""

    def check(self, rule: Rule, cuts: int) -> None:  # noqa: B027 - some take what any rule writes
        """UsageError where what a rule writes, given so many cuts, cannot be packed."""

    def refusal(self, out: OutTensor) -> str | None:
        """Why a tensor is left as it is, or None where it is packed."""
        return None

    @abstractmethod
    def pack(self, out: OutTensor, sizes: Sizes | None) -> Packed:
        """How a tensor is stored; `sizes` are what was measured."""

    @property
    def key(self) -> str:
        """What tells of packed tensors in the metadata of a file; gone when all is unpacked."""
        return PREFIX + self.name

    @abstractmethod
    def metadata(self, packed: Sequence[OutTensor], before: Mapping[str, str]) -> str:
        """What stands under the key in an output with these tensors; `before` is the metadata of its input, of which
        other tensors may be packed."""

    @abstractmethod
    def told(self, metadata: Mapping[str, str]) -> Set[str]:
        """The names of the tensors of a file that are parts of packed ones, as its metadata tells; InputError where it
        cannot be read."""

    @abstractmethod
    def packed_in(self, contents: Contents, reader: Reader, given: Given) -> list[Folded]:
        """The tensors of a file that are packed this way, by their numbers in ascending order."""
