"""The Nth call of the system fails, for N = 1, 2, ... until a run gets through: an output is the old file or new."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import Ran, listed, thresh
from threshcli.storage import _temporary as temporary

CALLS = (
    "open",
    "stat",
    "fstat",
    "pread",
    "preadv",
    "pwrite",
    "posix_fallocate",
    "fsync",
    "link",
    "replace",
    "unlink",
    "fchmod",
    "fchown",
    "scandir",
    "readlink",
    "mkdir",
)
COUNTS = {"small": 10, "large": 40_000}
"""Elements: of a file that is read and written at once, and of one that is worked on in pieces."""


class Failing:
    """A call of the system that fails from its Nth use on files of a folder, once or for ever after."""

    def __init__(self, real: Callable[..., Any], number: int, lasting: bool, folder: str) -> None:
        self._real, self._left, self._lasting, self._folder = real, number, lasting, folder
        self.failed = False

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        first = arguments[0] if arguments else 0
        ours = isinstance(first, int) or str(first).startswith(self._folder)
        self._left -= ours
        if ours and (self._left == 0 or (self._lasting and self._left < 0)):
            self.failed = True
            raise OSError(errno.EIO, "Input/output error")
        return self._real(*arguments, **more)


@pytest.fixture(params=[True, False], ids=["nameless", "named"])
def nameless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the system made no files without a name, too."""
    if not request.param:
        monkeypatch.setattr(temporary, "_PROC", None)


def run(
    name: str, number: int, lasting: bool, folder: Path, patching: pytest.MonkeyPatch, *words: object
) -> tuple[Ran, bool]:
    """A run of which the Nth call of a name fails, and whether there was one."""
    calls = Failing(getattr(os, name), number, lasting, str(folder))
    with patching.context() as patch:
        patch.setattr(os, name, calls)
        patch.setattr(temporary, "_SWEPT", set())
        return thresh(*words), calls.failed


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("size", COUNTS)
@pytest.mark.parametrize("suffix", ["npy", "safetensors", "pt"])
@pytest.mark.parametrize("mode", ["new", "overwrite", "in-place"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("name", CALLS)
def test_whichever_call_fails_the_target_is_old_or_new_and_nothing_else_is_there(
    name: str, lasting: bool, mode: str, suffix: str, size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, status 4 or 5, no leftover."""
    source, out = tmp_path / f"x.{suffix}", tmp_path / f"y.{suffix}"
    np.save(tmp_path / "x.npy", np.arange(COUNTS[size], dtype=np.float32))
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
        ran, failed = run(name, number, lasting, tmp_path, monkeypatch, "binary", source, "-t", "4", "--fsync", *where)
        if not failed:
            assert ran.status == 0, ran.err
            break
        assert ran.status in (0, 4, 5), ran.err
        if ran.status:
            assert len([line for line in ran.lines if line.startswith("thresh: error: ")]) == 1
            assert (target.read_bytes() if target.exists() else None) == old or name == "fsync"
        else:  # it could do without: no hard links, no room reserved, no owner kept
            assert target.read_bytes() != old
        left = set(listed(tmp_path)) - set(names) - {target.name}
        assert not left or name == "unlink"
        for leftover in left:
            (tmp_path / leftover).unlink()
        target.unlink(missing_ok=True) if old is None else target.write_bytes(old)
    else:
        pytest.fail("no run got through")


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("size", COUNTS)
@pytest.mark.parametrize("more", [(), ("--overwrite",), ("--skip-existing",), ("--sidecar", "--overwrite")], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_once_costs_a_batch_one_file(
    name: str, more: tuple[str, ...], size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three; the others are whole, and a second run does what is missing."""
    (tmp_path / "in").mkdir()
    wanted = {}
    for part in range(3):
        x = np.arange(COUNTS[size], dtype=np.float32) + part
        np.save(tmp_path / "in" / f"{part}.npy", x)
        wanted[f"{part}.npy"] = (x > 5).astype(np.float32).tobytes()
    out = tmp_path / "out"
    words = ("binary", tmp_path / "in", "-t", "5", "-O", out, "-q", *more)
    for number in range(1, 100):
        if out.exists():
            for path in out.iterdir():
                path.unlink()
            out.rmdir()
        if more == ("--overwrite",):
            out.mkdir()
            for part in range(3):
                (out / f"{part}.npy").write_bytes(b"old")
        ran, failed = run(name, number, False, tmp_path, monkeypatch, *words)
        if not failed:
            assert ran.status == 0, ran.err
            break
        assert ran.status in (0, 2, 3, 4, 5), ran.err
        assert "fault of thresh" not in ran.err
        made = {path.name: path.read_bytes() for path in out.glob("*.npy")} if out.exists() else {}
        right = [name for name, data in made.items() if data.endswith(wanted[name])]
        if name != "fsync":
            assert all(made[name] == b"old" for name in made if name not in right)
        if ran.status == 0:
            assert len(right) == 3
        elif ran.status == 3:
            assert len(right) >= 2
        if out.exists() and name != "unlink":
            assert not [path for path in out.iterdir() if path.name.startswith(".")]
        again = thresh(*words, *(() if "--overwrite" in more or "--skip-existing" in more else ("--skip-existing",)))
        assert again.status == 0, again.err
        assert all((out / name).read_bytes().endswith(data) for name, data in wanted.items())
    else:
        pytest.fail("no run got through")
