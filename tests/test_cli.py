"""The command line as users meet it: recipes, refusals, exit statuses, batches."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.files import write_codes
from tests.harness import listed, refused, thresh
from threshcli import __version__
from threshcli.dtypes import DTYPES


def test_the_first_recipe_binary_threshold(folder: Path) -> None:
    """[-1, 0, 1, 2, 3] at 1 gives [0, 0, 0, 1, 1], in the input's dtype."""
    assert thresh("binary", "v.npy", "-t", "1", "-o", "o.npy").status == 0
    out = np.load("o.npy")
    assert out.tolist() == [0, 0, 0, 1, 1]
    assert out.dtype == np.float32


def test_the_second_recipe_variable_threshold(folder: Path) -> None:
    """A 3x3 tensor with a threshold for each element; a map of another shape is refused."""
    np.save("t.npy", np.array([[5, 5, 5], [5, 4, 5], [6, 7, 8.0]]))
    assert thresh("variable", "m.npy", "-t", "@t.npy", "-o", "o.npy").status == 0
    assert np.load("o.npy").tolist() == [[0, 0, 0], [0, 5, 6], [7, 8, 9]]
    refused(thresh("variable", "m.npy", "-t", "@v.npy", "-o", "p.npy"), 2, "[5]", "[3, 3]")
    assert not Path("p.npy").exists()


def test_the_third_recipe_gradient_threshold(folder: Path) -> None:
    """Gradients of a real backward at 0.01, saved with torch: small elements are zero, others untouched."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(10, 20), torch.nn.Tanh(), torch.nn.Linear(20, 1))
    model(torch.randn(16, 10)).square().mean().backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    torch.save({"step": 3, "grads": grads}, "g.pt")
    assert thresh("gradient", "g.pt", "-t", "0.01", "-o", "o.pt").status == 0
    found = torch.load("o.pt", weights_only=True)
    assert found["step"] == 3
    for name, before in grads.items():
        assert before is not None
        wanted = torch.where(before.abs() > 0.01, before, torch.zeros_like(before))
        assert torch.equal(found["grads"][name], wanted)


def test_maps_in_a_container_go_by_the_name_of_the_tensor(folder: Path) -> None:
    """@file serves each tensor with the map of its name, @file::NAME serves all with one."""
    f4 = DTYPES["float32"]
    one, two = 0x3F800000, 0x40000000
    write_codes(folder / "x.safetensors", {"a": (f4, [one, two]), "b": (f4, [two, one])})
    write_codes(folder / "t.safetensors", {"a": (f4, [0, two]), "b": (f4, [two, 0])})
    from safetensors.numpy import load_file

    assert thresh("variable", "x.safetensors", "-t", "@t.safetensors", "-o", "o.safetensors").status == 0
    assert {name: data.tolist() for name, data in load_file("o.safetensors").items()} == {"a": [1, 0], "b": [0, 1]}
    words = ("variable", "x.safetensors", "-t", "@t.safetensors::b", "-o", "p.safetensors", "--json")
    ran = thresh(*words)
    assert {name: data.tolist() for name, data in load_file("p.safetensors").items()} == {"a": [0, 2], "b": [0, 1]}
    assert ran.tensor["threshold"] == {"spec": "@t.safetensors::b", "value": None, "min": 0.0, "max": 2.0}
    write_codes(folder / "u.safetensors", {"a": (f4, [0, two])})
    refused(thresh("variable", "x.safetensors", "-t", "@u.safetensors", "-o", "q.safetensors"), 2, "'b'", "::NAME")


def test_one_bad_file_costs_one_file(folder: Path) -> None:
    """The others are done; it is named last, and the status is 3."""
    Path("bad.npy").write_bytes(b"\x93NUMPY")
    ran = thresh("binary", "v.npy", "bad.npy", "gone.npy", "m.npy", "-t", "1", "-O", "out")
    assert ran.status == 3
    assert listed("out") == ["m.npy", "v.npy"]
    assert [line for line in ran.lines if line.startswith("thresh: error: ")] == [
        "thresh: error: bad.npy: is truncated: 6 bytes are no .npy header",
        "thresh: error: gone.npy: no such file",
    ]
    again = thresh("binary", "v.npy", "m.npy", "-t", "1", "-O", "out", "--json")
    assert (again.status, again.json["status"]) == (5, "failed")
    assert thresh("binary", "v.npy", "m.npy", "-t", "1", "-O", "out", "--skip-existing").status == 0
    assert thresh("binary", "v.npy", "m.npy", "-t", "1", "-O", "out", "--overwrite", "--fsync").status == 0
    assert thresh("binary", "gone.npy", "m.npy", "-t", "1", "-O", "out", "-q").status == 3


def test_a_pattern_must_match_somewhere_in_a_batch(folder: Path) -> None:
    """A shard without a match is copied; a pattern that matches in no file is refused before the first output."""
    assert thresh("binary", "v.npy", "m.npy", "-t", "1", "-k", "v", "-O", "out", "--json").status == 0
    assert Path("out/m.npy").read_bytes() == Path("m.npy").read_bytes()
    refused(thresh("binary", "v.npy", "m.npy", "-t", "1", "-k", "w", "-O", "new"), 2, "'w'")


def test_in_place_replaces_the_input_and_keeps_its_mode(folder: Path) -> None:
    """Through a symbolic link to its target, too."""
    Path("m.npy").chmod(0o640)
    Path("link.npy").symlink_to("m.npy")
    assert thresh("binary", "link.npy", "-t", "5", "--in-place", "-q").status == 0
    assert np.load("m.npy").sum() == 4
    assert Path("m.npy").stat().st_mode & 0o777 == 0o640
    assert Path("link.npy").is_symlink()


def test_a_template_names_each_output(folder: Path) -> None:
    """{dir} {stem} {ext} {name} {rule} {i}."""
    ran = thresh("binary", "v.npy", "m.npy", "-t", "1", "-o", "{dir}/{i}-{stem}-{rule}{ext}", "-q")
    assert ran.status == 0, ran.err
    assert {"0-v-binary.npy", "1-m-binary.npy"} <= set(listed("."))
    assert thresh("binary", "v.npy", "-t", "1", "-O", "out", "--to", "safetensors", "-q").status == 0
    assert listed("out") == ["v.safetensors"]


def test_a_dry_run_shows_the_plan_and_writes_nothing(folder: Path) -> None:
    """Even where the output's folder is missing."""
    before = listed(".")
    ran = thresh("binary", "v.npy", "-t", "1", "-O", "out", "-n", "--json")
    assert ran.status == 0
    assert ran.json["files"][0]["status"] == "dry-run"
    assert ran.json["files"][0]["output"] == "out/v.npy"
    assert listed(".") == before
    assert "v.npy" in thresh("binary", "v.npy", "-t", "1", "-n").out


def test_values_shown_are_those_that_were_used(folder: Path) -> None:
    """A number is rounded to a float dtype and exact for integers."""
    ran = thresh("binary", "v.npy", "-t", "0.1", "-n", "--json")
    assert ran.tensor["threshold"] == {"spec": "0.1", "value": float(np.float32(0.1)), "min": None, "max": None}
    ran = thresh("binary", "i.npy", "-t", "9007199254740993", "-n", "--json")
    assert ran.tensor["threshold"]["value"] == 9007199254740993
    ran = thresh("band", "i.npy", "--low", "-0.5", "--high=1e3", "-n", "--json")
    assert [item["value"] for item in ran.tensor["threshold"]] == [-0.5, 1000.0]


def test_thresholds_may_be_negative_and_glued(folder: Path) -> None:
    """-t -0.5, -t-0.5, -t=-0.5 and --threshold=-0.5 are one."""
    for words in (["-t", "-0.5"], ["-t-0.5"], ["-t=-0.5"], ["--threshold=-0.5"]):
        ran = thresh("binary", "v.npy", *words, "-n", "--json")
        assert ran.tensor["threshold"]["value"] == -0.5


def test_nan_is_told_in_the_summary(folder: Path) -> None:
    """Counted and warned of, never selected; --nan error refuses it."""
    ran = thresh("binary", "nan.npy", "-t", "0", "-o", "o.npy", "--json")
    assert ran.tensor["nan"] == 1
    assert "NaN" in str(ran.json["files"][0].get("warnings", [])) + str(ran.json["warnings"])
    assert "NaN" in thresh("binary", "nan.npy", "-t", "0", "-o", "p.npy", "-q").err
    refused(thresh("binary", "nan.npy", "-t", "0", "--nan", "error", "-o", "q.npy"), 4, "NaN")


def test_every_report_has_its_form(folder: Path) -> None:
    """table, json, ndjson, tsv, none."""
    for kind in ("table", "json", "ndjson", "tsv", "none"):
        ran = thresh("binary", "v.npy", "-t", "1", "-o", "o.npy", "--overwrite", "--report", kind)
        assert ran.status == 0
        assert (ran.out == "") == (kind == "none")
        assert ran.err == ""
    refused(thresh("binary", "v.npy", "-t", "1", "-n", "--json", "--report", "tsv"), 2, "two reports")
    assert thresh("binary", "v.npy", "-t", "1", "-n", "--json", "--report", "json").json["status"] == "ok"


def test_info_reads_headers_only(folder: Path) -> None:
    """Names, shapes, dtypes, layouts; a bad file is named and the others are shown."""
    np.save("f.npy", np.asfortranarray(np.ones((2, 3), ">i2")))
    ran = thresh("info", "m.npy", "f.npy", "--json")
    found = [item["tensors"][0] for item in ran.json["files"]]
    assert [(item["name"], item["shape"], item["dtype"]) for item in found] == [
        ("m", [3, 3], "float64"),
        ("f", [2, 3], "int16"),
    ]
    shown = thresh("info", "m.npy", "f.npy")
    assert "Fortran, big-endian" in shown.out
    both = thresh("info", "m.npy", "gone.npy")
    assert both.status == 3
    refused(thresh("info", "gone.npy"), 4, "gone.npy")


def test_info_shows_the_tensors_that_are_asked_for(folder: Path) -> None:
    """-k and -x, over the names of all files; one that matches none is told, but not of a share of the files."""
    save_file({name: np.zeros(2, "f4") for name in ("a.weight", "a.bias", "b.weight")}, "t.safetensors")
    files = ("t.safetensors", "m.npy")

    def names(*words: str) -> list[list[str]]:
        found = thresh("info", *files, *words, "--json").json["files"]
        return [[item["name"] for item in file["tensors"]] for file in found]

    assert names() == [["a.bias", "a.weight", "b.weight"], ["m"]]
    assert names("-k", "*.weight", "-x", "b.*") == [["a.weight"], []]
    assert names("-x", "a.*") == [["b.weight"], ["m"]]
    refused(thresh("info", *files, "-k", "*.wait"), 2, "no tensor matches '*.wait'", "a.weight")
    assert thresh("info", *files, "--shard", "0/2", "-k", "nothing").status == 0
    refused(thresh("info", "gone.npy", "-k", "*"), 4, "gone.npy")


def test_the_version_and_help_are_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-V, -h everywhere; no command at all shows the help, in which each command has a line that is not cut short."""
    assert thresh("--help").status == 0
    commands = capsys.readouterr().out.partition("Commands:")[2].partition("Thresholds:")[0]
    assert "  unpack  " in commands
    assert "..." not in commands
    assert thresh("-V").status == 0
    for words in (["-h"], ["binary", "-h"], ["info", "--help"]):
        assert thresh(*words).status == 0
    assert __version__ == "0.1.0"


def test_a_fault_of_ours_is_one_line_and_status_70(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback only with --debug."""
    from threshcli.rules.binary import Binary

    def broken(*_: object) -> None:
        raise ZeroDivisionError("so it goes")

    monkeypatch.setattr(Binary, "apply", broken)
    ran = thresh("binary", "v.npy", "-t", "1", "-o", "o.npy")
    refused(ran, 70, "ZeroDivisionError", "--debug")
    assert "Traceback" in thresh("binary", "v.npy", "-t", "1", "-o", "o.npy", "--debug").err
    assert not Path("o.npy").exists()


def test_a_link_to_the_input_is_the_input(folder: Path) -> None:
    """By device and inode: hard links and symbolic links alike."""
    os.link("m.npy", "hard.npy")
    Path("soft.npy").symlink_to("m.npy")
    for name in ("hard.npy", "soft.npy"):
        refused(thresh("binary", "m.npy", "-t", "1", "-o", name, "--overwrite"), 5, "input itself")


def test_without_anything_the_help_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing that a newcomer may type; nothing was done, so that the status is not 0."""
    assert thresh("--help").status == 0
    asked = capsys.readouterr().out
    ran = thresh()
    assert (ran.status, ran.err) == (2, "")
    assert capsys.readouterr().out == asked
    assert asked.startswith("Usage: thresh")


def test_a_dry_run_calls_what_a_decision_selects_as_the_run_does(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(3))
    for rule in ("binary -t 0.5", "levels -t 0.5", "hysteresis --low 0 --high 1", "gradient -t 0.5"):
        words = (*rule.split(), tmp_path / "x.npy")
        planned, done = thresh(*words, "-n"), thresh(*words, "-o", tmp_path / f"{rule[:4]}.npy")
        assert ("SELECTED" in planned.out) is ("SELECTED" in done.out) is (not rule.startswith("gradient"))
