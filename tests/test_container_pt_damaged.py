"""`.pt`: an archive that is cut, changed, compressed or something else is refused in one line."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pt_files import plain, read, repacked, saved, trained
from threshcli.containers.pt import Pt
from threshcli.errors import InputError

GOOD = saved({"w": torch.arange(6.0), "n": [1, "two"]})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a zip archive"),
        (b"PK\x03\x04", "cannot be read"),
        (random.Random(1).randbytes(5000), "not a zip archive"),
        (b"PK\x03\x04" + random.Random(2).randbytes(5000), "cannot be read"),
        (saved([1], _use_new_zipfile_serialization=False), "not a zip archive"),
        (repacked(GOOD, lambda name, data: data, zipfile.ZIP_DEFLATED), "compressed"),
        (repacked(GOOD, lambda name, data: None if name.endswith("data.pkl") else data), "without data.pkl"),
        (repacked(GOOD, lambda name, data: None if name.endswith("data/0") else data), "missing or cut"),
        (repacked(GOOD, lambda name, data: data[:-1] if name.endswith("data/0") else data), "missing or cut"),
        (repacked(GOOD, lambda name, data: b"middle" if name.endswith("byteorder") else data), "byte order"),
        (repacked(GOOD, lambda name, data: b"l" * 99 if name.endswith("byteorder") else data), "99 bytes"),
        (GOOD.replace(b"two", b"tow"), "checksum of data.pkl"),
        (GOOD.replace(b"little", b"liftle"), "checksum of byteorder"),
        (GOOD.replace(b"archive/data/0", b"archive/date/0", 1), "not where the zip directory says"),
        (GOOD.replace(b"archive/data/0", b"brchive/data/0"), "torch.save has not written it"),
    ],
)
def test_files_that_torch_did_not_leave_like_this_are_refused(data: bytes, said: str) -> None:
    """Whatever happened to them."""
    with pytest.raises(InputError, match=said) as caught:
        read(data)
    assert "\n" not in caught.value.what


def test_torchscript_and_npz_are_told_what_they_are(tmp_path: Path) -> None:
    """Both are zip archives too."""
    script = io.BytesIO()
    with zipfile.ZipFile(script, "w") as file:
        file.writestr("x/constants.pkl", b"")
    real = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # that scripts are old
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), real)
    for archive in (script, real):
        with pytest.raises(InputError, match="TorchScript"):
            read(archive.getvalue())
    np.savez(tmp_path / "x.npz", a=np.ones(2))
    with pytest.raises(InputError, match=r"a\.npy") as caught:
        read((tmp_path / "x.npz").read_bytes())
    assert "unpack" in str(caught.value.hint)


def patched(data: bytes, signature: bytes, offset: int, value: bytes, which: int = -1) -> bytes:
    """Bytes of a header of the archive replaced."""
    starts = [index for index in range(len(data)) if data.startswith(signature, index)]
    at = starts[which] + offset
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (8, b"\x01\x08", "encrypted"),
        (38, b"\x10", "marked as a folder"),
        (24, struct.pack("<I", 7), "compressed"),
        (20, struct.pack("<II", 7, 7), "wrong|missing|overlap"),
        (20, struct.pack("<II", 1 << 31, 1 << 31), "outside the file"),
        (42, struct.pack("<I", 1 << 31), "outside the file"),
        (42, struct.pack("<I", 64), "not where the zip directory says"),
        (42, struct.pack("<I", 0), "not where the zip directory says"),
    ],
)
def test_a_directory_that_points_elsewhere_is_refused(offset: int, value: bytes, said: str) -> None:
    """Sizes, offsets and flags of the first storage in the directory."""
    where = [entry.filename for entry in zipfile.ZipFile(io.BytesIO(GOOD)).infolist()].index("archive/data/0")
    with pytest.raises(InputError, match=said):
        read(patched(GOOD, b"PK\x01\x02", offset, value, where))


def test_records_that_overlap_are_refused() -> None:
    """Two entries for the same bytes would be a way to claim more than there is."""
    inner = b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 6, 0) + b"x/data" + b"1234"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("x/outer", inner)
        start = file.getinfo("x/outer").header_offset + 30 + len("x/outer")
        hidden = zipfile.ZipInfo("x/data")
        hidden.header_offset, hidden.file_size, hidden.compress_size, hidden.CRC = start, 4, 4, 1
        file.filelist.append(hidden)
    with pytest.raises(InputError, match="overlap"):
        read(out.getvalue())


def test_a_file_cut_anywhere_is_refused() -> None:
    """The directory is at the end, so no cut goes unseen."""
    data = saved(trained(torch.optim.Adam))
    for size in [*range(0, len(data), 37), *range(len(data) - 30, len(data))]:
        with pytest.raises(InputError):
            read(data[:size])


@settings(max_examples=400)
@given(st.data())
def test_changed_bytes_give_a_file_or_our_own_error(draw: st.DataObject) -> None:
    """Anywhere in the archive, or in its pickle with the checksum put right."""
    data = GOOD
    inner = draw.draw(st.booleans())
    if inner:
        with zipfile.ZipFile(io.BytesIO(GOOD)) as file:
            data = file.read("archive/data.pkl")
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        changed[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    made = bytes(changed)
    if inner:
        made = repacked(GOOD, lambda name, content: bytes(changed) if name.endswith("data.pkl") else content)
    try:
        contents = read(made)
    except InputError as error:
        assert "\n" not in error.what  # noqa: PT017  # a file that is still good is an answer too
    else:
        Pt().skeleton(plain(contents), contents, {})
        Pt().skeleton(plain(contents, copied=False), contents, {})


def test_sniffing_knows_archives_and_their_ancestors() -> None:
    """A legacy file is recognised so that it can be refused with a hint."""
    assert Pt().sniff(GOOD[:16])
    assert Pt().sniff(saved([1], _use_new_zipfile_serialization=False)[:16])
    assert not Pt().sniff(b"\x93NUMPY\x01\x00")
