"""Zip archives of stored records, as torch.save lays them out: where the bytes of each record lie.

Reading: the directory comes from `zipfile`; a record counts only if its local header agrees, it is stored as it is,
lies before the directory and overlaps no other. Writing follows torch's writer (miniz behind `PyTorchFileWriter`)
byte for byte: data at multiples of 64, a data descriptor behind each record, 64-bit fields from 4 GiB on. That matters
since `torch.load` may compute the offsets of records from those rules instead of reading them.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from threshcli.containers.base import Checksum, Reader
from threshcli.errors import InputError

MAGIC = b"PK\x03\x04"
_END_MAGIC = b"PK\x05\x06"
_LARGEST_DIRECTORY = 1 << 24  # some 200,000 records, each of which `zipfile` makes half a kilobyte of
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4sHHHHIIH")
_ALIGNMENT = 64
_FULL = 0xFFFFFFFF
_COPY_AGAIN = "copy or download it again"


@dataclass(frozen=True, slots=True)
class Record:
    """One file of an archive: where its bytes lie, how many, and their CRC-32.

    torch writes a CRC of 0 where it was told to compute none (`set_crc32_options(False)`, `skip_data`)."""

    offset: int
    size: int
    crc: int


def records(reader: Reader) -> dict[str, Record]:
    """The records of an archive by name, those of its one folder, in the order of their bytes."""
    if reader.size < 4 or reader.read(0, 4) != MAGIC:
        raise InputError(
            "is not a zip archive, as torch.save has written since 1.6", hint="load it with torch and save it again"
        )
    try:
        with zipfile.ZipFile(_File(reader)) as archive:
            entries, end = archive.infolist(), archive.start_dir
    except InputError:
        raise
    except Exception as error:  # whatever zipfile makes of a damaged directory; it promises no set of errors
        raise InputError("is truncated or damaged: its zip directory cannot be read", hint=_COPY_AGAIN) from error
    if _end(reader)[0] != min(len(entries), 0xFFFF):
        raise InputError("is damaged: its zip directory has more or fewer entries than its end says", hint=_COPY_AGAIN)
    entries = [entry for entry in entries if entry.file_size or not entry.orig_filename.endswith("/")]
    entries.sort(key=lambda entry: entry.header_offset)
    _refuse_scripts(entries)
    found: dict[str, Record] = {}
    for entry in entries:
        folder, _, name = entry.orig_filename.partition("/")
        if folder != entries[0].orig_filename.partition("/")[0] or not name or name in found:
            hint = "unpack it, and name the .npy files" if folder.endswith(".npy") else None
            raise InputError(f"holds {entry.orig_filename[:80]!r}: torch.save has not written it", hint=hint)
        found[name] = _record(reader, entry, end)
    for (_, record), (entry, _) in pairwise(zip(entries, found.values(), strict=True)):
        if record.offset + record.size > entry.header_offset:
            raise InputError("has records that overlap", hint=_COPY_AGAIN)
    return found


def _refuse_scripts(entries: list[zipfile.ZipInfo]) -> None:
    """TorchScript is told as such before anything else that is odd about it: its code is compressed."""
    inner = {entry.orig_filename.partition("/")[2].partition("/")[0] for entry in entries}
    if not inner.isdisjoint(("code", "constants.pkl")):
        raise InputError("is a TorchScript archive", hint="load it with torch.jit.load and save its state_dict()")


def _record(reader: Reader, entry: zipfile.ZipInfo, end: int) -> Record:
    """The record of a directory's entry, once its local header has confirmed it."""
    name = entry.orig_filename
    encoded = name.encode("utf-8" if entry.flag_bits & 0x800 else "cp437")
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise InputError(f"record {name[:80]!r} is compressed", hint="unpack it and zip it again with `zip -0`")
    if entry.flag_bits & 0x41 or entry.external_attr & 0x10:  # torch reads a record marked as a folder as garbage
        raise InputError(f"record {name[:80]!r} is encrypted or marked as a folder")
    start = entry.header_offset
    if not 0 <= start <= end - _LOCAL.size - len(encoded):
        raise InputError(f"record {name[:80]!r} lies outside the file", hint=_COPY_AGAIN)
    head = reader.read(start, _LOCAL.size + len(encoded))
    magic, _, _, method, _, _, _, _, _, length, extra = _LOCAL.unpack_from(head)
    if (magic, method, length) != (MAGIC, zipfile.ZIP_STORED, len(encoded)) or not head.endswith(encoded):
        raise InputError(f"record {name[:80]!r} is not where the zip directory says", hint=_COPY_AGAIN)
    data: int = start + len(head) + extra
    if data + entry.file_size > end:
        raise InputError(f"record {name[:80]!r} lies outside the file", hint=_COPY_AGAIN)
    return Record(data, entry.file_size, entry.CRC)


def contents(reader: Reader, found: Mapping[str, Record], name: str, limit: int) -> bytes:
    """The bytes of a small record, checked."""
    record = found.get(name)
    if record is None:
        raise InputError(f"is a zip archive without {name}: torch.save has not written it")
    if record.size > limit:
        raise InputError(f"its {name} is {record.size:,} bytes, more than the {limit:,} that thresh reads")
    data = reader.read(record.offset, record.size)
    if record.crc and zlib.crc32(data) != record.crc:
        raise InputError(f"is damaged: the checksum of {name} is wrong", hint=_COPY_AGAIN)
    return data


def trailing(reader: Reader) -> int:
    """The bytes behind the end of an archive; torch writes no comment there."""
    return _end(reader)[1]


def _end(reader: Reader) -> tuple[int, int]:
    """How many entries the end of an archive tells of, as `zipfile` finds it, and the bytes behind it."""
    tail = reader.read(max(0, reader.size - _END.size), min(reader.size, _END.size))
    if not tail.startswith(_END_MAGIC):
        longest = min(reader.size, _END.size + 0xFFFF)
        tail = reader.read(reader.size - longest, longest)
        tail = tail[tail.rfind(_END_MAGIC) :]
    return _END.unpack_from(tail)[4], len(tail) - _END.size


class _File(io.RawIOBase):
    """A Reader as the file object that `zipfile` wants."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._reader.size}[whence]
        if base + offset < 0:
            raise OSError("a position before the start of the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._reader.size - self._position)
        size = left if size < 0 else min(size, left)
        if size > _LARGEST_DIRECTORY:
            raise InputError(f"has a zip directory of {size:,} bytes, more than {_LARGEST_DIRECTORY:,}")
        data = self._reader.read(self._position, size) if size else b""
        self._position += size
        return data


class Layout:
    """The fixed bytes of an archive that is written: records are added in order, then `finish` gives the whole."""

    def __init__(self) -> None:
        self.size = 0
        self.segments: list[tuple[int, bytes]] = []
        self.checksums: list[Checksum] = []
        self._open = bytearray()  # fixed bytes that end at `size`
        self._entries: list[tuple[bytes, int, int, int, int | None]] = []

    def record(self, name: str, data: bytes) -> None:
        """A record whose bytes are known."""
        self._add(name, len(data), data)

    def hole(self, name: str, size: int) -> int:
        """A record whose bytes, and checksum, come later; gives the offset of its first byte."""
        return self._add(name, size, None)

    def _add(self, name: str, size: int, data: bytes | None) -> int:
        encoded, header = f"archive/{name}".encode(), self.size
        wide = struct.pack("<QQ", size, 0) if size >= _FULL else b""  # torch leaves one of them to the descriptor
        wide += struct.pack("<Q", header) if header >= _FULL else b""
        extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
        padding = -(header + _LOCAL.size + len(encoded) + len(extra) + 4) % _ALIGNMENT
        extra += b"FB" + struct.pack("<H", padding) + b"Z" * padding
        flags = 0x0808 if size else 0x0800  # UTF-8 names; a data descriptor follows unless there is no data
        self._put(_LOCAL.pack(MAGIC, 0, flags, 0, 0, 0, 0, 0, 0, len(encoded), len(extra)) + encoded + extra)
        start, crc, late = self.size, zlib.crc32(data or b""), None
        if data is None and size:
            self._flush()
            self.size += size
            late = self.size + 4
        self._put(data or b"")
        if size:
            shape = "<4sIQQ" if wide else "<4sIII"
            self._put(struct.pack(shape, b"PK\x07\x08", crc, size, size))
        self._entries.append((encoded, header, size, crc, late))
        return start

    def _put(self, data: bytes) -> None:
        self._open += data
        self.size += len(data)

    def _flush(self) -> None:
        self.segments.append((self.size - len(self._open), bytes(self._open)))
        self._open.clear()

    def finish(self) -> None:
        """Write the directory; only then are `size`, `segments` and `checksums` complete."""
        start = self.size
        for encoded, header, size, crc, late in self._entries:
            wide = struct.pack("<QQ", size, size) if size >= _FULL else b""
            wide += struct.pack("<Q", header) if header >= _FULL else b""
            extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
            short, place, flags = min(size, _FULL), min(header, _FULL), 0x0808 if size else 0x0800
            if late is not None:
                self.checksums.append(Checksum(late - 4 - size, size, (late, self.size + 16)))
            fixed = _ENTRY.pack(
                b"PK\x01\x02", 0, 0, flags, 0, 0, 0, crc, short, short, len(encoded), len(extra), 0, 0, 0, 0, place
            )
            self._put(fixed + encoded + extra)
        end, many = self.size, len(self._entries)
        self._put(_END64.pack(b"PK\x06\x06", 44, 0x031E, 0x2D, 0, 0, many, many, end - start, start))
        self._put(_LOCATOR.pack(b"PK\x06\x07", 0, end, 1))
        few = min(many, 0xFFFF)
        self._put(_END.pack(_END_MAGIC, 0, 0, few, few, min(end - start, _FULL), min(start, _FULL), 0))
        self._flush()
