"""A short run of what `python -m tests.fuzz` does for longer; and that it can see what it looks for."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.fuzz import oracle, readers, running
from tests.fuzz.oracle import Broken, Overdue, check_told, check_within, in_time
from tests.fuzz.readers import READERS
from tests.harness import Ran
from threshcli.containers.base import Contents, Tensor
from threshcli.dtypes import DTYPES
from threshcli.tiles import View

SEED = 1 if os.environ.get("CI") else secrets.randbelow(1 << 32)
"""Where a run decides whether a change is taken, it tries the same cases each time; everywhere else others."""


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_give_right_values_or_our_own_errors(name: str) -> None:
    tally = running.fuzz(name, SEED, range(300))
    assert not tally.failures, tally.failures[0].told()
    assert tally.cases == 300
    assert tally.outcomes["accepted"] > 3
    assert tally.outcomes["refused"] > 60


def test_the_same_seed_makes_the_same_cases() -> None:
    """So that a failure can be seen again by its number."""
    all_of_them, some = _failing(range(40)), _failing(range(20, 40))
    assert some
    assert set(some) < set(all_of_them)
    first = some[0]
    assert f"--reader npy --seed 5 --first {first.number} --mutations 1" in first.told()
    assert first.kind.endswith("KeyError")


def _failing(numbers: range) -> list[running.Failure]:
    def ask(file: Path, data: bytes) -> str:
        if file.exists() and len(data) > 100:
            raise KeyError(len(data))
        return "refused"

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(READERS, "npy", readers.Reader("npy", lambda folder: {"a": bytes(90)}, _grown, ask, ""))
        return running.fuzz("npy", 5, numbers).failures


def _grown(random: object, data: bytes) -> bytes:
    return data + bytes(50)


def test_what_works_too_long_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "SECONDS", 0.01)
    with pytest.raises(Overdue), in_time():
        _for_ever()


def _for_ever() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("ran", "leftovers"),
    [
        (Ran(70, "", "thresh: error: KeyError\n"), []),
        (Ran(6, "", "thresh: error: the memory does not suffice\n"), []),
        (Ran(4, "", "thresh: error: x\n"), ["y.npy"]),
        (Ran(4, "", ""), []),
        (Ran(4, "", "thresh: error: x\nTraceback (most recent call last):\n"), []),
        (Ran(0, "\x1b[31m", ""), []),
        (Ran(0, "", "UserWarning: x\n"), []),
        (Ran(4, "", f"thresh: error: {'x' * 3000}\n"), []),
    ],
)
def test_what_a_command_may_not_do_is_seen(ran: Ran, leftovers: list[str]) -> None:
    with pytest.raises(Broken):
        check_told(ran, leftovers)


def test_elements_outside_of_a_file_are_seen() -> None:
    view = View(16, (2, 3), (3, 1), 4)
    contents = Contents("npy", (Tensor("", DTYPES["float32"], (2, 3), view),))
    check_within(contents, 40)
    with pytest.raises(Broken):
        check_within(contents, 39)
