"""Files on disk: exact reads, and outputs that are complete or absent whatever fails."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import thresh
from threshcli.errors import InputError, OutputError
from threshcli.storage import _temporary as temporary
from threshcli.storage.local import Source, Target


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_source_reads_exactly_what_is_asked_for(tmp_path: Path) -> None:
    """A read past the end is an error, also when the file shrinks meanwhile."""
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))
    with Source(str(path)) as source:
        assert source.read(10, 5) == bytes(range(10, 15))
        with pytest.raises(InputError, match="needed"):
            source.read(99, 2)
        with pytest.raises(InputError, match="needed"):
            source.read(-1, 2)
        source.check_unchanged()
        path.write_bytes(b"short")
        with pytest.raises(InputError, match="truncated"):
            source.read(50, 10)
        with pytest.raises(InputError, match="truncated"):
            source.read_into(0, memoryview(bytearray(10)))
        with pytest.raises(InputError, match="changed"):
            source.check_unchanged()


def test_a_pipe_is_read_through_a_temporary_copy(tmp_path: Path) -> None:
    """Process substitution gives a FIFO; its name is an input like any other."""
    np.save(tmp_path / "x.npy", np.arange(5.0))
    os.mkfifo(tmp_path / "pipe")
    content = (tmp_path / "x.npy").read_bytes()
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(content))
    writer.start()
    ran = thresh("binary", tmp_path / "pipe", "-t", "2", "-o", tmp_path / "y.npy", "-q")
    writer.join()
    assert ran.status == 0, ran.err
    assert np.load(tmp_path / "y.npy").tolist() == [0, 0, 0, 1, 1]


@pytest.fixture(params=[True, False], ids=["nameless", "named"])
def nameless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the system makes files without a name; also as if it did not."""
    if not request.param:
        monkeypatch.setattr(temporary, "_PROC", None)
    return bool(request.param) and temporary._PROC is not None


def test_an_output_appears_when_it_is_complete(nameless: bool, tmp_path: Path) -> None:
    """Until then nothing is there, or a temporary file; its mode is the umask's."""
    old = os.umask(0o027)
    try:
        target = Target(str(tmp_path / "y"), 10, replace=False, fsync=True)
        target.write(0, b"0123456789")
        assert len(listed(tmp_path)) == (not nameless)
        assert nameless or listed(tmp_path)[0].startswith(".thresh-")
        target.commit()
    finally:
        os.umask(old)
    assert listed(tmp_path) == ["y"]
    assert stat.S_IMODE((tmp_path / "y").stat().st_mode) == 0o640
    assert (tmp_path / "y").read_bytes() == b"0123456789"


@pytest.mark.usefixtures("nameless")
def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Two runs on one output: the second says so."""
    target = Target(str(tmp_path / "y"), 1, replace=False, fsync=False)
    target.write(0, b"2")
    (tmp_path / "y").write_bytes(b"1")
    with pytest.raises(OutputError, match="exists"):
        target.commit()
    assert listed(tmp_path) == ["y"]
    assert (tmp_path / "y").read_bytes() == b"1"


def test_file_systems_without_hard_links_or_allocation_serve_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rename takes the place of link, truncate that of fallocate."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(temporary, "_PROC", None)
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    target = Target(str(tmp_path / "y"), 3, replace=False, fsync=False)
    target.write(0, b"abc")
    target.commit()
    assert (tmp_path / "y").read_bytes() == b"abc"
    late = Target(str(tmp_path / "y"), 3, replace=False, fsync=False)
    with pytest.raises(OutputError, match="exists"):
        late.commit()
    assert listed(tmp_path) == ["y"]


@pytest.mark.usefixtures("nameless")
def test_abandoned_outputs_leave_nothing(tmp_path: Path) -> None:
    """What a signal handler calls."""
    target = Target(str(tmp_path / "y"), 3, replace=False, fsync=False)
    temporary.abandon()
    assert listed(tmp_path) == []
    target.discard()
    target.discard()


CALLS = ("open", "stat", "pread", "preadv", "pwrite", "posix_fallocate", "fsync", "link", "replace", "unlink", "fchmod")


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("suffix", ["npy", "safetensors", "pt"])
@pytest.mark.parametrize("mode", ["new", "overwrite", "in-place"])
@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_whichever_call_fails_the_target_is_old_or_new_and_nothing_else_is_there(
    name: str, lasting: bool, mode: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Nth call fails, for N = 1, 2, ... until a run gets through: one line, status 4 or 5, no leftover."""
    source, out = tmp_path / f"x.{suffix}", tmp_path / f"y.{suffix}"
    np.save(tmp_path / "x.npy", np.arange(10.0))
    if suffix != "npy":
        assert thresh("clamp", tmp_path / "x.npy", "--low", "-inf", "-o", source, "-q").status == 0
    where = ["--in-place"] if mode == "in-place" else ["-o", out, *(["--overwrite"] if mode == "overwrite" else [])]
    target = source if mode == "in-place" else out
    before = source.read_bytes()
    old = before if mode == "in-place" else b"old" if mode == "overwrite" else None
    if mode == "overwrite":
        out.write_bytes(b"old")
    names = listed(tmp_path)
    for number in range(1, 60):
        calls = Failing(getattr(os, name), number, lasting, str(tmp_path))
        with monkeypatch.context() as patch:
            patch.setattr(os, name, calls)
            ran = thresh("binary", source, "-t", "4", "--fsync", *where)
        if not calls.failed:
            assert ran.status == 0, ran.err
            break
        if ran.status == 0:  # it could do without (no hard links, no allocation)
            assert target.read_bytes() != old
            target.unlink() if old is None else target.write_bytes(old)
            continue
        assert ran.status in (4, 5), ran.err
        assert len([line for line in ran.lines if line.startswith("thresh: error: ")]) == 1
        assert (target.read_bytes() if target.exists() else None) == old or name == "fsync"
        assert set(listed(tmp_path)) - set(names) <= {target.name}
        if name == "fsync" and old is not None:
            target.write_bytes(old)
        elif name == "fsync":
            target.unlink(missing_ok=True)
    else:
        pytest.fail("no run got through")


class Failing:
    """A system call that fails from its Nth use on files of a folder, once or for ever after."""

    def __init__(self, real: Callable[..., Any], number: int, lasting: bool, folder: str) -> None:
        self._real, self._left, self._lasting, self._folder = real, number, lasting, folder
        self.failed = False

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        first = arguments[0]
        ours = isinstance(first, int) or str(first).startswith(self._folder)
        self._left -= ours
        if ours and (self._left == 0 or (self._lasting and self._left < 0)):
            self.failed = True
            raise OSError(errno.EIO, "Input/output error")
        return self._real(*arguments, **more)
