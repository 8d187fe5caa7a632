"""Recipes in files beside outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.harness import Ran, listed, refused, thresh


def done(ran: Ran) -> Ran:
    assert ran.status == 0, ran.err
    return ran


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with an array."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(3).normal(size=(6, 8)).astype(np.float32).round(1))
    return tmp_path


def test_a_sidecar_stands_beside_any_output(folder: Path) -> None:
    """And follows the rules of outputs: complete or absent, nothing overwritten unless asked."""
    done(thresh("hard", "x.npy", "-t", "p60", "-o", "out.npy", "--sidecar"))
    assert listed(folder).count("out.npy.thresh.json") == 1
    for recipe in ("out.npy.thresh.json", "out.npy"):
        done(thresh("run", recipe, "x.npy", "-o", "again.npy", "--sidecar", "--overwrite"))
        assert Path("again.npy").read_bytes() == Path("out.npy").read_bytes()
        assert Path("again.npy.thresh.json").read_bytes() == Path("out.npy.thresh.json").read_bytes()
    Path("out.npy").unlink()
    ran = thresh("hard", "x.npy", "-t", "p60", "-o", "out.npy", "--sidecar")
    refused(ran, 5, "out.npy.thresh.json: exists already")
    assert not Path("out.npy").exists()
    assert done(thresh("hard", "x.npy", "-t", "1", "-n", "--sidecar", "-o", "z.npy")).status == 0
    assert not Path("z.npy.thresh.json").exists()


def test_a_recipe_that_is_left_beside_another_output_is_warned_of(folder: Path) -> None:
    """Since it would be taken for that output's."""
    done(thresh("hard", "x.npy", "-t", "p60", "-o", "out.npy", "--sidecar"))
    call = ("soft", "x.npy", "-t", "1", "-o", "out.npy", "--overwrite", "-q")
    assert "out.npy.thresh.json tells of what was there before" in done(thresh(*call)).err
    assert done(thresh(*call, "--sidecar")).err == ""
    Path("out.npy.thresh.json").unlink()
    assert done(thresh(*call)).err == ""


def test_a_recipe_beside_an_output_belongs_to_it(folder: Path) -> None:
    """--skip-existing looks at it, too."""
    words = ("x.npy", "-o", "out.npy", "--skip-existing", "--sidecar", "-q")
    for _ in range(2):
        done(thresh("hard", "-t", "p60", *words))
    refused(thresh("hard", "-t", "p61", *words), 5, "out.npy: exists already, made with another recipe")
    Path("out.npy.thresh.json").unlink()
    refused(thresh("hard", "-t", "p60", *words), 5, "and its recipe out.npy.thresh.json does not")


def test_a_sidecar_keeps_the_past_of_a_file_that_is_replaced(folder: Path) -> None:
    for cut in ("0.5", "1"):
        done(thresh("hard", "x.npy", "-t", cut, "--in-place", "--sidecar"))
    recipe = json.loads(Path("x.npy.thresh.json").read_text())
    assert (recipe["before"][0]["threshold"], recipe["threshold"]) == ("0.5", "1")


def test_an_output_that_fails_leaves_no_sidecar(folder: Path) -> None:
    np.save("nan.npy", np.array([np.nan, 1]))
    assert thresh("hard", "nan.npy", "-t", "1", "--nan", "error", "-o", "out.npy", "--sidecar").status == 4
    assert not [name for name in listed(folder) if name.startswith(("out", ".thresh"))]


def test_a_name_that_leaves_no_room_for_a_sidecar_is_told_of_the_output_alone(folder: Path) -> None:
    name = "x" * 250
    Path("x.npy").rename(name)
    done(thresh("hard", name, "-t", "1", "-o", "short.npy", "--sidecar"))
    ran = thresh("hard", name, "-t", "1", "-O", "out", "--sidecar")
    refused(ran, 5, f"out/{name}.thresh.json: cannot be written: File name too long", hint=False)
    assert listed("out") == []


def test_the_report_tells_of_the_sidecar(folder: Path) -> None:
    ran = done(thresh("hard", "x.npy", "-t", "1", "-o", "out.npy", "--sidecar", "--json"))
    assert ran.json["files"][0]["sidecar"] == "out.npy.thresh.json"


def test_a_stream_has_no_sidecar(folder: Path) -> None:
    """There is nothing beside it."""
    refused(thresh("hard", "x.npy", "-t", "1", "-o", "-", "--sidecar"), 2, "--sidecar has no place beside a stream")
