"""Files on disk: exact reads, and outputs that are complete or absent whatever fails."""

from __future__ import annotations

import errno
import os
import select
import signal
import stat
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.harness import thresh
from threshcli.errors import InputError, OutputError
from threshcli.storage import _temporary as temporary
from threshcli.storage._writing import InTurn
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
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("number", [errno.EPERM, errno.EIO])
def test_a_file_without_a_name_that_can_be_given_none_is_copied(
    number: int, replace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its mode; where that can never be done, those that follow have a name from the beginning."""
    if temporary._PROC is None:
        pytest.skip("no files without names here")
    monkeypatch.setattr(temporary, "_PROC", temporary._PROC)
    tried = []

    def refuse(fd: int, path: str) -> None:
        tried.append(path)
        raise OSError(number, "no")

    monkeypatch.setattr(temporary, "_link", refuse)
    data = bytes(range(256)) * 5000
    for name in ("a", "b"):
        path = tmp_path / name
        if replace:
            path.write_bytes(b"old")
            path.chmod(0o640)
        target = Target(str(path), len(data), replace=replace, fsync=False)
        target.write(0, data)
        target.commit()
        assert path.read_bytes() == data
        assert not replace or path.stat().st_mode & 0o777 == 0o640
    assert listed(tmp_path) == ["a", "b"]
    assert len(tried) == (1 if number == errno.EPERM else 2)
    late = Target(str(tmp_path / "a"), 3, replace=False, fsync=False)
    with pytest.raises(OutputError, match="exists"):
        late.commit()
    assert listed(tmp_path) == ["a", "b"]


@pytest.mark.usefixtures("nameless")
def test_abandoned_outputs_leave_nothing(tmp_path: Path) -> None:
    """What a signal handler calls."""
    target = Target(str(tmp_path / "y"), 3, replace=False, fsync=False)
    temporary.abandon()
    assert listed(tmp_path) == []
    target.discard()
    target.discard()


def _enters(turn: InTurn) -> tuple[int, int]:
    """A process that takes its turn, tells so, and keeps it: its number, and where it tells."""
    ours, theirs = os.pipe()
    process = os.fork()
    if not process:
        with turn:
            os.write(theirs, b"in")
            signal.pause()
    os.close(theirs)
    return process, ours


def _end(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def test_processes_write_in_turn(tmp_path: Path) -> None:
    """One at a time; that of one that is killed passes to the next."""
    turn = InTurn(str(tmp_path / "y"))
    first, told = _enters(turn)
    assert os.read(told, 2) == b"in"
    second, waits = _enters(turn)
    try:
        assert select.select([waits], [], [], 0.2)[0] == []
        _end(first)
        assert select.select([waits], [], [], 30)[0] == [waits]
    finally:
        _end(second)
        turn.close()
        os.close(told)
        os.close(waits)


@pytest.mark.parametrize("lacking", [True, False])
def test_turns_are_a_courtesy(lacking: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has nothing to take turns by, all write at any time; nothing stays open of them."""

    def refuse(name: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    before = listed(Path("/dev/fd"))
    if lacking:
        monkeypatch.setattr(os, "memfd_create", refuse)
    target = Target(str(tmp_path / "y"), 4, replace=False, fsync=False)
    target.take_turns()
    assert isinstance(target._turn, InTurn) is not lacking
    target.write(0, b"ab")
    target.write(2, b"cd")
    target.commit()
    assert (tmp_path / "y").read_bytes() == b"abcd"
    assert listed(Path("/dev/fd")) == before


def test_what_goes_wrong_in_turn_is_told_as_elsewhere(tmp_path: Path) -> None:
    """And the turn is over."""
    turn = InTurn(str(tmp_path / "y"))
    for _ in range(2):
        with pytest.raises(OutputError, match="cannot be written: No space left"), turn:
            raise OSError(errno.ENOSPC, "No space left on device")
    process, told = _enters(turn)
    try:
        assert select.select([told], [], [], 30)[0] == [told]
    finally:
        _end(process)
        turn.close()
        os.close(told)
