"""Pipes that never end, or go on behind the end of what they hold: no more of them is read than is of use."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.harness import thresh
from tests.hostile.case import Case
from tests.shells import Shell, shell_in
from tests.test_hostile import LIGHT, named

WRONG = "is in no format that thresh knows"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs a line of bash beside `x.npy`, `x.safetensors` and `x.pt`. No file may get larger than 40 MB, so that a copy
    without end fails."""
    monkeypatch.chdir(tmp_path)
    array = np.arange(4, dtype=np.float32)
    np.save("x.npy", array)
    safetensors.numpy.save_file({"w": array}, "x.safetensors")
    torch.save({"w": torch.from_numpy(array)}, "x.pt")
    run = shell_in(tmp_path, tmp_path / "bin")
    return lambda line: run(f"set +o pipefail; ulimit -f 40000; {line}")


@pytest.mark.parametrize("source", ["yes", "cat /dev/zero", "cat /dev/urandom", "(printf PK; yes)", "yes '{}'"])
def test_what_is_no_tensor_file_is_refused_by_its_first_bytes(source: str, shell: Shell) -> None:
    done = shell(f"{source} | thresh info -")
    assert (done.returncode, WRONG in done.stderr) == (4, True), done.stderr


@pytest.mark.parametrize("command", ["binary - -t 1 -o y.npy", "stats -", "solve - -t p90", "check -", "diff x.npy -",
                                     "unpack - -o y.npy", "hist -", "variable x.npy -t @- -o y.npy", "run - x.npy -n",
                                     "binary - -t p9 --scope global -o y.npy"])  # fmt: skip
def test_by_every_command(command: str, shell: Shell) -> None:
    """A recipe has a size beyond which it is none; here there is room for less."""
    done = shell(f"yes | thresh {command}")
    wanted = {"check": 1, "run": 5}.get(command.split()[0], 4)
    assert done.returncode == wanted, done.stderr
    assert (WRONG in done.stderr + done.stdout) == (wanted != 5)
    assert not Path("y.npy").exists()


def test_a_fifo_and_a_device_are_treated_as_a_pipe_is(shell: Shell) -> None:
    for line in ("thresh info <(yes)", "mkfifo pipe; yes > pipe & thresh info pipe", "thresh info - < /dev/zero"):
        done = shell(line)
        assert (done.returncode, WRONG in done.stderr) == (4, True), done.stderr


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors"])
def test_what_goes_on_behind_its_end_is_as_a_file_with_something_behind_its_end(name: str, shell: Shell) -> None:
    """The array is read, and `check` tells of the rest; safetensors allow none."""
    array = name == "x.npy"
    Path("long").write_bytes(Path(name).read_bytes() + b"y\n" * 100)
    for given in ("- < <(cat long)", f"- < <(cat {name}; yes)", f"<(cat {name}; yes)", "long"):
        done = shell(f"thresh hard {given} -t 2 -O out --overwrite -q")
        assert done.returncode == (0 if array else 4), done.stderr
        assert array or "is not a sound safetensors file: " in done.stderr
        checked = shell(f"thresh check {given} --json")
        assert checked.returncode == 1
        (fault,) = json.loads(checked.stdout)["files"][0]["faults"]
        assert ("behind its end" if array else "is not a sound safetensors file") in fault
        assert ("200" in fault) == (array and "long" in given)


def test_an_archive_is_read_to_its_end(shell: Shell) -> None:
    """Which nothing before it tells."""
    assert shell("cat x.pt | thresh info -").returncode == 0
    assert shell("(cat x.pt; head -c 3000000 /dev/zero) | thresh info -").returncode == 4
    done = shell("(cat x.pt; yes) | thresh info -")
    assert done.returncode == 5
    assert "has no room for a copy of what comes out of the pipe" in done.stderr


@contextmanager
def fifo(path: Path, content: bytes) -> Iterator[list[int]]:
    """A FIFO of this name, out of which this comes in pieces, which end anywhere, until nobody reads it; the bytes that
    have gone into it, piece by piece."""
    os.mkfifo(path)
    sent: list[int] = []

    def send() -> None:
        with path.open("wb", buffering=0) as pipe, suppress(BrokenPipeError):
            for start, end in pairwise((0, 1, 9, 40, 70, 150, *range(5000, len(content), 5000), len(content))):
                sent.append(pipe.write(content[start:end]))
                time.sleep(0.0002 if start < 150 else 0)  # so that what comes next comes later

    writer = threading.Thread(target=send)
    writer.start()
    yield sent
    writer.join()


def looked(path: Path) -> list[object]:
    """What there is to tell of a file."""
    (file,) = thresh("stats", path, "--json").json["files"]
    return [file["status"], re.sub("0x[0-9a-f]+|`.`", "", repr(file["error"])), file["tensors"]]


@pytest.mark.parametrize("case", LIGHT, ids=named)
def test_a_pipe_gives_what_the_file_gives(case: Case, tmp_path: Path) -> None:
    """Strange or damaged as it may be."""
    path = case.write(tmp_path)
    content, wanted = path.read_bytes(), looked(path)
    path.unlink()
    with fifo(path, content):
        assert looked(path) == wanted


def test_a_header_that_comes_in_many_pieces_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    content = safetensors.numpy.save({f"t{n}": np.zeros(n, "f4") for n in range(1500)})
    path.write_bytes(content)
    wanted = looked(path)
    path.unlink()
    with fifo(path, content + bytes(1 << 16)):  # which no safetensors file has
        assert "not a sound safetensors file" in str(looked(path)[1])
    path.unlink()
    with fifo(path, content):
        assert looked(path) == wanted


DAMAGED = (b"{", b'{"a":1}', b'{"a":{"data_offsets":[0,1e9]}}', b'{"a":{"data_offsets":[]}}', b'{"a":' * 90_000)


@pytest.mark.parametrize("header", DAMAGED, ids=range(len(DAMAGED)))
def test_nothing_is_read_behind_a_header_that_is_refused(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with fifo(path, len(header).to_bytes(8, "little") + header.ljust(60) + bytes(1 << 24)) as sent:
        assert "not a sound safetensors file" in str(looked(path)[1])
    assert sum(sent) < 1 << 22


def test_a_checkpoint_in_the_old_format_is_refused_by_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save([torch.ones(1 << 22)], path, _use_new_zipfile_serialization=False)
    content, wanted = path.read_bytes(), looked(path)
    path.unlink()
    with fifo(path, content) as sent:
        assert looked(path) == wanted
    assert sum(sent) < 1 << 22
