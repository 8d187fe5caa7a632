"""`.pt` as an archive: laid out as torch lays it out, of any size, age and byte order."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.harness import thresh
from tests.pt_files import Held, alike, loaded, plain, read, repacked, saved, trained, written
from threshcli.containers._zip import Layout, records
from threshcli.containers.base import OutTensor
from threshcli.containers.pt import Pt
from threshcli.dtypes import DTYPES
from threshcli.errors import InputError, UsageError

BASE = torch.arange(24.0)


@dataclass
class Sparse:
    """A file that torch writes to and we read: what was written, and zeros where it skipped data."""

    path: str = "sparse.pt"
    position: int = 0
    pieces: list[tuple[int, bytes]] = field(default_factory=list)

    def write(self, data: bytes) -> int:
        data, start = bytes(data), self.position
        self.position += len(data)
        if self.pieces and sum(map(int, (self.pieces[-1][0], len(self.pieces[-1][1])))) == start:
            start, before = self.pieces.pop()
            data = before + data
        self.pieces.append((start, data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = offset if whence == os.SEEK_SET else self.position + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def flush(self) -> None:
        """Nothing is held back."""

    @property
    def size(self) -> int:
        return self.position

    def read(self, offset: int, size: int) -> bytes:
        found = bytearray(size)
        for start, data in self.pieces:
            first, last = max(start, offset), min(start + len(data), offset + size)
            if first < last:
                found[first - offset : last - offset] = data[first - start : last - start]
        return bytes(found)


def test_archives_beyond_four_gigabytes_are_laid_out_as_torch_does() -> None:
    """64-bit sizes and offsets, at and around 2**32, byte for byte; elements are left out on both sides."""
    sizes = [5 << 30, 0, 12, (1 << 32) - 1, (1 << 32) - 2]
    theirs = Sparse()
    with FakeTensorMode(), torch.serialization.skip_data(materialize_fake_tensors=True):
        torch.save([torch.empty(size, dtype=torch.uint8) for size in sizes], theirs)  # type: ignore[arg-type]  # it writes
    found = records(theirs)
    ours = Layout()
    for name, record in found.items():
        if name.startswith("data/"):
            assert ours.hole(name, record.size) == record.offset
        else:
            ours.record(name, theirs.read(record.offset, record.size))
    ours.finish()
    assert (ours.size, ours.segments) == (theirs.size, theirs.pieces)
    assert [theirs.read(at, 4) for checksum in ours.checksums for at in checksum.at] == [bytes(4)] * 8


def test_a_skeleton_beyond_four_gigabytes_is_read_as_what_it_was_made_for() -> None:
    """Places, and the places of checksums, in a file that no test could write."""
    outs = tuple(OutTensor(name, DTYPES["float64"], (3 << 28,), (0,)) for name in "ab")
    skeleton = Pt().skeleton(outs, None, {})
    made = Sparse(position=skeleton.size, pieces=list(skeleton.segments))
    contents = Pt().read(made)
    assert [tensor.view.offset for tensor in contents.tensors] == list(skeleton.places)
    for checksum in skeleton.checksums:
        for at in checksum.at:
            made.pieces.append((at, (checksum.offset % 1000 + 1).to_bytes(4, "little")))
    found = {region.offset: region.crc for region in Pt().read(made).regions}
    assert found == {checksum.offset: checksum.offset % 1000 + 1 for checksum in skeleton.checksums}


def test_an_archive_may_hold_more_than_65535_records() -> None:
    """The count in the old end record is full then; the 64-bit one holds."""
    layout = Layout()
    for index in range(70_000):
        layout.hole(f"data/{index}", 0)
    layout.finish()
    ((_, data),) = layout.segments
    assert len(records(Held(data))) == 70_000


def test_a_directory_that_would_fill_the_memory_is_refused() -> None:
    """What the end record claims is not read before it is found to be too much."""
    size = 1 << 30
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 9, 9, size - 64 - 22, 64, 0)
    with pytest.raises(InputError, match="directory of 1,073,741,738 bytes"):
        records(Sparse(position=size, pieces=[(0, b"PK\x03\x04"), (size - 22, end)]))


def test_folders_in_an_archive_are_no_matter() -> None:
    """`zip -0 -r` writes entries for them."""
    data = saved([BASE])
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as file:
        file.mkdir("archive/data")
    assert read(out.getvalue()).tensors == read(data).tensors


def swapped(name: str, data: bytes) -> bytes:
    """A record as a big-endian machine would write it, for storages of float32."""
    if name.endswith("/byteorder"):
        return b"big"
    return np.frombuffer(data, "<f4").astype(">f4").tobytes() if "/data/" in name else data


def test_a_big_endian_archive_stays_one() -> None:
    """Its tensors are marked, and a copied storage still means the same."""
    big = repacked(saved([BASE, BASE[2:5]]), swapped)
    contents = read(big)
    assert all(tensor.view.swapped for tensor in contents.tensors)
    for copied in (True, False):
        out = written(big, contents, plain(contents, copied=copied))
        assert alike(loaded(out), [BASE, BASE[2:5]])
    mixed = (plain(contents)[0], replace(plain(contents)[1], swapped=False))
    with pytest.raises(UsageError, match="one byte order"):
        written(big, contents, mixed)


@pytest.mark.parametrize("kind", ["u2", "u4", "u8", "i2", "f4", "c8"])
def test_big_endian_arrays_become_archives_that_torch_reads(kind: str, tmp_path: Path) -> None:
    """torch does not swap the bytes of an untyped storage, such as that of uint16: the archive is little-endian."""
    array = np.array([1, 2, 300, 0], dtype=f">{kind}")
    np.save(tmp_path / "x.npy", array)
    given, wanted = tmp_path / "x.npy", np.where(np.abs(array) > 1, array, 0).astype(array.dtype.newbyteorder("="))
    out, left = tmp_path / "out.pt", tmp_path / "left.pt"
    assert thresh("gradient", given, "-t", 1, "-o", out, "--residual", left, "-q").status == 0
    assert torch.equal(torch.load(out)["x"], torch.from_numpy(wanted))
    assert torch.load(left)["x"].tolist() == [1, 0, 0, 0]


def test_old_archives_without_newer_records_are_read() -> None:
    """Before torch 2.1 there was no word on byte order, before 2.7 none on alignment."""
    newer = ("byteorder", ".format_version", ".storage_alignment", "serialization_id")
    old = repacked(saved(trained(torch.optim.Adam)), lambda name, data: None if name.endswith(newer) else data)
    contents = read(old)
    assert alike(loaded(written(old, contents, plain(contents, copied=False))), loaded(old))


def test_checksums_that_were_never_computed_are_not_checked() -> None:
    """torch can be told to leave them out; a note says so."""
    torch.serialization.set_crc32_options(False)
    try:
        contents = read(saved([BASE]))
    finally:
        torch.serialization.set_crc32_options(True)
    assert contents.regions == ()
    assert any("checksums" in note for note in contents.notes)
    assert len(read(saved([BASE])).regions) == 1


def test_reading_and_writing_do_not_import_torch(tmp_path: Path) -> None:
    """Importing it takes longer than most files."""
    (tmp_path / "x.pt").write_bytes(saved(trained(torch.optim.Adam)))
    code = """
import sys
from threshcli.containers.pt import Pt
from threshcli.storage.local import Source
from threshcli.containers.base import OutTensor
with Source(sys.argv[1]) as source:
    contents = Pt().read(source)
outs = tuple(OutTensor(t.name, t.dtype, t.shape, t.view.order, source=i) for i, t in enumerate(contents.tensors))
Pt().skeleton(outs, contents, {})
sys.exit("torch" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.pt")], env=dict(os.environ), check=False)
    assert ran.returncode == 0
