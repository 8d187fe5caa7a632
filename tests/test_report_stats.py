"""The reports of `stats`: rows and sums for people, the shipped schema for programs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reports import render
from tests.test_report_examples import UNHURRIED, anything, check_lines, failed, file, run, terminals
from tests.test_report_machine import parsed, validator
from threshcli.findings import TensorStats
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult, Scalar, TensorResult

NARROW = Terminal(is_terminal=True, width=80)


def stats(name: str, **more: Any) -> TensorStats:
    """A tensor that was looked at."""
    fields: dict[str, Any] = {
        **{"name": name, "shape": (10, 100), "dtype": "float32", "out_dtype": "float32", "applied": True},
        **{"elements": 1000, "zeros": 250, "nan": 0, "inf": 0, "min": -3.0, "max": 4.0, "mean": 0.125, "std": 1.5},
        **{"norm1": 900.0, "norm2": 30.0, "norm_max": 4.0},
    }
    return TensorStats(**fields | more)


def copied(name: str) -> TensorResult:
    return TensorResult(
        name=name, shape=(3,), dtype="complex64", out_dtype="complex64", applied=False, reason="complex64 has no order"
    )


def looked(*files: FileResult, **params: object) -> RunResult:
    return replace(run(*files, params=params), command="stats", operator="")


SOME = looked(
    file("m.safetensors", stats("w"), stats("b", shape=(40,), elements=40, zeros=0, norm2=40.0), copied("c")),
    file("x.npy", stats("x", nan=2, inf=1, max=float("inf"))),
    failed("bad.npy"),
)


def table(result: RunResult, terminal: Terminal, *, verbose: bool = False) -> list[str]:
    return render(result, "table", terminal, verbose).splitlines()


def test_the_table_has_a_row_a_tensor_and_sums() -> None:
    """All columns where there is room; the mean of several is not told, norms combine."""
    lines = table(SOME, Terminal())
    assert lines[0].split("  ")[0] == "FILE / TENSOR"
    titles = ("SHAPE", "DTYPE", "ELEMENTS", "ZERO", "DENSITY", "NAN/INF", "min..max", "MEAN", "STD", "L1", "L2", "NOTE")
    assert [title for title in titles if title not in lines[0]] == []
    assert lines[3].split() == [
        *("w", "10x100", "float32", "1,000", "250", "75.0%", "0", "-3", "..", "4", "0.125", "1.5", "900", "30", "4")
    ]
    assert lines[5].split()[:3] == ["c", "3", "complex64"]
    assert lines[5].endswith("complex64 has no order")
    assert lines[7].split()[0] == "bad.npy"
    assert "failed" in lines[7]
    assert lines[9].split() == [
        *("TOTAL", "3", "tensors", "2,040", "500", "75.5%", "2/1", "-3", "..", "inf", "2700", "58.31", "4")
    ]
    assert lines[10].startswith("3 tensors in 3 files, ")


@pytest.mark.parametrize(("width", "kept"), [(80, 6), (55, 5), (50, 4), (40, 3), (28, 2)])
def test_the_least_important_columns_go_first(width: int, kept: int) -> None:
    """Extremes stay to the last, and before them NaN where there is any, and the mean."""
    lines = table(SOME, Terminal(is_terminal=True, width=width))
    found = [title for title in ("min..max", "NAN/INF", "MEAN", "ELEMENTS", "DENSITY", "STD") if title in lines[0]]
    assert found == ["min..max", "NAN/INF", "MEAN", "ELEMENTS", "DENSITY", "STD"][:kept]
    assert any("failed" in line for line in lines)


def test_percentiles_have_columns_of_their_own() -> None:
    lines = table(looked(file("x.npy", stats("x", percentiles=(("1", -2.5), ("99.9", 3.5))))), NARROW)
    assert "p1" in lines[0].split()
    assert "p99.9" in lines[0].split()
    assert lines[2].split()[-2:] == ["-2.5", "3.5"]


def test_many_tensors_have_a_row_a_file_unless_all_are_asked_for() -> None:
    many = looked(file("m.pt", *(stats(f"w{i}") for i in range(15))), file("n.pt", *(stats(f"w{i}") for i in range(6))))
    lines = table(many, Terminal())
    assert [line.split()[:4] for line in lines[2:4]] == [
        ["m.pt", "15", "tensors", "float32"],
        ["n.pt", "6", "tensors", "float32"],
    ]
    assert lines[-1] == "-v shows each tensor"
    assert len(table(many, Terminal(), verbose=True)) == 2 + 2 + 21 + 2 + 1


def test_magnitudes_are_told_below_the_table() -> None:
    assert table(looked(file("x.npy", stats("x")), magnitude=True), NARROW)[-1].startswith("|x| of 1 tensor in 1 file")


def test_the_document_has_the_promised_shape() -> None:
    document = parsed(render(SOME, "json", Terminal(), verbose=False))
    assert list(document) == ["schema", "version", "command", "status", "params", "files", "totals", "warnings"]
    assert (document["schema"], document["status"]) == ("thresh.stats/1", "partial")
    first, second, third = document["files"]
    assert [item["status"] for item in document["files"]] == ["ok", "ok", "failed"]
    assert list(first["tensors"][0]) == [
        *("name", "shape", "dtype", "elements", "reason", "zeros", "density", "nan", "inf", "min", "max", "mean"),
        *("std", "norm1", "norm2", "norm_max", "percentiles"),
    ]
    assert (first["tensors"][2]["reason"], first["tensors"][2]["zeros"]) == ("complex64 has no order", None)
    assert second["tensors"][0]["max"] == "Infinity"
    assert third["error"]["exit_code"] == 4
    assert (document["totals"]["tensors"], document["totals"]["elements"], document["totals"]["zeros"]) == (
        3,
        2040,
        500,
    )


@pytest.mark.parametrize(
    "change", [{"schema": "thresh.stats/2"}, {"status": "fine"}, {"totals": {}}, {"files": [{}]}, {"params": None}]
)
def test_the_schema_refuses_what_is_not_a_report(change: dict[str, object]) -> None:
    document = json.loads(render(SOME, "json", Terminal(), verbose=False))
    validator().validate(document | {"added": 1})
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(document | change)


numbers: st.SearchStrategy[Scalar | None] = st.none() | st.floats(allow_nan=False) | st.integers(-(2**63), 2**64)
norms = st.floats(0, allow_nan=False)
tensors = st.builds(
    TensorStats,
    name=anything,
    shape=st.lists(st.integers(0, 2**40), max_size=4).map(tuple),
    dtype=st.sampled_from(["float32", "uint8"]),
    out_dtype=st.just("float32"),
    applied=st.just(True),
    elements=st.integers(1000, 2**64),
    zeros=st.integers(0, 1000),
    nan=st.integers(0, 2**64),
    inf=st.integers(0, 2**64),
    min=numbers,
    max=numbers,
    mean=st.none() | st.floats(allow_nan=False),
    std=st.none() | norms,
    norm1=norms,
    norm2=norms,
    norm_max=st.none() | norms,
    percentiles=st.sampled_from([(), (("1", 2.5), ("50", None))]),
)
runs = st.lists(st.lists(tensors | st.builds(copied, anything), max_size=4), max_size=4).map(
    lambda files: looked(*(file(f"{i}\x1b.npy", *items) for i, items in enumerate(files)))
)


@UNHURRIED
@given(runs, terminals, st.booleans())
def test_no_run_can_break_the_reports(result: RunResult, terminal: Terminal, verbose: bool) -> None:
    check_lines(render(result, "table", terminal, verbose), terminal)
    parsed(render(result, "json", terminal, verbose))
