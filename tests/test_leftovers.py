"""Temporary files of processes that were killed: removed by the next run, never while someone writes to them."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from tests.harness import listed
from threshcli.errors import OutputError
from threshcli.storage import _temporary as temporary
from threshcli.storage.local import Target

STALE, ALIVE = ".thresh-0123456789abcdef.tmp", ".thresh-fedcba9876543210.tmp"
OTHERS = (".thresh-notes.tmp", ".thresh-0123456789abcdef.tmp.txt", "x.npy")


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_SWEPT", set())


def written(path: Path, *, replace: bool = False) -> None:
    target = Target(str(path), 3, replace=replace, fsync=False)
    target.write(0, b"new")
    target.commit()
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("nameless", [True, False])
def test_what_nobody_holds_is_removed_once(nameless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a run that makes such files itself: everywhere to replace a file, on some systems for each."""
    if not nameless:
        monkeypatch.setattr(temporary, "_PROC", None)
    for name in (STALE, ALIVE, *OTHERS):
        (tmp_path / name).write_bytes(b"old")
    with (tmp_path / ALIVE).open("rb") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        written(tmp_path / "x.npy", replace=True)
    assert listed(tmp_path) == sorted([ALIVE, *OTHERS])
    (tmp_path / STALE).write_bytes(b"old")
    written(tmp_path / "y.npy")
    assert listed(tmp_path) == sorted([STALE, ALIVE, "y.npy", *OTHERS])


def test_what_is_no_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a link, a pipe of such a name are none of ours."""
    monkeypatch.setattr(temporary, "_PROC", None)
    (tmp_path / STALE).mkdir()
    (tmp_path / ALIVE).symlink_to(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(b"x")
    written(tmp_path / "y.npy")
    assert listed(tmp_path) == sorted([STALE, ALIVE, "x.npy", "y.npy"])


def test_a_file_that_a_sweep_was_quicker_to_lock_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_PROC", None)
    held = iter([False, True])
    monkeypatch.setattr(temporary, "hold", lambda _: next(held))
    written(tmp_path / "y.npy")
    assert next(held, None) is None


def test_what_the_file_system_refuses_is_made_with_a_name_and_other_errors_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every file system that Linux knows makes files without a name."""
    real, said = os.open, [errno.EOPNOTSUPP]

    def refuse(path: str, flags: int, *more: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(said[0], "refused")
        return real(path, flags, *more)

    monkeypatch.setattr(os, "open", refuse)
    for said[0] in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
        written(tmp_path / f"{said[0]}.npy")
    said[0] = errno.EMFILE
    with pytest.raises(OutputError, match="cannot be written: refused"):
        written(tmp_path / "y.npy")
    assert len(listed(tmp_path)) == 3


def test_without_locks_nothing_is_taken_for_a_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on a file system, nor on a system that has none."""

    def refuse(*_: object) -> None:
        raise OSError(os.strerror(95))

    (tmp_path / STALE).write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        patch.setattr(temporary, "_PROC", None)
        written(tmp_path / "y.npy")
    with monkeypatch.context() as patch:
        patch.setattr(temporary, "fcntl", None)
        patch.setattr(temporary, "_SWEPT", set())
        written(tmp_path / "y.npy", replace=True)
    assert listed(tmp_path) == [STALE, "y.npy"]
