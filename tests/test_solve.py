"""`thresh solve`: the threshold alone, for people, for the shell, for later."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tests import reference
from tests.harness import listed, refused, thresh
from tests.strategies import FLOATS, codes
from threshcli.cli._bare import shortest
from threshcli.dtypes import BFLOAT16, DTYPES, FLOAT16, FLOAT32, FLOAT64, INT64, UINT8, DType
from threshcli.report.machine import schema_text
from threshcli.spec import Number


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A checkpoint of several dtypes, with ties and a tensor without elements."""
    random = np.random.default_rng(1)
    save_file(
        {
            "a": random.standard_normal((30, 20)).astype(np.float32),
            "b": (random.integers(-8, 9, (40, 10)) / 4).astype(np.float16),
            "empty": np.zeros((0, 3), np.float32),
            "n": np.arange(-50, 50, dtype=np.int16),
        },
        tmp_path / "w.safetensors",
        metadata={"format": "pt"},
    )
    return tmp_path / "w.safetensors"


def test_the_bare_number_is_all_that_is_printed(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(11, dtype=np.float32))
    ran = thresh("solve", tmp_path / "x.npy", "-t", "p90", "-q")
    assert (ran.status, ran.out, ran.err) == (0, "9\n", "")
    assert listed(tmp_path) == ["x.npy"]


def test_several_tensors_have_a_line_each(weights: Path) -> None:
    lines = thresh("solve", weights, "-t", "median", "-q", "-x", "a").out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["empty", "b", "n"]
    assert lines[2] == "n\t-0.5"


def test_several_files_are_told_apart_by_name(tmp_path: Path, weights: Path) -> None:
    """By their folders where names are the same; and by tensor, in every line, where one of them holds several."""
    (tmp_path / "in").mkdir()
    for name in ("x", "y", "in/x"):
        np.save(tmp_path / f"{name}.npy", np.arange(4, dtype=np.uint8))
    lines = thresh("solve", tmp_path / "x.npy", tmp_path / "y.npy", "-t", "top1", "-q").out.splitlines()
    assert lines == ["x.npy\t3", "y.npy\t3"]
    lines = thresh(
        "solve", tmp_path / "x.npy", tmp_path / "in", tmp_path / "y.npy", "-t", "top1", "-q"
    ).out.splitlines()
    assert lines == [f"{tmp_path}/x.npy\t3", f"{tmp_path}/in/x.npy\t3", "y.npy\t3"]
    lines = thresh("solve", tmp_path / "x.npy", weights, "-t", "top1", "-q").out.splitlines()
    assert lines[0].split("\t") == [f"{tmp_path}/x.npy", "x", "3"]
    assert lines[-1].split("\t") == [str(weights), "n", "49"]


def test_several_cuts_are_separated_by_commas(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.repeat(np.array([0, 100, 200], np.uint8), 50))
    ran = thresh("solve", tmp_path / "x.npy", "-t", "multiotsu:3", "-q")
    first, second = map(int, ran.out.split(","))
    assert 0 <= first < 100 <= second < 200
    refused(thresh("binary", tmp_path / "x.npy", "-t", "multiotsu:3", "-o", tmp_path / "o.npy"), 2, "several cuts")


@given(dtype=st.sampled_from(FLOATS), data=st.data())
def test_the_shortest_text_reads_back_as_the_same_threshold(dtype: DType, data: st.DataObject) -> None:
    value = reference.decode(data.draw(codes(dtype)), dtype)
    if reference.is_finite(value):
        text = shortest(float(value), dtype)
        assert dtype.key(Number.parse(text).value) == dtype.key(value)
        assert len(text) <= len(repr(float(value))) + 4  # 1e-05 for 0.00001


def test_the_shortest_text_of_some() -> None:
    assert shortest(float(np.float32(0.1)), FLOAT32) == "0.1"
    assert shortest(0.1, FLOAT64) == "0.1"
    assert shortest(float(np.float16(0.3333)), FLOAT16) == "0.3333"
    assert shortest(2.5, UINT8) == "2.5"
    assert shortest(448.0, DTYPES["float8_e4m3fn"]) == "448"  # not 4.5e+02, which is longer and 450 elsewhere
    assert shortest(-100.0, FLOAT32) == "-100"
    assert shortest(1e30, FLOAT64) == "1e+30"
    assert shortest(-0.0, FLOAT32) == "-0"
    assert shortest(2**63 - 1, INT64) == "9223372036854775807"
    assert shortest(float("-inf"), BFLOAT16) == "-inf"
    assert shortest(float(Fraction(1) + Fraction(1, 1 << 40)), BFLOAT16) == repr(1 + 2**-40)


def test_the_table_tells_what_it_was_worked_out_from(weights: Path) -> None:
    ran = thresh("solve", weights, "-t", "top10%", "--magnitude", env={"COLUMNS": "100"})
    assert ran.status == 0
    assert "top10% of |x|, scope tensor" in ran.out
    row = next(line.split() for line in ran.out.splitlines() if line.split()[:1] == ["a"])
    assert row[4:] == ["60", "1", "600", "0"]
    assert all(len(line) <= 100 for line in ran.out.splitlines())


@pytest.mark.parametrize("scope", ["tensor", "file", "global", "axis:0", "axis:-1"])
@pytest.mark.parametrize("spec", ["zero90%", "top37", "top10%", "energy50%", "p75", "median", "2sigma", "otsu"])
def test_a_report_gives_the_bytes_of_the_command_that_does_both(weights: Path, spec: str, scope: str) -> None:
    folder = weights.parent
    asked = ("-t", spec, "--scope", scope, "-x", "empty")
    assert thresh("gradient", weights, *asked, "-o", folder / "one.safetensors").status == 0
    solved = thresh("solve", weights, *asked, "--magnitude", "--json")
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(solved.json)
    (folder / "plan.json").write_text(solved.out)
    done = thresh(
        "gradient", weights, "-t", f"@{folder / 'plan.json'}", "-x", "empty", "-o", folder / "two.safetensors"
    )
    assert (done.status, done.err) == (0, "")
    assert (folder / "one.safetensors").read_bytes() == (folder / "two.safetensors").read_bytes()


def test_the_summary_of_a_rule_is_such_a_report_too(weights: Path) -> None:
    folder = weights.parent
    first = thresh("gradient", weights, "-t", "top5", "-o", folder / "one.safetensors", "--json")
    (folder / "plan.json").write_text(first.out)
    assert thresh("gradient", weights, "-t", f"@{folder / 'plan.json'}", "-o", folder / "two.safetensors").status == 0
    assert (folder / "one.safetensors").read_bytes() == (folder / "two.safetensors").read_bytes()


def test_a_report_with_two_slots_serves_both(weights: Path) -> None:
    folder = weights.parent
    asked = ("band", weights, "-x", "empty")
    first = thresh(*asked, "--low", "p10", "--high", "p60", "-o", folder / "one.safetensors", "--json")
    (folder / "r.json").write_text(first.out)
    report = f"@{folder / 'r.json'}"
    assert thresh(*asked, "--low", report, "--high", report, "-o", folder / "two.safetensors").status == 0
    one, two = (load_file(folder / f"{name}.safetensors") for name in ("one", "two"))
    assert all((one[name].tobytes() == two[name].tobytes()) for name in one)


def test_a_map_holds_the_threshold_of_each_element(weights: Path) -> None:
    folder = weights.parent
    asked: tuple[str, ...] = ("-t", "p80", "--scope", "axis:0", "-k", "a")
    assert thresh("solve", weights, *asked, "-o", folder / "map.safetensors").status == 0
    found = load_file(folder / "map.safetensors")["a"]
    x = load_file(weights)["a"]
    expected = np.percentile(x.astype(np.float64), 80, axis=1).astype(np.float32)
    assert found.dtype == np.float64
    assert (found == expected[:, None]).all()
    assert thresh("binary", weights, *asked, "-o", folder / "one.safetensors", "--no-provenance").status == 0
    asked = ("-t", f"@{folder / 'map.safetensors'}", "-k", "a", "--no-provenance")
    assert thresh("binary", weights, *asked, "-o", folder / "two.safetensors").status == 0
    assert (folder / "one.safetensors").read_bytes() == (folder / "two.safetensors").read_bytes()


def test_a_map_has_no_nan_where_the_tensor_has(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([1, np.nan, 3], np.float32))
    assert thresh("solve", tmp_path / "x.npy", "-t", "median", "-o", tmp_path / "m.npy").status == 0
    assert np.load(tmp_path / "m.npy").tolist() == [2, 2, 2]


def test_refusals_are_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full(3, np.nan, np.float32))
    refused(thresh("solve", tmp_path / "x.npy"), 2, "--threshold is missing")
    refused(thresh("solve", tmp_path / "x.npy", "-t", "p101"), 2, "p101")
    refused(thresh("solve", tmp_path / "x.npy", "-t", "p50"), 4, "x.npy: tensor 'x' has nothing to work out p50 from")
    (tmp_path / "r.json").write_text('{"schema": "thresh.report/1", "files": []}')
    refused(
        thresh("binary", tmp_path / "x.npy", "-t", f"@{tmp_path / 'r.json'}", "-o", tmp_path / "o.npy"),
        2,
        "'x'",
    )
    (tmp_path / "r.json").write_text("[1, 2")
    refused(
        thresh("binary", tmp_path / "x.npy", "-t", f"@{tmp_path / 'r.json'}", "-o", tmp_path / "o.npy"),
        4,
        "is not JSON",
    )
    assert listed(tmp_path) == ["r.json", "x.npy"]


def test_what_was_asked_of_all_tensors_together_is_not_asked_of_each_again(weights: Path) -> None:
    """Under `--scope global` a report repeats it for each tensor; the table must not add it up."""
    folder = weights.parent
    asked = ("-t", "top100", "--scope", "global", "-x", "empty")
    (folder / "plan.json").write_text(thresh("solve", weights, *asked, "--magnitude", "--json").out)
    ran = thresh("gradient", weights, "-t", f"@{folder / 'plan.json'}", "-x", "empty", "-o", folder / "y.safetensors")
    assert (ran.status, "ASKED" in ran.out) == (0, False)
    own = thresh("gradient", weights, *asked, "-o", folder / "z.safetensors")
    assert "100 -> 100" in own.out


def test_a_number_of_a_report_is_a_number_again(weights: Path) -> None:
    """It was not worked out from data, so the second report tells of it as the first did."""
    folder = weights.parent
    first = thresh("gradient", weights, "-t", "0.5", "-o", folder / "one.safetensors", "--json")
    (folder / "r.json").write_text(first.out)
    second = thresh("gradient", weights, "-t", f"@{folder / 'r.json'}", "-o", folder / "two.safetensors", "--json")
    assert (
        second.tensor["threshold"]
        == first.tensor["threshold"]
        == {"spec": "0.5", "value": 0.5, "min": None, "max": None}
    )
    assert (folder / "one.safetensors").read_bytes() == (folder / "two.safetensors").read_bytes()
