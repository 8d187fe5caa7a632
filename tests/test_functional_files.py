"""A rule over files from a program does what the command does, and reports as an object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import threshcli as t
from tests.harness import listed, thresh
from threshcli import rules
from threshcli.errors import InputError, OutputError, SomeFailed, UsageError
from threshcli.results import FileResult

CALLS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a number": ("soft", {"threshold": 0.1}, ["-t", "0.1"]),
    "a spec": ("gradient", {"threshold": "zero90%", "scope": "axis:0"}, ["-t", "zero90%", "--scope", "axis:0"]),
    "limits": ("clamp", {"low": -1, "high": np.float32(0.5)}, ["--low", "-1", "--high", "0.5"]),
    "options": (
        "band",
        {"low": 0, "high": 1, "binary": True, "above": 7, "closed": "left", "out_dtype": "uint8"},
        ["--low", "0", "--high", "1", "--binary", "--above", "7", "--closed", "left", "--out-dtype", "uint8"],
    ),
    "cuts": ("levels", {"threshold": [0, "p90"], "values": [0.5, 1, 2]}, ["-t", "0,p90", "--values", "0.5,1,2"]),
    "neighbours": ("nm", {"threshold": "2:4", "axis": 0}, ["-t", "2:4", "--axis", "0"]),
    "a window": ("binary", {"threshold": "niblack:5", "axes": "0,1"}, ["-t", "niblack:5", "--axes", "0,1"]),
    "how it is done": ("hard", {"threshold": 1, "jobs": 1, "max_memory": "1MiB"}, ["-t", "1", "-j", "1"]),
}


@pytest.fixture
def x(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32))
    return tmp_path / "x.npy"


@pytest.mark.parametrize("name", CALLS)
def test_a_call_writes_the_bytes_of_the_command_and_tells_the_same(name: str, x: Path) -> None:
    rule, options, words = CALLS[name]
    ran = thresh(rule, x, *words, "-o", x.parent / "command.npy", "--json")
    report = t.apply(rule, x, output=x.parent / "call.npy", **options)
    assert (x.parent / "call.npy").read_bytes() == (x.parent / "command.npy").read_bytes()
    (tensor,) = report.files[0].tensors
    for field in ("selected", "kept", "changed", "zeros_after", "min", "mean", "norm_after"):
        assert getattr(tensor, field) == ran.tensor[field]
    assert report.status == "ok"


def test_several_files_go_to_a_folder_and_each_is_told_of(x: Path) -> None:
    (x.parent / "y.npy").write_bytes(x.read_bytes())
    told: list[FileResult] = []
    report = t.apply("gradient", [x, str(x.parent / "y.npy")], threshold=1, out_dir=x.parent / "o", done=told.append)
    assert listed(x.parent / "o") == ["x.npy", "y.npy"]
    assert tuple(told) == report.files


def test_a_dry_run_writes_nothing(x: Path) -> None:
    report = t.apply("gradient", x, threshold=1, output=x.parent / "y.npy", dry_run=True)
    assert report.files[0].status == "dry-run"
    assert listed(x.parent) == ["x.npy"]


def test_a_file_that_fails_is_raised_when_the_others_are_done(x: Path) -> None:
    (x.parent / "bad.npy").write_bytes(x.read_bytes()[:-1])
    paths = [x.parent / "bad.npy", x]
    with pytest.raises(InputError, match=r"bad\.npy: is truncated") as raised:
        t.apply("gradient", paths, threshold=1, out_dir=x.parent / "one")
    assert raised.value.hint == "copy or download it again"
    report = t.apply("gradient", paths, threshold=1, out_dir=x.parent / "two", check=False)
    assert listed(x.parent / "one") == listed(x.parent / "two") == ["x.npy"]
    assert [file.status for file in report.files] == ["failed", "written"]
    assert report.status == "partial"


def test_what_stands_there_is_left_unless_told_otherwise(x: Path) -> None:
    t.apply("gradient", x, threshold=1, output=x.parent / "y.npy")
    with pytest.raises(OutputError, match="exists already"):
        t.apply("gradient", x, threshold=1, output=x.parent / "y.npy")
    t.apply("gradient", x, threshold=1, output=x.parent / "y.npy", overwrite=True)
    t.apply("gradient", x, threshold=1, in_place=True)
    assert x.read_bytes() == (x.parent / "y.npy").read_bytes()


@pytest.mark.parametrize(("rule", "options", "said"), [
    ("sotf", {"threshold": 1}, "there is no rule 'sotf'"),
    ("soft", {"treshold": 1}, "soft has no option 'treshold'"),
    ("soft", {}, "threshold is missing"),
    ("soft", {"threshold": "p9O"}, "is not a threshold"),
    ("soft", {"threshold": 1, "residual": "r.npy"}, "no option 'residual'"),
    ("soft", {"threshold": 1, "output": None}, "nowhere to write"),
    ("soft", {"threshold": np.ones(3)}, "threshold is a ndarray"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_any_work(
    rule: str, options: dict[str, Any], said: str, x: Path
) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        t.apply(rule, x, **{"output": x.parent / "y.npy", **options})
    assert " -" not in str(raised.value) + (raised.value.hint or "")
    assert listed(x.parent) == ["x.npy"]


def test_what_stops_a_file_is_told_in_the_words_of_python(x: Path) -> None:
    with pytest.raises(OutputError) as raised:
        t.apply("gradient", x, threshold=1, output=x)
    assert "overwrite" in (raised.value.hint or "") or "in_place" in (raised.value.hint or "")
    assert "--" not in str(raised.value) + (raised.value.hint or "")
    with pytest.raises(UsageError, match="'x': threshold is negative"):
        t.apply("gradient", x, threshold=-1, output=x.parent / "y.npy")


def test_an_error_is_its_own_class_again(x: Path) -> None:
    """Whatever its exit status: no two classes have the same."""
    for kind in (InputError, OutputError, SomeFailed):
        assert t.results.Failure.of(kind("was so"), "x").error("x").__class__ is kind


@pytest.mark.parametrize("name", sorted(rules.registered()))
def test_every_rule_is_to_be_had_on_arrays_and_gives_the_bytes_of_its_command(name: str, x: Path) -> None:
    """A new rule is, too, without a line of its own here: only what it cannot do without."""
    rule = rules.find(name)
    needed: dict[str, dict[str, Any]] = {"replace": {"value": 1}, "nm": {"threshold": "1:2"}}
    options = needed.get(name, {})
    cuts = [0.25, 0.75][: len(rule.slots)]
    found = t.apply_rule(name, np.load(x), *cuts, **options)
    given: dict[str, Any] = {slot.name: cut for slot, cut in zip(rule.slots, cuts, strict=True)}
    t.apply(name, x, output=x.parent / "y.npy", **given, **options)
    assert np.load(x.parent / "y.npy").tobytes() == found.tobytes()


def test_any_rule_goes_by_its_name() -> None:
    x = np.array([-2.0, 0.5, 3.0])
    assert t.apply_rule("soft", x, 1).tolist() == [-1, 0, 2]
    assert t.apply_rule("levels", x, [0, 1], values=[5, 6, 7]).tolist() == [5, 6, 7]
    assert t.apply_rule("clamp", x, None, 1).tolist() == [-2, 0.5, 1]
    for name, arguments, said in (
        ("sotf", (1,), "no rule 'sotf'"),
        ("soft", (1, 2), "takes 1 thresholds, not 2"),
        ("soft", (), "threshold is missing"),
    ):
        with pytest.raises(UsageError, match=said):
            t.apply_rule(name, x, *arguments)
    with pytest.raises(UsageError, match="soft has no option 'fill'"):
        t.apply_rule("soft", x, 1, fill=0)
