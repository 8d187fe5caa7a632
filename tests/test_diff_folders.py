"""`thresh diff` of two folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.harness import refused, thresh
from tests.test_diff import document


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_of_two_folders_are_compared_by_their_names(folder: Path) -> None:
    """Below the folders, too; what is only in one of them is a difference; a file that fails costs itself."""
    for name in ("a", "b"):
        Path(name, "in").mkdir(parents=True)
        np.save(f"{name}/same.npy", np.ones(2))
        np.save(f"{name}/in/other.npy", np.full(2, len(name)) if name == "a" else np.zeros(2))
    assert thresh("diff", "a", "b").status == 0
    found = document("a", "b", "--recursive", status=1)["files"]
    assert [(file["input"], file["other"], file["same"]) for file in found] == [
        ("a/in/other.npy", "b/in/other.npy", False),
        ("a/same.npy", "b/same.npy", True),
    ]
    np.save("a/one.npy", np.ones(1))
    np.save("b/two.npy", np.ones(1))
    found = document("a", "b", status=1)["files"]
    assert [(file["input"], file["only"]) for file in found] == [
        ("a/one.npy", "a"),
        ("a/same.npy", None),
        ("b/two.npy", "b"),
    ]
    out = thresh("diff", "a", "b", "--recursive").out.splitlines()
    assert [line.split()[0] for line in out[2:]] == ["a/in/other.npy", "other", "a/one.npy", "b/two.npy", "3"]
    assert out[-1].startswith("3 of 4 files are different: 1 of 2 tensors differ, ")
    Path("a/same.npy").write_bytes(b"nothing")
    ran = thresh("diff", "a", "b")
    assert (ran.status, ran.lines[0]) == (3, "thresh: error: a/same.npy: is in no format that thresh knows")
    assert ran.out.splitlines()[-1].startswith("2 of 3 files are different, 1 failed: no tensors, ")


def test_a_pattern_that_matches_nothing_in_two_folders_is_an_error(folder: Path) -> None:
    """They are the same in nothing at all."""
    for name in ("a", "b"):
        Path(name).mkdir()
        for number, tensors in enumerate(({"w": torch.ones(3)}, {"bias": torch.ones(3)})):
            save_file(tensors, f"{name}/{number}.safetensors")
    refused(thresh("diff", "a", "b", "-k", "wight"), 2, "no tensor matches 'wight'; there is 'bias', 'w'")
    refused(thresh("diff", "a", "b", "-k", "w", "-x", "norm"), 2, "no tensor matches 'norm'")
    assert thresh("diff", "a", "b", "-k", "w", "-x", "b*").status == 0
    Path("a/0.safetensors").write_bytes(b"nothing")
    refused(thresh("diff", "a", "b", "-k", "w", "-q"), 3, "a/0.safetensors")
