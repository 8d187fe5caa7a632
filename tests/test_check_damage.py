"""`thresh check` of files that are damaged: the header lies, bytes are not what they were, or there are too many."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.harness import refused, thresh
from tests.pt_files import archive
from tests.studying import Runner
from tests.test_check import document, found
from threshcli.dtypes import DTYPES
from threshcli.studies.unsound import above


def faults(*arguments: object) -> list[str]:
    (file,) = document(*arguments, status=1)["files"]
    assert file["verdict"] == "bad"
    return list(file["faults"])


def test_bytes_of_bool_that_are_neither_are_found(tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    save_file({"b": torch.zeros(2, 3, dtype=torch.bool)}, path)
    path.write_bytes(path.read_bytes()[:-2] + b"\x02\xff")
    tensor = found(path)
    assert (tensor["invalid"], tensor["first_invalid"], tensor["verdict"]) == (2, [1, 1], "bad")
    assert "2 neither 0 nor 1, the first at [1, 1]" in thresh("check", path).out
    assert Runner()(above(3), np.arange(6, dtype="u1"), DTYPES["uint8"]).first == 4


def test_damage_is_found_and_said(folder: Path) -> None:
    """By the header alone: truncated, empty, no tensors at all; each with its line."""
    whole = Path("m.npy").read_bytes()
    Path("cut.npy").write_bytes(whole[:-1])
    Path("empty.npy").write_bytes(b"")
    Path("text.npy").write_bytes(b"hello world, hello world")
    save_file({"w": torch.ones(4)}, "s.safetensors")
    Path("s.safetensors").write_bytes(Path("s.safetensors").read_bytes() + b"x")
    for name, said in (
        ("cut.npy", "is truncated"),
        ("empty.npy", "is empty"),
        ("text.npy", "in no format"),
        ("s.safetensors", "not a sound safetensors file"),
    ):
        (fault,) = faults(name)
        assert said in fault
        ran = thresh("check", name)
        assert (ran.status, ran.err) == (1, "")
        assert fault in ran.out


def test_bytes_behind_the_end_are_found_unless_allowed(folder: Path) -> None:
    torch.save([torch.ones(2)], "t.pt")
    for name in ("m.npy", "t.pt"):
        Path(name).write_bytes(Path(name).read_bytes() + b"abc")
        assert faults(name) == ["has 3 bytes behind its end, which nothing reads"]
        assert thresh("check", name, "--allow", "trailing").status == 0
        Path(name).write_bytes(Path(name).read_bytes()[:-2])
        assert faults(name) == ["has 1 byte behind its end, which nothing reads"]


def test_a_checksum_that_is_wrong_is_that_of_a_tensor(folder: Path) -> None:
    """All of them are named; only those that are chosen."""
    torch.save({"a": torch.full((9,), 2.0), "b": torch.full((9,), 3.0), "c": torch.ones(9)}, "t.pt")
    raw = bytearray(Path("t.pt").read_bytes())
    for value in (2.0, 3.0):
        raw[raw.find(np.full(9, value, "f4").tobytes())] ^= 1
    Path("t.pt").write_bytes(raw)
    tensors = document("t.pt", status=1)["files"][0]["tensors"]
    assert [(item["name"], item["damaged"]) for item in tensors] == [("a", True), ("b", True), ("c", False)]
    assert thresh("check", "t.pt", "-k", "c").status == 0
    ran = thresh("check", "t.pt", "-x", "b")
    assert [line.split()[0] for line in ran.out.splitlines()[2:-1]] == ["t.pt", "a"]
    assert "its bytes do not have their CRC-32" in ran.out


def test_a_checksum_of_bytes_that_no_tensor_has_is_the_files(tmp_path: Path) -> None:
    """Unless tensors were chosen."""
    torch.save(torch.ones(2), tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as old:
        structure = next(old.read(name) for name in old.namelist() if name.endswith("data.pkl"))
    raw = bytearray(archive(structure, **{"0": np.ones(2, "f4").tobytes(), "1": b"unused bytes"}))
    raw[raw.find(b"unused")] ^= 1
    (tmp_path / "t.pt").write_bytes(raw)
    (fault,) = faults(tmp_path / "t.pt")
    assert fault.startswith("the bytes at ")
    assert thresh("check", tmp_path / "t.pt", "-k", "*").status == 0


def test_packed_elements_whose_bytes_are_not_what_they_were_are_bad(tmp_path: Path) -> None:
    """Their values mean nothing to us, their checksum does."""
    data = torch.arange(8, dtype=torch.uint8).view(torch.bits8)
    torch.save({"w": data}, tmp_path / "t.pt")
    raw = bytearray((tmp_path / "t.pt").read_bytes())
    raw[raw.find(bytes(range(8)))] ^= 1
    (tmp_path / "t.pt").write_bytes(raw)
    tensor = found(tmp_path / "t.pt")
    assert (tensor["verdict"], tensor["damaged"], tensor["nan"]) == ("bad", True, None)


def test_a_read_that_fails_is_no_fault_of_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    refused(thresh("check", "v.npy"), 4, "cannot be read: Input/output error", hint=False)


def test_what_checksums_cannot_tell_is_told(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(torch.ones(3), tmp_path / "t.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert "damage cannot be seen" in thresh("check", tmp_path / "t.pt", "-v").out
