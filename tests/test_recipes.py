"""Recipes as people write them: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.files import read_codes, write_codes
from tests.harness import Ran, refused, thresh
from threshcli.dtypes import DTYPES

FLOAT = DTYPES["float32"]
NAMES = ("a.weight", "a.bias", "b.weight", "b.scale", "norm.weight")


def code(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a file of four elements in each tensor."""
    monkeypatch.chdir(tmp_path)
    tensors = {name: (FLOAT, [code(value) for value in (-2, -0.5, 0.5, 3)]) for name in NAMES}
    write_codes(tmp_path / "x.safetensors", tensors)
    return tmp_path


def run(text: str, *more: object, name: str = "r.toml") -> Ran:
    Path(name).write_text(text)
    return thresh("run", name, "x.safetensors", "-o", "y.safetensors", "--overwrite", *more)


def values() -> dict[str, list[float]]:
    """What each tensor of the output holds."""
    found = read_codes(Path("y.safetensors"))
    return {
        name: np.array(codes, f"u{dtype.itemsize}").view(f"f{dtype.itemsize}").tolist()
        for name, (dtype, codes) in found.items()
        if dtype.is_float
    }


SAME = [-2, -0.5, 0.5, 3]


def test_the_first_entry_that_matches_has_a_tensor(folder: Path) -> None:
    """Lists of globs, exclusions, regular expressions for whole names, what is kept, and what nothing matches."""
    ran = run("""
    [[rules]]
    tensors = ["norm*", "nor?.*"]
    keep = true
    [[rules]]
    tensors = "*.weight"
    exclude = "b*"
    rule = "gradient"
    threshold = 1
    [[rules]]
    regex = ['b\\.\\w{6}', 'nothing|a.bias']
    rule = "replace"
    threshold = 0.5
    value = -0.25
    compare = "ge"
    """)
    assert ran.status == 0, ran.err
    found = values()
    assert found["norm.weight"] == found["b.scale"] == SAME
    assert found["a.weight"] == [-2, 0, 0, 3]
    assert found["b.weight"] == found["a.bias"] == [-0.25, -0.25, 0.5, 3]


def test_one_rule_needs_no_list(folder: Path) -> None:
    assert run('rule = "hard"\nthreshold = 2\ntensors = "a.*"\nfill = 7').status == 0
    assert values()["a.bias"] == [-2, 7, 7, 3]
    assert values()["b.scale"] == SAME


def test_options_are_those_of_the_command_line(folder: Path) -> None:
    """With dashes or underscores; numbers and texts, exact; lists where there are commas."""
    text = """
    [[rules]]
    tensors = "a.weight"
    rule = "levels"
    threshold = [-1, "0.5"]
    values = [0, 0.10, 1]
    [[rules]]
    tensors = "a.bias"
    rule = "variable"
    threshold = "mean"
    at-most = 0
    ignore_zero = true
    scale = 2
    [[rules]]
    rule = "binary"
    threshold = 0.1
    above = 255
    out-dtype = "uint8"
    nan = "fill=3"
    """
    ran = run(text, "--json")
    assert ran.status == 0, ran.err
    levels, variable, binary = ran.json["recipe"]["rules"]
    assert (levels["threshold"], levels["values"]) == ("-1,0.5", "0,0.10,1")
    assert (variable["at_most"], variable["ignore_zero"], variable["scale"]) == (0, True, 2)
    assert (binary["threshold"], binary["out_dtype"], binary["nan"]) == ("0.1", "uint8", "fill=3")
    assert values()["a.weight"] == [0, pytest.approx(0.1), pytest.approx(0.1), 1]
    assert read_codes(Path("y.safetensors"))["b.scale"] == (DTYPES["uint8"], [0, 0, 255, 255])


def test_variables_come_from_the_command_line_or_the_recipe(folder: Path) -> None:
    """Whole values keep their types; parts of texts are put together."""
    text = """
    [variables]
    cut = 1
    share = 50
    binary = true
    kind = "weight"
    [[rules]]
    tensors = "a.{kind}"
    rule = "band"
    low = "{cut}"
    high = 5
    binary = "{binary}"
    [[rules]]
    tensors = "b.{kind}"
    rule = "gradient"
    threshold = "zero{share}%"
    """
    assert run(text).status == 0
    assert values()["a.weight"] == [0, 0, 0, 1]
    assert values()["b.weight"] == [-2, 0, 0, 3]
    assert run(text, "--set", "cut=-1", "--set", "binary=false", "--set", "kind=weigh?").status == 0
    assert values()["a.weight"] == [0, -0.5, 0.5, 3]


def test_scopes_are_over_the_tensors_of_their_entry(folder: Path) -> None:
    """A file, or all files of a call."""
    write_codes(folder / "x.safetensors", {
        "a": (FLOAT, [code(1), code(2)]), "b": (FLOAT, [code(3), code(4)]), "c": (FLOAT, [code(100), code(200)]),
    })  # fmt: skip
    text = """
    [[rules]]
    tensors = ["a", "b"]
    rule = "gradient"
    threshold = "top2"
    scope = "{scope}"
    [[rules]]
    rule = "variable"
    threshold = "median"
    """
    assert run(text, "--set", "scope=file").status == 0
    assert values() == {"a": [0, 0], "b": [3, 4], "c": [0, 200]}
    write_codes(folder / "z.safetensors", {"a": (FLOAT, [code(0)]), "b": (FLOAT, [code(50)]), "c": (FLOAT, [code(7)])})
    ran = thresh("run", "r.toml", "x.safetensors", "z.safetensors", "-O", "out", "--set", "scope=global", "--json")
    assert ran.status == 0, ran.err
    assert [[code(0), code(0)], [code(0), code(4)]] == [
        read_codes(folder / "out" / "x.safetensors")[name][1] for name in "ab"
    ]
    assert read_codes(folder / "out" / "z.safetensors")["b"][1] == [code(50)]


def test_a_dry_run_says_what_every_tensor_would_get(folder: Path) -> None:
    text = """
    [[rules]]
    tensors = "*.weight"
    steps = [{ rule = "clamp", low = "p10" }, { rule = "hard", threshold = 0.5 }]
    [[rules]]
    tensors = "b.*"
    keep = true
    """
    ran = run(text, "-n")
    assert ran.status == 0, ran.err
    rows = {line.split()[0]: line for line in ran.out.splitlines() if line.startswith("  ")}
    assert "RULE" in ran.out.splitlines()[0]
    assert "clamp, hard" in rows["a.weight"]
    assert rows["b.scale"].rstrip().endswith("kept")
    assert rows["a.bias"].rstrip().endswith("not selected")
    assert not Path("y.safetensors").exists()
    told = {item["name"]: item for item in run(text, "-n", "--json").json["files"][0]["tensors"]}
    assert told["a.weight"]["steps"] == ["clamp", "hard"]
    assert [used["slot"] for used in told["a.weight"]["threshold"]] == ["1.low", "2.threshold"]
    assert "steps" not in told["b.scale"]
    assert "\tclamp,hard" in run(text, "-n", "--report", "tsv").out
    write_codes(folder / "x.safetensors", {f"layer.{number}": (FLOAT, [code(1)] * 3) for number in range(30)})
    assert run('rule = "hard"\nthreshold = 2', "-n").out.count("  layer.") == 30


def test_what_matches_nothing_is_an_error_unless_it_may(folder: Path) -> None:
    text = '[[rules]]\nkeep = true\ntensors = "a.*"\n[[rules]]\ntensors = "b.waight"\nrule = "hard"\nthreshold = 1\n'
    refused(
        run(text), 2, "x.safetensors: entry 2: no tensor matches 'b.waight'; there is 'b.weight'", "optional = true"
    )
    assert run(text + "optional = true\n").status == 0
    refused(run("regex = 'c.*'\nkeep = true"), 2, "no tensor matches 'c.*'")
    write_codes(folder / "z.safetensors", {"b.waight": (FLOAT, []), "a.b": (FLOAT, [])})
    both = ("x.safetensors", "z.safetensors", "-O", "out")
    refused(thresh("run", "r.toml", *both), 2, "no tensor matches 'c.*'")
    Path("r.toml").write_text(text.replace("b.waight", "c.*"))
    refused(thresh("run", "r.toml", *both), 2, "entry 2: no tensor matches 'c.*'", "optional = true")
    Path("r.toml").write_text(text.replace("b.waight", "c.*") + "optional = true\n")
    assert thresh("run", "r.toml", *both).status == 0


def test_a_rule_that_one_file_refuses_costs_that_file(folder: Path) -> None:
    write_codes(folder / "z.safetensors", {"a.weight": (DTYPES["int8"], [1]), "c": (FLOAT, [])})
    Path("r.toml").write_text('rule = "soft"\nthreshold = 1\ntensors = "a.weight"')
    ran = thresh("run", "r.toml", "z.safetensors", "x.safetensors", "-O", "out", "--json")
    assert ran.status == 3
    assert [file["status"] for file in ran.json["files"]] == ["failed", "written"]


def test_files_that_a_recipe_names_lie_beside_it_or_where_one_is(folder: Path) -> None:
    (folder / "recipes").mkdir()
    np.save("recipes/cut.npy", np.array([3, 3, 3, 3], np.float32))
    np.save("mask.npy", np.array([1, 1, 0, 0], np.uint8))
    text = """
    [[rules]]
    tensors = "a.*"
    rule = "variable"
    threshold = "@cut.npy"
    compare = "ge"
    [[rules]]
    rule = "variable"
    threshold = "median"
    estimate-mask = "mask.npy"
    """
    ran = run(text, name="recipes/r.toml")
    assert ran.status == 0, ran.err
    assert values()["a.bias"] == [0, 0, 0, 3]
    assert values()["b.scale"] == [0, -0.5, 0.5, 3]


def test_a_share_of_the_files_has_no_threshold_over_all(folder: Path) -> None:
    ran = run('rule = "gradient"\nthreshold = "top1"\nscope = "global"', "--shard", "0/1")
    refused(ran, 2, "--scope global and --shard exclude each other")


def test_packing_may_stand_in_a_recipe(folder: Path) -> None:
    text = 'pack = "bits"\nrule = "binary"\nthreshold = 0\nout-dtype = "bool"'
    assert run(text).status == 0
    size = Path("y.safetensors").stat().st_size
    assert run(text.replace('pack = "bits"\n', ""), "--pack", "bits").status == 0
    assert Path("y.safetensors").stat().st_size == size


def test_a_report_is_a_recipe_however_its_numbers_are_written(folder: Path) -> None:
    """Small ones, large ones, and those that no float holds."""
    ran = run('rule = "replace"\nthreshold = 1e-7\nvalue = 9007199254740993\nout-dtype = "float64"', "--json")
    found: Any = ran.json
    assert found["recipe"]["value"] == "9007199254740993"
    first = Path("y.safetensors").read_bytes()
    assert run(json.dumps(found), name="report.json").status == 0
    assert Path("y.safetensors").read_bytes() == first
