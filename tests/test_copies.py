"""Workers that are copies of the process do what threads do."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.harness import listed, thresh
from threshcli.engine.copies import Part, possible, work_together
from threshcli.errors import DeviceError, InputError
from threshcli.kernels.base import Kernels
from threshcli.kernels.numpy import NumpyKernels

pytestmark = [
    pytest.mark.skipif(not possible(), reason="this system cannot copy processes"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # torch's threads, which no copy touches
]
RNG = np.random.default_rng(3)


@pytest.fixture
def no_pipes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A number of pipes after which the system has none."""

    def allow(count: int) -> None:
        real, left = os.pipe, [None] * count

        def pipe() -> tuple[int, int]:
            if not left:
                raise OSError(24, "Too many open files")
            left.pop()
            return real()

        monkeypatch.setattr(os, "pipe", pipe)

    return allow


class Cards:
    """Units 0 to 999 (or more); each worker keeps the numbers that it has drawn."""

    def __init__(self, count: int = 1000) -> None:
        self.parent = os.getpid()
        self.count = count
        self.own: list[int] = []
        self.others: list[int] = []

    def run(self, workers: int) -> list[list[int]]:
        part = Part(lambda: iter(range(self.count)), self.work, lambda: self.own, self.others.append)
        return work_together(part, [NumpyKernels() for _ in range(workers)])

    def work(self, unit: int, k: Kernels) -> None:
        self.own.append(unit)

    @property
    def is_copy(self) -> bool:
        return os.getpid() != self.parent


@pytest.mark.parametrize("pipes", [0, 1, 3])
def test_where_no_more_files_may_be_open_fewer_work(pipes: int, no_pipes: Any) -> None:
    """All is done, by those that there can be."""
    no_pipes(pipes)
    cards = Cards()
    found = cards.run(5)
    assert len(found) == max(0, pipes - 1)
    assert sorted([*cards.own, *(unit for own in found for unit in own)]) == list(range(1000))


def test_answers_leave_room_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few files may be open (`ulimit -n`), they are those of the work."""
    first, other = os.pipe()
    os.close(first)
    os.close(other)
    for allowed, copies in ((first + 17, 0), (first + 21, 3), (-1, 4)):
        monkeypatch.setattr("resource.getrlimit", lambda _, allowed=allowed: (allowed, allowed))
        cards = Cards()
        found = cards.run(5)
        assert len(found) == copies
        assert sorted([*cards.own, *(unit for own in found for unit in own)]) == list(range(1000))


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 1000, 1024, 1025, 70_001])
def test_each_unit_is_done_once(count: int, workers: int) -> None:
    """By someone, in order; and whoever was copied is told of what the others have drawn."""
    cards = Cards(count)
    found = cards.run(workers)
    assert len(found) == workers - 1
    drawn = [*cards.own, *(unit for own in found for unit in own)]
    assert sorted(drawn) == list(range(count))
    assert all(own == sorted(own) for own in (cards.own, *found))
    assert sorted([*cards.own, *cards.others]) == list(range(count))


class Failing(Cards):
    """A copy, or the process itself, fails at its first unit; the other one is slow."""

    def __init__(self, error: BaseException, *, copies: bool) -> None:
        super().__init__()
        self.error, self.copies = error, copies

    def work(self, unit: int, k: Kernels) -> None:
        if self.is_copy is self.copies:
            raise self.error
        time.sleep(0.002)
        super().work(unit, k)


@pytest.mark.parametrize("copies", [True, False], ids=["in a copy", "in the process itself"])
def test_the_first_error_stops_everyone_and_is_raised(copies: bool) -> None:
    """With its hint and its file."""
    cards = Failing(InputError("is damaged", hint="copy it again", file="x.npy"), copies=copies)
    with pytest.raises(InputError) as raised:
        cards.run(2)
    assert len(cards.own) < 900
    assert (raised.value.what, raised.value.hint, raised.value.file) == ("is damaged", "copy it again", "x.npy")


class Unsendable(Exception):
    """An error that cannot be made again from its arguments."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def test_an_error_that_cannot_be_sent_is_told() -> None:
    with pytest.raises(RuntimeError, match="Unsendable: it broke"):
        Failing(Unsendable("it ", "broke"), copies=True).run(2)


class Killed(Cards):
    """A copy is killed at its first unit."""

    def work(self, unit: int, k: Kernels) -> None:
        if self.is_copy:
            os.kill(os.getpid(), signal.SIGKILL)
        super().work(unit, k)
        if len(self.own) == 1:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)


def test_a_copy_that_is_killed_is_an_error() -> None:
    """What it had drawn is not done."""
    with pytest.raises(DeviceError, match="a worker was ended") as raised:
        Killed().run(2)
    assert raised.value.hint is not None


def test_without_room_for_another_process_the_work_is_done_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", refuse)
    cards = Cards()
    assert cards.run(3) == []
    assert cards.own == list(range(1000))


def noise(count: int) -> Any:
    data = RNG.standard_normal(count).astype(np.float32)
    data[::97], data[5::1009], data[11::500_003], data[13] = 0, -0.0, np.nan, np.inf
    return data


RULES = (
    "gradient -t 0.5",
    "binary -t 0.5 --out-dtype uint8",
    "variable -t @{map}",
    "hard -t p90",
    "gradient -t top1000",
)


@pytest.mark.parametrize("rule", RULES)
def test_copies_change_nothing(rule: str, tmp_path: Path) -> None:
    """The same bytes and the same report as threads give, for any number of copies."""
    np.save(tmp_path / "x.npy", noise(2_200_000))
    np.save(tmp_path / "m.npy", np.nan_to_num(noise(2_200_000)))
    words = rule.format(map=tmp_path / "m.npy").split()
    seen = []
    for jobs, alone in ((2, False), (1, True), (2, True), (3, True)):
        out = tmp_path / "y.npy"
        ran = thresh(*words, tmp_path / "x.npy", "-o", out, "--overwrite", "-j", jobs, "--json", alone=alone)
        assert ran.status == 0, ran.err
        seen.append((out.read_bytes(), ran.tensor))
    assert all(found == seen[0] for found in seen)
    assert listed(tmp_path) == ["m.npy", "x.npy", "y.npy"]


def test_what_copies_make_of_many_small_tensors_is_in_the_output(tmp_path: Path) -> None:
    """With so much memory that an output of their size could wait in it: there no copy can write."""
    tensors = {f"{number:03}": RNG.standard_normal(7000 + number % 2).astype("f4") for number in range(320)}
    save_file(tensors, tmp_path / "x.safetensors")
    given = ("gradient", "-t", 0.5, tmp_path / "x.safetensors", "--max-memory", "1G")
    for jobs in (1, 4):
        written = ("-o", tmp_path / f"y{jobs}.safetensors", "--residual", tmp_path / f"r{jobs}.safetensors")
        assert thresh(*given, *written, "-j", jobs, alone=True).status == 0
    for name in "yr":
        assert (tmp_path / f"{name}1.safetensors").read_bytes() == (tmp_path / f"{name}4.safetensors").read_bytes()


def test_checksums_come_from_all_copies(tmp_path: Path) -> None:
    """A .pt with several tensors, the CRC-32 of each read and written in pieces; a damaged one is refused."""
    import torch

    tensors = {name: torch.from_numpy(noise(1_000_000)) for name in "abc"}
    torch.save(tensors, tmp_path / "x.pt")
    for jobs in (2, 3):
        words = ("gradient", tmp_path / "x.pt", "-t", "0.5", "--residual", tmp_path / f"r{jobs}.pt")
        ran = thresh(*words, "-o", tmp_path / f"y{jobs}.pt", "-x", "c", "-j", jobs, alone=jobs == 3)
        assert ran.status == 0, ran.err
    assert (tmp_path / "y2.pt").read_bytes() == (tmp_path / "y3.pt").read_bytes()
    assert (tmp_path / "r2.pt").read_bytes() == (tmp_path / "r3.pt").read_bytes()
    raw = bytearray((tmp_path / "x.pt").read_bytes())
    raw[6_000_000] ^= 1
    (tmp_path / "x.pt").write_bytes(raw)
    ran = thresh("gradient", tmp_path / "x.pt", "-t", "0.5", "-o", tmp_path / "z.pt", "-j", 2, alone=True)
    assert ran.status == 4
    assert "is damaged" in ran.err
    assert "z.pt" not in listed(tmp_path)


ORPHANS = """
import os, signal, time
from threshcli.engine.copies import Part, work_together
from threshcli.kernels.numpy import NumpyKernels

original, begun = os.getpid(), os.pipe()

def work(unit, kernels):
    if os.getpid() == original:
        os.read(begun[0], 2)
        os.kill(original, signal.SIGKILL)
    os.write(begun[1], b".")
    while os.getppid() == original:
        time.sleep(0.01)

part = Part(lambda: iter(range(3)), work, lambda: b"much" * (1 << 18), lambda unit: None)
work_together(part, [NumpyKernels() for _ in range(3)])
"""


def test_copies_end_with_the_process_that_they_were_made_of() -> None:
    """However much they have to tell: nobody reads it when that process is killed."""
    process = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, start_new_session=True)
    try:
        process.communicate(timeout=60)  # the end of what the copies have open, too
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
