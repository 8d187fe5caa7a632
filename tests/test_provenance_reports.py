"""What is noted of thresholds that came from a report: what was asked for there, where asking again gives the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.harness import refused, thresh


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(5).standard_normal((4, 6)).astype(np.float32)
    save_file({"w": x}, "x.safetensors")
    Path("maps").mkdir()
    np.save("maps/mask.npy", np.arange(24).reshape(4, 6) % 2)
    return tmp_path


def report(name: str, *asked: str) -> str:
    """A report of what solving gave; its name as a threshold."""
    ran = thresh("solve", "x.safetensors", *asked, "--json")
    assert ran.status == 0, ran.err
    Path(name).write_text(ran.out)
    return f"@{name}"


def noted(*words: str) -> dict[str, Any]:
    """What is noted of an output, which its own recipe makes again, byte for byte."""
    ran = thresh(*words, "-o", "y.safetensors", "--overwrite", "-q")
    assert ran.status == 0, ran.err
    made = Path("y.safetensors").read_bytes()
    again = thresh("run", "y.safetensors", "x.safetensors", "-o", "again.safetensors", "--overwrite", "-q")
    assert (again.status, again.err) == (0, "")
    assert Path("again.safetensors").read_bytes() == made
    with safe_open("y.safetensors", "numpy") as file:
        found: dict[str, Any] = json.loads(file.metadata()["thresh"])
    return found


def test_two_reports_that_were_asked_alike_are_what_was_asked(folder: Path) -> None:
    low, high = report("a.json", "-t", "p10", "--scale", "2"), report("b.json", "-t", "p90", "--scale", "2")
    found = noted("band", "x.safetensors", "--low", low, "--high", high)
    assert (found["low"], found["high"], found["scale"]) == ("p10", "p90", 2)


def test_reports_that_were_asked_otherwise_than_each_other_keep_their_names(folder: Path) -> None:
    """One command cannot ask for both."""
    low, high = report("a.json", "-t", "p10", "--scale", "2"), report("b.json", "-t", "p90")
    found = noted("band", "x.safetensors", "--low", low, "--high", high)
    assert (found["low"], found["high"]) == ("@a.json", "@b.json")


def test_a_report_beside_a_threshold_that_is_worked_out_keeps_its_name(folder: Path) -> None:
    """That may have been asked for otherwise."""
    low = report("a.json", "-t", "p10", "--scale", "2")
    found = noted("band", "x.safetensors", "--low", low, "--high", "p90")
    assert (found["low"], found["high"]) == ("@a.json", "p90")


def test_a_mask_is_named_without_its_folder(folder: Path) -> None:
    """As in one step, whose bytes it has; the recipe finds it beside itself."""
    Path("mask.npy").write_bytes(Path("maps/mask.npy").read_bytes())
    asked = ("-t", "p50", "--estimate-mask", "maps/mask.npy")
    found = noted("gradient", "x.safetensors", "-t", report("a.json", *asked, "--magnitude"))
    assert (found["threshold"], found["estimate_mask"]) == ("p50", "mask.npy")
    made = Path("y.safetensors").read_bytes()
    assert thresh("gradient", "x.safetensors", *asked, "-o", "one.safetensors", "-q").status == 0
    assert Path("one.safetensors").read_bytes() == made


def test_a_map_may_have_colons_in_its_name(folder: Path) -> None:
    """They part a tensor's name from that of a file, unless there is no such file and one of a longer name."""
    save_file({name: np.ones((4, 6)) for name in ("w", "m")}, "maps/m::x.safetensors")
    np.save("l::m.npy", np.ones((4, 6)))
    for spec in ("maps/m::x.safetensors::m", "maps/m::x.safetensors", "l::m.npy"):
        words = ("x.safetensors", "-o", "out.safetensors", "--overwrite")
        assert thresh("variable", *words, "-t", f"@{spec}").status == 0
        with safe_open("out.safetensors", "np") as file:
            assert json.loads(file.metadata()["thresh"])["threshold"] == "@" + spec.removeprefix("maps/")
        made = Path("out.safetensors").read_bytes()
        Path("maps/recipe.safetensors").write_bytes(made)
        assert thresh("run", "maps/recipe.safetensors", *words).status == 0
        assert Path("out.safetensors").read_bytes() == made
    Path("l").touch()
    refused(thresh("variable", *words, "-t", "@l::m.npy"), 4, "l: is empty", hint=False)
