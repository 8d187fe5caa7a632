"""What cannot be worked out is refused in one line, with a hint and the right status, before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.files import write_codes
from tests.harness import listed, refused, thresh
from threshcli.dtypes import DTYPES

INPUTS = {
    "x.npy": np.arange(10.0) - 5,
    "whole.npy": np.arange(10),
    "narrow.npy": np.arange(10, dtype="f4"),
    "zero.npy": np.zeros(4),
    "nan.npy": np.full(3, np.nan),
    "infinite.npy": np.full(3, np.inf),
    "edge.npy": np.array([1, 2, np.inf, np.inf]),
    "none.npy": np.zeros(10, bool),
    "short.npy": np.ones(3),
    "huge.npy": np.array([1e308, 1.7e308, -1.7e308, 1.5e308]),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where there are some inputs."""
    monkeypatch.chdir(tmp_path)
    for name, data in INPUTS.items():
        np.save(name, data)
    return tmp_path


def check(line: str, status: int, *said: str) -> None:
    """A command line whose words have no spaces in them."""
    refused(thresh(*line.split(), "-o", "out.npy"), status, *said)
    assert listed(".") == sorted(INPUTS)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("binary x.npy -t p101", "'p101'"),
        ("binary x.npy -t zero100.1%", "'zero100.1%'"),
        ("binary x.npy -t top-5", "'top-5'"),
        ("binary x.npy -t top1.5", "'top1.5'"),
        ("binary x.npy -t nonsense", "'nonsense'"),
        ("binary x.npy -t otzu", "did you mean otsu?"),
        ("binary x.npy -t multiotsu:3", "several cuts"),
        ("binary x.npy -t multiotsu:9", "2 to 8"),
        ("binary x.npy -t p50 --scope rows", "'rows'"),
        ("binary x.npy -t p50 --scope axis:1", "tensor 'x'"),
        ("binary x.npy -t p50 --scope axis:-2", "axis:-2"),
        ("binary x.npy -t p50 --bins 1", "--bins"),
        ("binary x.npy -t p50 --at-least 2 --at-most 1", "--at-least is above --at-most"),
        ("binary x.npy -t p50 --at-least nan", "NaN"),
        ("binary x.npy -t p50 --scale inf", "--scale"),
        ("binary x.npy -t p50 --scale 1e400", "1e400"),
        ("binary x.npy -t p50 --offset -1e400", "-1e400"),
        ("binary x.npy -t top3 --compare lt", "--compare lt"),
        ("binary x.npy -t zero30% --compare le", "--compare le"),
        ("gradient x.npy -t energy30% --compare le", "--compare le"),
        ("gradient x.npy -t -1sigma", "negative"),
        ("hard x.npy -t p50 --offset -9", "negative"),
        ("band x.npy --low p90 --high p10", "--low is above --high"),
        ("clamp x.npy --low p90 --high 0", "--low is above --high"),
        ("binary x.npy -t p50 --estimate-mask short.npy", "[3]"),
        ("binary x.npy -t p50 --estimate-mask short.npy --broadcast", "[3]"),
        ("binary x.npy -t p50 --estimate-mask mask.json", "mask.json"),
    ],
)
def test_what_makes_no_sense_is_a_matter_of_the_command_line(line: str, said: str) -> None:
    check(line, 2, said)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "option",
    [
        *("--scope global", "--ties all", "--scale 2", "--offset 0", "--at-least 0", "--at-most 9", "--ignore-zero"),
        *("--estimate-mask x.npy", "--bins 9"),
    ],
)
def test_options_of_worked_out_thresholds_need_one(option: str) -> None:
    """Nothing is ignored in silence."""
    check(f"binary x.npy -t 0.5 {option}", 2, option.split()[0], "worked out from data")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nan.npy -t p50", "'nan' has nothing to work out p50 from"),
        ("nan.npy -t top1", "'nan' has nothing"),
        ("nan.npy -t zero10%", "'nan' has nothing"),
        ("nan.npy -t energy10%", "'nan' has nothing"),
        ("nan.npy -t otsu", "'nan' has nothing"),
        ("infinite.npy -t mean", "NaN or infinite"),
        ("infinite.npy -t 2sigma", "NaN or infinite"),
        ("infinite.npy -t bayes", "NaN or infinite"),
        ("infinite.npy -t li", "NaN or infinite"),
        ("infinite.npy -t 3mad", "median is infinite"),
        ("zero.npy -t p50 --ignore-zero", "without its zeros"),
        ("zero.npy -t p50 --scope axis:0 --ignore-zero", "at index 0 of axis 0"),
        ("x.npy -t p50 --estimate-mask none.npy", "inside of the mask"),
        ("x.npy -t p50 --estimate-mask missing.npy", "missing.npy: no such file"),
        ("huge.npy -t bayes", "float64"),
        ("huge.npy -t 2sigma", "float64"),
    ],
)
def test_data_that_has_no_such_threshold_is_named(line: str, said: str) -> None:
    check(f"gradient {line}", 4, said)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("spec", ["p50", "median"])
def test_between_a_finite_and_an_infinite_element_there_is_nothing(spec: str) -> None:
    ran = thresh("variable", "edge.npy", "-t", spec, "-o", "out.npy")
    assert ran.status == 4
    assert "edge.npy: tensor 'edge' has no" in ran.lines[0]
    assert "between a finite and an infinite element" in ran.lines[0]
    assert listed(".") == sorted(INPUTS)


@pytest.mark.usefixtures("folder")
def test_whole_numbers_and_floats_that_no_dtype_holds_share_no_threshold() -> None:
    ran = thresh("gradient", "whole.npy", "narrow.npy", "-t", "p50", "--scope", "global", "-O", ".", "--overwrite")
    refused(ran, 2, "float32 and int64")
    assert "leave out what is int64, such as 'whole'" in ran.err
    ran = thresh("gradient", "whole.npy", "nan.npy", "-t", "p50", "--scope", "global", "-O", "out")
    refused(ran, 2, "float64 and int64")
    assert listed(".") == sorted([*INPUTS, "out"])
    assert listed("out") == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("options", [[], ["-n"]])
def test_a_dry_run_refuses_what_shares_no_threshold(options: list[str]) -> None:
    """Headers tell it: of all files, of one with several tensors, of the shards of a checkpoint."""
    words = ("-t", "p50", "-O", "out", *options)
    refused(
        thresh("gradient", "whole.npy", "narrow.npy", *words, "--scope", "global"), 2, "float32 and int64", "'whole'"
    )
    tensors = {"w": (DTYPES["float32"], [0] * 9), "count": (DTYPES["int64"], [1])}
    write_codes(Path("both.safetensors"), tensors)
    refused(thresh("gradient", "both.safetensors", *words, "--scope", "file"), 2, "float32 and int64", "'count'")
    assert thresh("gradient", "both.safetensors", *words, "--scope", "file", "-x", "count").status == 0
    for name in tensors:
        write_codes(Path(f"{name}.safetensors"), {name: tensors[name]})
    shards = {name: f"{name}.safetensors" for name in tensors}
    Path("model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    for scope in ("file", "global"):
        ran = thresh("gradient", "model.safetensors.index.json", *words, "--scope", scope)
        refused(ran, 2, "float32 and int64", "'count'")
    Path("cut.npy").write_bytes(Path("narrow.npy").read_bytes()[:-1])
    refused(thresh("gradient", "narrow.npy", "cut.npy", *words, "--scope", "global"), 4, "cut.npy: is truncated")


@pytest.mark.usefixtures("folder")
def test_a_damaged_file_ends_a_call_that_shares_one_threshold() -> None:
    """Without it every threshold would be another; the file is named, and nothing is written."""
    Path("narrow.npy").write_bytes(Path("narrow.npy").read_bytes()[:-1])
    ran = thresh("gradient", "x.npy", "narrow.npy", "zero.npy", "-t", "top3", "--scope", "global", "-O", "out")
    refused(ran, 4, "narrow.npy: ")
    assert listed("out") == []
