"""What outputs note of how they were made is a recipe that makes them again, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.files import write_codes
from tests.harness import Ran, listed, refused, thresh
from tests.worked import samples
from threshcli.dtypes import DTYPES

FLOATS = ("float32", "bfloat16", "float64", "float16")


def done(ran: Ran) -> Ran:
    assert ran.status == 0, ran.err
    return ran


def noted(path: Path) -> Any:
    """The recipe in an output's metadata."""
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return json.loads(header["__metadata__"]["thresh"])


def checkpoint(path: Path, seed: int = 0) -> None:
    """Weights of several dtypes with ties, zeros and NaN, and what is left alone."""
    tensors = {}
    for name in FLOATS:
        codes = samples(DTYPES[name], seed)
        tensors[f"block/{name}.weight"] = DTYPES[name], (codes["ties"] * 2)[:24]
        tensors[f"{name}.bias"] = DTYPES[name], codes["ties"][:8]
    tensors["count"] = DTYPES["int64"], [1, 2, 3]
    shapes = {name: [4, 6] for name in tensors if "weight" in name}
    write_codes(path, tensors, shapes=shapes, metadata={"format": "pt"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a checkpoint, an array, and maps for them in another."""
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "x.safetensors")
    chance = np.random.default_rng(3)
    np.save(tmp_path / "x.npy", chance.normal(size=(6, 8)).astype(np.float32).round(1))
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps" / "limits.npy", np.abs(chance.normal(size=(4, 6))))
    np.save(tmp_path / "maps" / "row.npy", np.abs(chance.normal(size=6)))
    np.save(tmp_path / "maps" / "mask.npy", np.arange(24).reshape(4, 6) % 2)
    return tmp_path


WEIGHTS = "-k */float32.weight"
COMMANDS = [
    "gradient -t 0.10",
    "gradient -t zero60%",
    "gradient -t top5 --ties all --ignore-zero",
    "gradient -t 30mad --scale 0.10000000000000000001 --offset 1e-3 --at-least 0 --at-most inf",
    "hard -t p37.5 --scope file -x *.bias -x count --nan fill=0.30",
    "hard -t top9 --scope global -k float*",
    f"variable -t mean --scope axis:1 {WEIGHTS} --compare le --fill -0.50",
    "binary -t 0.5 --above 0.30 --below nan --nan above -k *weight",
    "binary -t otsu --bins 100 --out-dtype bool -k *float32*",
    f"binary -t @maps/limits.npy {WEIGHTS}",
    f"variable -t @maps/row.npy --broadcast {WEIGHTS}",
    f"soft -t median --estimate-mask maps/mask.npy {WEIGHTS}",
    f"variable -t local-mean:3 --axes 1 {WEIGHTS}",
    f"binary -t sauvola:3,0.2,R=auto --offset 0.1 {WEIGHTS}",
    "levels -t p25,0.5 -t p99 --values 0,0.10,1e0,3 -k float32*",
    "levels -t -1,1 --compare ge -k float32*",
    f"levels -t -1,@maps/limits.npy {WEIGHTS}",
    "binary -t 0.5 --out-dtype bool --pack bits -k float32*",
    f"gradient -t 0.5 --pack bitmask {WEIGHTS}",
    f"nm -t 2:4 --axis 0 {WEIGHTS}",
    f"nm -t 1:4 --partial {WEIGHTS}",
    f"hysteresis --low p50 --high 1 --connectivity full --axes 0 {WEIGHTS}",
    "clamp --high 0.30 --nan error -k count",
    "band --low p10 --high p90 --binary --closed left -k float32*",
    "firm --low 1sigma --high 2sigma -k *bias",
    "replace -t 0 --value -1.50 -x count",
    "garrote -t 0.5 --out-dtype float32 -k float32*",
]


@pytest.mark.parametrize("words", COMMANDS)
def test_an_output_is_a_recipe_for_itself(words: str, folder: Path) -> None:
    """Metadata included; so are the report, and the file beside it, whether what is there is named or its output."""
    rule, *options = words.split()
    ran = done(thresh(rule, "x.safetensors", *options, "-o", "out.safetensors", "--sidecar", "--json"))
    Path("report.json").write_text(ran.out)
    done(thresh(rule, "x.safetensors", *options, "-o", "out.safetensors", "--overwrite", "--report-file", "r.ndjson"))
    shutil.copy("maps/limits.npy", "limits.npy")  # of which only the name is noted
    for name in ("row", "mask"):
        shutil.copy(f"maps/{name}.npy", f"{name}.npy")
    for number, recipe in enumerate(("out.safetensors", "report.json", "r.ndjson", "out.safetensors.thresh.json")):
        again = f"again-{number}.safetensors"
        ran = done(thresh("run", recipe, "x.safetensors", "-o", again, "--sidecar", "-q"))
        assert "recipe" not in ran.err
        assert Path(again).read_bytes() == Path("out.safetensors").read_bytes()
        beside = Path(f"{again}.thresh.json").read_bytes()
        assert beside == Path("out.safetensors.thresh.json").read_bytes()


@pytest.mark.parametrize("words", [words for words in COMMANDS if "maps" not in words and "global" not in words])
def test_a_recipe_that_was_noted_is_the_same_rule_for_another_file(words: str, folder: Path) -> None:
    """Thresholds are worked out anew."""
    checkpoint(Path("other.safetensors"), seed=5)
    rule, *options = words.split()
    first = thresh(rule, "x.safetensors", *options, "-o", "out.safetensors")
    other = thresh(rule, "other.safetensors", *options, "-o", "other-out.safetensors")
    done(first)
    again = thresh("run", "out.safetensors", "other.safetensors", "-o", "again.safetensors")
    assert again.status == other.status
    if not other.status:
        assert Path("again.safetensors").read_bytes() == Path("other-out.safetensors").read_bytes()


RECIPE = """
[variables]
cut = "zero50%"
[[rules]]
tensors = "*.bias"
exclude = ["float16*"]
keep = true
[[rules]]
regex = '.*/float(16|32)\\.weight'
rule = "gradient"
threshold = "{cut}"
scope = "file"
[[rules]]
tensors = ["*.weight"]
steps = [{ rule = "clamp", low = "p10", high = 3 }, { rule = "binary", threshold = 1.0, out-dtype = "bool" }]
[[rules]]
tensors = "nothing*"
optional = true
rule = "hard"
threshold = 3
"""


def test_a_recipe_of_many_entries_is_noted_with_its_variables_set(folder: Path) -> None:
    """And reproduces the output without them."""
    Path("prune.toml").write_text(RECIPE)
    words = ("--set", "cut=zero70%", "--to", "safetensors")
    done(thresh("run", "prune.toml", "x.safetensors", "-o", "out.safetensors", *words))
    recipe = noted(Path("out.safetensors"))
    assert [entry.get("threshold") for entry in recipe["rules"]] == [None, "zero70%", None, "3"]
    assert recipe["thresholds"]["block/bfloat16.weight"].keys() == {"1.low"}
    done(thresh("run", "out.safetensors", "x.safetensors", "-o", "again.safetensors"))
    assert Path("again.safetensors").read_bytes() == Path("out.safetensors").read_bytes()


def test_nothing_is_noted_of_when_where_or_by_whom(folder: Path) -> None:
    limits = folder / "maps" / "limits.npy"
    mask = f"{folder / 'maps' / 'mask.npy'}"
    words = ("binary", folder / "x.safetensors", "-k", "*/float32.weight")
    done(thresh(*words, "-t", f"@{limits}", "-o", "a.safetensors", "--sidecar"))
    done(thresh(*words, "-t", "p50", "--estimate-mask", mask, "-o", "b.safetensors", "--sidecar"))
    for path in map(Path, listed(folder)):
        if path.name.startswith(("a.", "b.")):
            text = path.read_bytes().decode("latin-1")
            assert not [word for word in (str(folder), "maps", socket.gethostname(), str(os.getpid())) if word in text]
    assert noted(Path("a.safetensors"))["threshold"] == "@limits.npy"
    assert noted(Path("b.safetensors"))["estimate_mask"] == "mask.npy"


def test_a_map_keeps_the_tensor_that_was_chosen_in_it(folder: Path) -> None:
    """Names of tensors may look like paths."""
    write_codes(folder / "maps" / "m.safetensors", {"a/b": (DTYPES["float32"], [0] * 24)}, shapes={"a/b": [4, 6]})
    words = ("-k", "*/float32.weight", "-t", "@maps/m.safetensors::a/b")
    done(thresh("binary", "x.safetensors", *words, "-o", "maps/out.safetensors"))
    assert noted(Path("maps/out.safetensors"))["threshold"] == "@m.safetensors::a/b"
    done(thresh("run", "maps/out.safetensors", "x.safetensors", "-o", "again.safetensors"))  # found beside the recipe
    assert Path("again.safetensors").read_bytes() == Path("maps/out.safetensors").read_bytes()


def test_braces_in_names_are_no_variables(folder: Path) -> None:
    """In what thresh notes; in a recipe of people they are, also in one in JSON that has variables."""
    write_codes(folder / "b.safetensors", {"{a}": (DTYPES["float32"], [0]), "c": (DTYPES["float32"], [0])})
    ran = done(thresh("hard", "b.safetensors", "-t", "1", "-k", "{a}", "-o", "out.safetensors", "--json"))
    Path("report.json").write_text(ran.out)
    for number, recipe in enumerate(("out.safetensors", "report.json")):
        done(thresh("run", recipe, "b.safetensors", "-o", f"{number}.safetensors"))
        assert Path(f"{number}.safetensors").read_bytes() == Path("out.safetensors").read_bytes()
    refused(thresh("run", "report.json", "b.safetensors", "-n", "--set", "a=c"), 2, "the variable a is not used")
    text = json.dumps({"variables": {"a": "c"}, "rule": "hard", "threshold": 1, "tensors": "{a}"})
    Path("recipe.json").write_text(text)
    ran = done(thresh("run", "recipe.json", "b.safetensors", "-n", "--json"))
    assert [item["applied"] for item in ran.json["files"][0]["tensors"]] == [False, True]


def test_a_note_that_leads_elsewhere_is_refused(folder: Path) -> None:
    note = json.dumps({"rule": "hard", "threshold": "@../map.npy"})
    write_codes(folder / "f.safetensors", {"x": (DTYPES["float32"], [0])}, metadata={"thresh": note})
    refused(thresh("run", "f.safetensors", "f.safetensors", "-n"), 2, "f.safetensors: names '@../map.npy'")


def test_a_map_that_is_gone_is_named(folder: Path) -> None:
    done(thresh("binary", "x.safetensors", "-k", "*/float32.weight", "-t", "@maps/limits.npy", "-o", "o.safetensors"))
    refused(thresh("run", "o.safetensors", "x.safetensors", "-o", "again.safetensors"), 4, "limits.npy: no such file")


def test_thresholds_from_a_report_are_taken_from_it_again(folder: Path) -> None:
    """They may be of other data, so that the recipe names the report."""
    checkpoint(Path("other.safetensors"), seed=9)
    plan = done(thresh("solve", "other.safetensors", "-t", "top4", "-k", "*/float*", "--magnitude", "--json"))
    Path("maps/plan.json").write_text(plan.out)
    words = ("-t", "@maps/plan.json", "-k", "*/float*")
    done(thresh("gradient", "x.safetensors", *words, "-o", "maps/out.safetensors"))
    assert noted(Path("maps/out.safetensors"))["threshold"] == "@plan.json"
    done(thresh("run", "maps/out.safetensors", "x.safetensors", "-o", "again.safetensors"))
    assert Path("again.safetensors").read_bytes() == Path("maps/out.safetensors").read_bytes()


def test_what_was_done_before_is_kept(folder: Path) -> None:
    """The last recipe is the one that runs; of the past it says what an input has to have."""
    done(thresh("clamp", "x.safetensors", "--low", "-2", "-x", "count", "-o", "one.safetensors"))
    done(thresh("gradient", "one.safetensors", "-t", "top5", "-o", "two.safetensors"))
    done(thresh("hard", "two.safetensors", "-t", "0.5", "-o", "three.safetensors"))
    recipe = noted(Path("three.safetensors"))
    assert [step["rule"] for step in [*recipe["before"], recipe]] == ["clamp", "gradient", "hard"]
    assert "thresholds" in recipe["before"][1]
    again = done(thresh("run", "three.safetensors", "two.safetensors", "-o", "again.safetensors", "--report", "tsv"))
    assert again.err == ""
    assert Path("again.safetensors").read_bytes() == Path("three.safetensors").read_bytes()
    other = done(thresh("run", "three.safetensors", "x.safetensors", "-o", "other.safetensors", "-q"))
    assert "had been applied to before" in other.err
    assert "before" not in noted(Path("other.safetensors"))
    done(thresh("clamp", "three.safetensors", "--low", "0", "-x", "count", "--in-place", "--no-provenance"))
    ran = thresh("run", "three.safetensors", "x.safetensors", "-o", "none.safetensors")
    refused(ran, 2, "three.safetensors: has no recipe in it")  # not that of what it was made from


@pytest.mark.parametrize("text", ["made by hand", "[1, 2]", "[" * 100_000, '{"before": 3}', "1e999999"])
def test_what_others_have_noted_is_kept_as_it_is(text: str, folder: Path) -> None:
    write_codes(folder / "f.safetensors", {"x": (DTYPES["float32"], [0])}, metadata={"thresh": text})
    done(thresh("hard", "f.safetensors", "-t", "1", "-o", "out.safetensors"))
    assert noted(Path("out.safetensors"))["before"] == [text]


def test_one_threshold_over_several_files_needs_all_of_them_again(folder: Path) -> None:
    for name, codes in (("x", range(9)), ("y", range(5, 20))):
        write_codes(folder / f"{name}.safetensors", {"a": (DTYPES["uint8"], list(codes))})
    words = ("-t", "top6", "--scope", "global")
    done(thresh("gradient", "x.safetensors", "y.safetensors", *words, "-O", "1"))
    ran = done(thresh("run", "1/x.safetensors", "x.safetensors", "y.safetensors", "-O", "2", "-q"))
    assert ran.err == ""
    for name in ("x", "y"):
        assert Path(f"2/{name}.safetensors").read_bytes() == Path(f"1/{name}.safetensors").read_bytes()
    alone = done(thresh("run", "1/x.safetensors", "x.safetensors", "-O", "3", "-q"))
    assert "name all files that it was made from" in alone.err


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors"])
def test_a_file_without_a_recipe_is_none(name: str, folder: Path) -> None:
    ran = thresh("run", name, "x.npy", "-o", "out.npy")
    refused(ran, 2, f"{name}: has no recipe in it, nor beside it")


def test_a_map_that_was_solved_is_no_recipe(folder: Path) -> None:
    words = ("-t", "local-mean:3", "-k", "*/float32.weight", "-o", "map.safetensors")
    done(thresh("solve", "x.safetensors", *words))
    refused(thresh("run", "map.safetensors", "x.npy", "-o", "out.npy"), 2, "was made by solve")


@pytest.mark.parametrize("several", [False, True])
def test_patterns_that_only_another_file_of_the_batch_matched_are_warned_of(several: bool, folder: Path) -> None:
    for name, tensor in (("x", "a"), ("y", "a"), ("z", "b")):
        write_codes(folder / f"{name}.safetensors", {tensor: (DTYPES["uint8"], list(range(9)))})
    names = ["x.safetensors", "y.safetensors"]
    done(thresh("gradient", *names, "z.safetensors", "-t", "4", "-k", "b", "-k", "a", "-O", "1"))
    given = names if several else names[:1]
    ran = done(thresh("run", "1/x.safetensors", *given, "-O", "2", "-q"))
    assert ran.lines == ([] if several else ["thresh: warning: x.safetensors: no tensor matches 'b'; there is 'a'"])
    for name in given:
        assert Path("2", name).read_bytes() == Path("1", name).read_bytes()
