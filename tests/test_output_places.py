"""Where outputs go: their modes and owners, links, names."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from tests.harness import listed, refused, thresh

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.arange(10.0))
    return tmp_path


def mode_of(name: str) -> int:
    return stat.S_IMODE(Path(name).stat().st_mode)


def work(*words: str) -> None:
    ran = thresh("binary", "x.npy", "-t", "4", "-q", *words)
    assert ran.status == 0, ran.err


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_that_the_umask_leaves(umask: int, folder: Path) -> None:
    """The sidecar, too."""
    old = os.umask(umask)
    try:
        work("-o", "y.npy", "--sidecar")
    finally:
        os.umask(old)
    assert {mode_of(name) for name in ("y.npy", "y.npy.thresh.json")} == {0o666 & ~umask}


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o660, 0o444])
def test_a_file_that_is_replaced_keeps_its_mode(mode: int, folder: Path) -> None:
    Path("y.npy").write_bytes(b"old")
    Path("y.npy").chmod(mode)
    work("-o", "y.npy", "--overwrite")
    assert mode_of("y.npy") == mode
    Path("x.npy").chmod(mode)
    work("--in-place")
    assert mode_of("x.npy") == mode
    assert np.load("x.npy").sum() == 5


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
def test_a_file_that_is_replaced_keeps_its_owner(folder: Path) -> None:
    """As far as who runs it may give files away; set-id bits with it."""
    Path("y.npy").write_bytes(b"old")
    os.chown("y.npy", 12345, 23456)
    Path("y.npy").chmod(0o6750)
    work("-o", "y.npy", "--overwrite")
    found = Path("y.npy").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 23456, 0o6750)


def test_an_owner_that_cannot_be_kept_is_no_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may write to a folder may replace what others own in it; what a file lends its users, another may not."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    Path("y.npy").write_bytes(b"old")
    if ROOT:
        os.chown("y.npy", 12345, 23456)
    Path("y.npy").chmod(0o6750)
    monkeypatch.setattr(os, "fchown", refuse)
    work("-o", "y.npy", "--overwrite")
    assert mode_of("y.npy") == (0o750 if ROOT else 0o6750)


def test_a_symbolic_link_is_written_through(folder: Path) -> None:
    """Also one that leads nowhere yet; the link stays."""
    Path("place").mkdir()
    for name in ("old.npy", "new.npy"):
        Path(name).symlink_to(Path("place") / name)
    Path("place/old.npy").write_bytes(b"old")
    work("-o", "old.npy", "--overwrite")
    work("-o", "new.npy")
    Path("in.npy").symlink_to("x.npy")
    ran = thresh("binary", "in.npy", "-t", "4", "--in-place", "-q")
    assert ran.status == 0, ran.err
    for name in ("old.npy", "new.npy", "in.npy"):
        assert Path(name).is_symlink()
        assert np.load(name).sum() == 5
    assert listed("place") == ["new.npy", "old.npy"]
    assert np.load("x.npy").sum() == 5


def test_another_name_of_a_file_keeps_what_was_there(folder: Path) -> None:
    """A file that is replaced is a new one: its other hard links are not written to."""
    os.link("x.npy", "copy.npy")
    work("--in-place")
    assert np.load("x.npy").sum() == 5
    assert np.load("copy.npy").sum() == 45


def test_an_output_is_no_input_by_whatever_name(folder: Path) -> None:
    """Hard and symbolic links are found by device and inode."""
    os.link("x.npy", "hard.npy")
    Path("soft.npy").symlink_to("x.npy")
    before = Path("x.npy").read_bytes()
    for name in ("hard.npy", "soft.npy", "./x.npy", str(folder / "x.npy")):
        refused(thresh("binary", "x.npy", "-t", "4", "-o", name, "--overwrite"), 5, "is the input itself")
    assert Path("x.npy").read_bytes() == before


def test_a_link_in_a_circle_is_refused(folder: Path) -> None:
    Path("a.npy").symlink_to("b.npy")
    Path("b.npy").symlink_to("a.npy")
    ran = thresh("binary", "x.npy", "-t", "4", "-o", "a.npy")
    assert ran.status == 5
    assert ran.lines[0].startswith("thresh: error: a.npy: cannot be written: ")


@pytest.mark.parametrize("name", ["ünï.npy", "a b.npy", "-x.npy", "new\nline.npy", "\x1b[31mred.npy", "\udcff.npy"])
def test_any_name_is_a_name(name: str, folder: Path) -> None:
    """What a terminal would obey is escaped where people read it."""
    Path("x.npy").rename(f"./{name}")
    ran = thresh("binary", f"./{name}", "-t", "4", "-O", "out")
    assert (ran.status, ran.err) == (0, "")
    assert listed("out") == [name]
    assert "\x1b" not in ran.out
    assert len(ran.out.splitlines()) == 4
