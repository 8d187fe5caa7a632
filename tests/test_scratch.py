"""Intermediate files: written and read by offset, and gone whatever happens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness import listed
from threshcli.errors import OutputError
from threshcli.storage.local import Source
from threshcli.storage.scratch import Scratch


def test_what_was_written_is_read_again_and_others_read_it_by_its_path(tmp_path: Path) -> None:
    with Scratch(str(tmp_path / "out.npy"), 16) as scratch:
        scratch.write(8, b"12345678")
        scratch.write(0, memoryview(b"abcdefgh"))
        found = bytearray(8)
        scratch.read_into(4, memoryview(found))
        assert found == b"efgh1234"
        with Source(scratch.path) as source:
            assert source.read(0, 16) == b"abcdefgh12345678"
            assert source.fingerprint == scratch.fingerprint


def test_nothing_of_it_is_seen_in_the_folder(tmp_path: Path) -> None:
    """It has no name, so that even a killed process leaves nothing."""
    with Scratch(str(tmp_path / "out.npy"), 1 << 16):
        assert listed(tmp_path) == []


def test_a_folder_that_is_not_there_and_a_full_disk_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="has no room for intermediate values"):
        Scratch(str(tmp_path / "none" / "out.npy"), 1)
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OutputError, match="the disk has less"):
        Scratch(str(tmp_path / "out.npy"), 1)


def test_writing_that_fails_and_a_file_that_was_cut_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Scratch(None, 4) as scratch:
        with pytest.raises(OutputError, match="are gone"):
            scratch.read_into(2, memoryview(bytearray(8)))
        monkeypatch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(OutputError, match="cannot be written"):
            scratch.write(0, b"1")
