"""Every hostile or strange file through every command that reads: right values, or one line and nothing left."""

from __future__ import annotations

import os
import re
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tests.harness import Ran, listed, thresh
from tests.hostile import npy, pt, safetensors
from tests.hostile.case import Case

CASES = [*npy.cases(), *safetensors.cases(), *pt.cases()]
LIGHT = [case for case in CASES if not case.heavy]


def named(case: Case) -> str:
    return ascii(case.name)


every_refused = pytest.mark.parametrize("case", [case for case in LIGHT if case.said], ids=named)
every_read = pytest.mark.parametrize("case", [case for case in LIGHT if not case.said], ids=named)


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    assert len(CASES) >= 200
    assert len({case.name for case in CASES}) == len(CASES)


def one_line(ran: Ran, case: Case, status: int = 4) -> None:
    """An error of a line and perhaps a hint, harmless on a terminal, that says what it must."""
    assert ran.status == status, ran.err or ran.out
    assert case.said is not None
    assert ran.err.startswith("thresh: error: ")
    assert re.search(case.said, ran.err.splitlines()[0]), ran.err
    assert len(ran.err.splitlines()) <= 2
    assert len(ran.err) < 1500
    assert "\x1b" not in ran.err


@every_refused
def test_what_cannot_be_trusted_is_refused_in_one_line(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every command; nothing is written, nothing is run; `check` says the same of it."""
    monkeypatch.chdir(tmp_path)
    path = case.write(tmp_path)
    readable = case.fault is not None  # from its header alone it is sound
    if not readable:
        one_line(thresh("info", path), case)
    one_line(thresh("stats", path), case)
    one_line(thresh("diff", path, path), case)
    one_line(thresh("hard", path, "-t", 0, "-o", tmp_path / "out.npy"), case)
    checked = thresh("check", path, "--json")
    assert (checked.status, checked.err) == (1, "")
    assert readable or re.search(str(case.said), checked.json["files"][0]["faults"][0])
    assert listed(tmp_path) == [case.name]


@every_read
def test_what_is_strange_and_sound_has_the_right_values(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that the format's own library reads, with their bits; a rule that keeps everything gives them back."""
    monkeypatch.chdir(tmp_path)
    path = case.write(tmp_path)
    expected = list(read(path))
    found = thresh("info", path, "--json")
    assert (found.status, found.err) == (0, "")
    kind = found.json["files"][0]["format"]
    for command in ("info", "stats", "diff"):
        ran = thresh(command, path, *([path] if command == "diff" else []))
        assert (ran.status, ran.err) == (0, "")
        assert not set(ran.out) & {"\x1b", "\x9b", "\u202e", "\0"}
    out = tmp_path / f"out.{kind}"
    ran = thresh("hard", path, "-t", 0, "-o", out, "-q")
    if "not representable in float8_e8m0fnu" in ran.err:  # it has no zero
        ran = thresh("clamp", path, "--low", "-inf", "-o", out, "-q")
    if ran.status == 2:
        assert "no tensor" in ran.err or "holds one tensor" in ran.err
    else:
        assert ran.status == 0, ran.err
        assert list(read(out)) == expected
        assert thresh("diff", path, out, "-q").status == 0
    checked = thresh("check", path)
    assert (checked.status, checked.err) == (int(case.fault is not None), "")
    assert re.search(case.fault or "ok", checked.out)
    assert set(listed(tmp_path)) <= {case.name, out.name}


def places(folder: Path) -> Iterator[tuple[str, str]]:
    """What a path may lead to, and what is said of it."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket.npy")
    yield "socket.npy", "not a regular file"
    for name, target in (("loop.npy", "pool.npy"), ("pool.npy", "loop.npy"), ("lost.npy", "nowhere.npy")):
        Path(name).symlink_to(target)
    yield "loop.npy", "symbolic links"
    yield "lost.npy", "no such file"
    yield "n" * 300 + ".npy", "name too long"
    yield "/dev/null", "not a regular file"
    yield "/dev/zero", "not a regular file"
    yield "good.npy/x.npy", "ot a directory"
    yield "", "no such file"
    yield "good.npy\0x", "no file can have this name"
    yield "\ud800.npy", "no file can have this name"
    if os.geteuid():
        Path("secret.npy").write_bytes(npy.GOOD)
        Path("secret.npy").chmod(0)
        yield "secret.npy", "denied"


def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.npy").write_bytes(npy.GOOD)
    for name, said in places(tmp_path):
        case = Case(name, lambda path: None, said)
        for command in ("info", "stats", "check"):
            one_line(thresh(command, name), case)
        one_line(thresh("diff", "good.npy", name), case)
        one_line(thresh("hard", name, "-t", 0, "-o", "out.npy"), case)
        ran = thresh("info", "good.npy", name)
        assert ran.status == 3, "the good one is read"
    assert not Path("out.npy").exists()


def test_a_name_that_is_no_text_is_kept_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lone surrogate, in a pickle or in the name of a file that is not UTF-8; .safetensors have no room for it."""
    monkeypatch.chdir(tmp_path)
    strange = os.fsdecode(b"m\xff.npy")
    Path(strange).write_bytes(npy.GOOD)
    torch.save({"a\ud800": torch.ones(2)}, "s.pt")
    for path, name in ((strange, "m\udcff"), ("s.pt", "a\ud800")):
        for command in ("info", "stats", "check"):
            assert thresh(command, path, "--json").status == 0
        assert thresh("hard", path, "-t", 0, "-o", "out.pt", "--overwrite", "-q").status == 0
        assert list(torch.load("out.pt", weights_only=True)) == [name]
        ran = thresh("hard", path, "-t", 0, "-o", "out.safetensors")
        assert ran.status == 2
        assert "is no text" in ran.err
    assert not Path("out.safetensors").exists()


def read(path: Path) -> Iterator[tuple[str, str, tuple[int, ...], bytes]]:
    """Name, dtype, shape and bytes of every tensor, as the format's own library reads them."""
    head = path.read_bytes()[:6]
    if head == b"\x93NUMPY":
        with warnings.catch_warnings(action="ignore"):  # of Python 2's headers
            array = np.load(path, allow_pickle=False)
        if array.dtype == bool:
            array = array != 0  # bytes of other values are True
        yield "", array.dtype.newbyteorder("<").str, array.shape, array.astype(array.dtype.newbyteorder("<")).tobytes()
    elif head.startswith(b"PK"):
        yield from _tensors("", torch.load(path, weights_only=True))
    else:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                yield from _tensors(name, file.get_tensor(name))


def _tensors(name: str, value: Any) -> Iterator[tuple[str, str, tuple[int, ...], bytes]]:
    if isinstance(value, torch.Tensor):
        dense = value.detach().contiguous().reshape(-1)
        dense = dense.view(torch.uint8) != 0 if dense.dtype == torch.bool and dense.numel() else dense
        data = dense.view(torch.uint8).numpy().tobytes() if dense.numel() else b""
        yield name, str(value.dtype), tuple(value.shape), data
    elif isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _tensors(f"{name}.{key}", item)
