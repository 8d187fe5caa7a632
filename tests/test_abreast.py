"""Small files that take their steps side by side."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from tests.harness import listed, thresh
from threshcli.engine.abreast import Steps, abreast, finish, most_abreast

LOG = list[tuple[int, int]]


def steps(number: int, waits: bool, log: LOG, many: int = 3) -> Steps[int]:
    """The work on a file, which notes each of its steps."""
    try:
        for step in range(many):
            log.append((number, step))
            yield waits
    finally:
        log.append((number, -1))
    return number


def test_small_files_take_the_same_step_one_after_another() -> None:
    """Not more than so many side by side, and what becomes of them comes in order."""
    log: LOG = []
    found = abreast((steps(n, True, log, many=n % 2 + 1) for n in range(5)), 2)
    assert next(found) == 0
    assert log == [(0, 0), (1, 0), (0, -1), (1, 1), (1, -1)]
    assert [*found] == [1, 2, 3, 4]
    assert log[5:] == [(2, 0), (3, 0), (2, -1), (3, 1), (3, -1), (4, 0), (4, -1)]


def test_one_that_lets_nobody_go_meanwhile_goes_after_all_before_it() -> None:
    """From its second step to its last, without a pause."""
    log: LOG = []
    assert [*abreast(steps(n, n != 1, log) for n in range(3))] == [0, 1, 2]
    first = [(0, 0), (1, 0), (0, 1), (0, 2), (0, -1), (1, 1), (1, 2), (1, -1)]
    assert log == [*first, (2, 0), (2, 1), (2, 2), (2, -1)]
    assert finish(steps(7, True, log)) == 7


@pytest.mark.parametrize(("allowed", "most"), [(8, 1), (40, 3), (1023, 16), (1024, 16), (-1, 16)])
def test_no_more_go_side_by_side_than_may_be_open(allowed: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ulimit -n` of a session, or of a batch system; four of each file, and some to spare."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (allowed, -1))
    monkeypatch.setattr(os, "listdir", lambda _: ["0"] * 20)
    assert most_abreast() == most

    def broken(_: str) -> list[str]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "listdir", broken)
    assert most_abreast() == (16 if most == 16 and allowed != 1023 else 1)


def test_nothing_stays_open_where_one_goes_wrong() -> None:
    """An error that a file's work does not catch is everybody's."""
    log: LOG = []

    def broken() -> Steps[int]:
        yield True
        raise KeyError("broken")

    files = [steps(0, True, log), broken(), steps(2, True, log)]  # held, so that nobody else closes them
    with pytest.raises(KeyError, match="broken"):
        list(abreast(files))
    assert log == [(0, 0), (2, 0), (0, 1), (0, -1), (2, -1)]


def test_a_file_is_told_how_long_others_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can say how long it took itself."""
    clock = count()
    monkeypatch.setattr("threshcli.engine.abreast.time.perf_counter", lambda: next(clock))

    def timed() -> Steps[float]:
        return (yield True)

    assert [*abreast([timed(), timed(), timed()])] == [3, 3, 3]


def made(folder: Path) -> Iterator[Path]:
    """Small files and large ones, and much that can be wrong with some."""
    rng = np.random.default_rng(3)
    for number in range(40):
        path = folder / f"{number:02}.npy"
        data = rng.random(30000 if number % 11 == 5 else 700 + number % 3, np.float32)
        data[:3] = np.nan if number % 7 == 3 else 0.5
        np.save(path, data)
        if number % 13 == 4:
            path.write_bytes(path.read_bytes()[: number * 30])
        if number % 17 == 9:
            path.unlink()
        yield path


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_files_of_a_batch_become_what_they_become_alone(tmp_path: Path, jobs: int) -> None:
    """To the byte, with the same lines of the report, whatever their neighbours are; one bad file costs one file."""
    (tmp_path / "in").mkdir()
    files = list(made(tmp_path / "in"))
    for folder in ("alone", "together"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "20.npy").write_bytes(b"is here")
    options = ["-t", "0.5", "--nan", "error", "--report", "tsv"]
    ran = [thresh("binary", path, *options, "-O", tmp_path / "alone") for path in files]
    together = thresh("binary", *files, *options, "-O", tmp_path / "together", "-j", jobs, alone=True)
    assert together.status == 3
    rows = [line for one in ran for line in one.out.splitlines()[1:]]
    assert together.out.replace("/together/", "/alone/").splitlines()[1:] == rows
    assert together.err.replace("/together/", "/alone/") == "".join(one.err for one in ran)
    assert listed(tmp_path / "together") == listed(tmp_path / "alone")
    for path in (tmp_path / "together").iterdir():
        assert path.read_bytes() == (tmp_path / "alone" / path.name).read_bytes()


def test_after_a_failure_that_ends_all_no_neighbour_is_written(tmp_path: Path) -> None:
    """With --fail-fast a file is begun when the one before it has ended."""
    for number in range(6):
        np.save(tmp_path / f"{number}.npy", np.full(9, np.nan if number == 2 else 1.0))
    files = [tmp_path / f"{number}.npy" for number in range(6)]
    ran = thresh("binary", *files, "-t", "0.5", "--nan", "error", "-O", tmp_path / "out", "--fail-fast")
    assert ran.status == 3
    assert listed(tmp_path / "out") == ["0.npy", "1.npy"]


def test_a_pipe_among_small_files_is_opened_in_its_turn(tmp_path: Path) -> None:
    """Who writes it may wait for the output before it."""
    np.save(tmp_path / "a.npy", np.ones(5))
    os.mkfifo(tmp_path / "b.npy")

    def feed() -> None:
        while not (tmp_path / "out" / "a.npy").exists():
            time.sleep(0.001)
        (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes())

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    ran = thresh("binary", tmp_path / "a.npy", tmp_path / "b.npy", "-t", "0.5", "-O", tmp_path / "out", "-j", 1)
    feeder.join(10)
    assert ran.status == 0
    assert listed(tmp_path / "out") == ["a.npy", "b.npy"]
