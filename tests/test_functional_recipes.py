"""Recipes from a program are what they are on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import threshcli as t
from tests.harness import thresh
from threshcli.errors import InputError, UsageError

STEPS = {"steps": [{"rule": "gradient", "threshold": "{t}"}, {"rule": "clamp", "low": -1}]}


@pytest.fixture
def x(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", np.arange(-8, 8, dtype=np.float32) / 4)
    return tmp_path / "x.npy"


def test_a_mapping_is_a_recipe(x: Path) -> None:
    """Its variables are values of Python's; its report is that of the command line."""
    report = t.run(STEPS, x, variables={"t": 0.5}, output=x.parent / "y.npy", sidecar=True, jobs=2)
    y = np.load(x.parent / "y.npy")
    assert y.tolist() == [-1.0] * 5 + [-0.75] + [0.0] * 5 + [0.75, 1.0, 1.25, 1.5, 1.75]
    assert report.files[0].tensors[0].steps == ("gradient", "clamp")
    assert thresh("run", x.parent / "y.npy", x, "-o", x.parent / "z.npy").status == 0
    assert (x.parent / "z.npy").read_bytes() == (x.parent / "y.npy").read_bytes()


def test_a_file_is_a_recipe_for_several_inputs(x: Path) -> None:
    (x.parent / "r.toml").write_text('rule = "hard"\nthreshold = 1')
    np.save(x.parent / "b.npy", np.zeros(3))
    told: list[str] = []
    paths: list[Path | str] = [x, str(x.parent / "b.npy")]
    report = t.run(x.parent / "r.toml", paths, out_dir=x.parent / "out", done=lambda file: told.append(file.status))
    assert (told, report.status) == (["written", "written"], "ok")
    assert np.load(x.parent / "out" / "x.npy")[0] == -2
    assert t.run(x.parent / "r.toml", x.parent, dry_run=True).files[0].status == "dry-run"


def test_mistakes_are_told_in_the_words_of_python(x: Path) -> None:
    with pytest.raises(UsageError, match="run has no option 'threshold'"):
        t.run(STEPS, x, threshold=1, output=x.parent / "y.npy")
    with pytest.raises(UsageError, match="the variable t is not set"):
        t.run(STEPS, x, output=x.parent / "y.npy")
    with pytest.raises(UsageError, match="has no rules"):
        t.run({}, x, output=x.parent / "y.npy")
    with pytest.raises(InputError, match=r"none\.npy: no such file"):
        t.run(STEPS, x.parent / "none.npy", variables={"t": 1}, output=x.parent / "y.npy")
    report = t.run(STEPS, x.parent / "none.npy", variables={"t": 1}, output=x.parent / "y.npy", check=False)
    assert report.status == "failed"
