"""CRC-32 of byte ranges that pass through in any order, piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

from threshcli.containers.base import Region
from threshcli.crc import crc32_combine
from threshcli.errors import InputError

_STEP = 1 << 20


class Extent(Protocol):
    """A range of bytes."""

    @property
    def offset(self) -> int: ...

    @property
    def size(self) -> int: ...


def crc_of(read: Callable[[int, int], bytes], extent: Extent) -> int:
    """The CRC-32 of a range of bytes, read from end to end."""
    crc, end = 0, extent.offset + extent.size
    for start in range(extent.offset, end, _STEP):
        crc = zlib.crc32(read(start, min(_STEP, end - start)), crc)
    return crc


def require(region: Region, crc: int | None) -> None:
    """InputError unless the bytes of a region have the CRC-32 that is stored for them."""
    if crc != region.crc:
        raise InputError(
            f"is damaged: the bytes at {region.offset:,} do not have their CRC-32", hint="copy or download it again"
        )


class Ledger:
    """Pieces (offset, size, CRC-32) as they come; appending is safe from many threads."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, int, int]] = []

    def add(self, offset: int, size: int, crc: int) -> None:
        self._pieces.append((offset, size, crc))

    def merge(self, other: Ledger) -> None:
        """Add the pieces of another."""
        self._pieces += other._pieces

    def crcs(self, extents: Sequence[Extent]) -> list[int | None]:
        """The CRC-32 of each range, or None where the pieces do not make it up exactly."""
        if not extents:
            return []
        pieces = sorted(piece for piece in self._pieces if piece[1])
        starts = {piece[0]: index for index, piece in enumerate(pieces)}
        return [self._crc(extent, pieces, starts) for extent in extents]

    def _crc(self, extent: Extent, pieces: list[tuple[int, int, int]], starts: dict[int, int]) -> int | None:
        at, end, crc = extent.offset, extent.offset + extent.size, 0
        index = starts.get(at, len(pieces))
        while at < end:
            if index >= len(pieces) or pieces[index][0] != at:
                return None
            crc = crc32_combine(crc, pieces[index][2], pieces[index][1])
            at += pieces[index][1]
            index += 1
        return crc if at == end else None
