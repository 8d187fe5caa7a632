"""What the system lacks outside of the work on a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.harness import refused, thresh


def test_memory_that_does_not_suffice_for_a_plan_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of ours."""

    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("threshcli.plan.names.Names.jobs", broken)
    refused(thresh("hard", "x.npy", "-t", 0, "-n"), 6, "the memory does not suffice")


def test_a_current_folder_that_is_gone_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only relative names need it."""
    np.save(tmp_path / "x.npy", np.ones(3))
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert thresh("hard", tmp_path / "x.npy", "-t", 0, "-o", tmp_path / "y.npy").status == 0
    for words in (("info", "x.npy"), ("hard", tmp_path / "x.npy", "-t", 0, "-o", "y.npy")):
        refused(thresh(*words), 4, "error: the current folder is not there any more")
