"""The reports of `sweep`: a block a tensor and sums for people, the shipped schema for programs."""

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
from tests.test_report_stats import copied
from threshcli.findings import SweepRow, TensorSweep
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult


def row(spec: str, value: float, kept: int, **more: Any) -> SweepRow:
    fields: dict[str, Any] = {"energy": float(kept), "energy_share": kept / 1000, "zeros_after": 1000 - kept}
    return SweepRow(spec=spec, value=value, kept=kept, **fields | more)


def swept(name: str, *found: SweepRow, **more: Any) -> TensorSweep:
    """A tensor of which thresholds were tried."""
    fields: dict[str, Any] = {
        **{"name": name, "shape": (10, 100), "dtype": "float32", "out_dtype": "float32", "applied": True},
        **{"elements": 1000, "zeros": 250, "nan": 0, "energy": 1000.0},
    }
    return TensorSweep(rows=found, **fields | more)


def looked(*files: FileResult, **params: object) -> RunResult:
    known = {"compare": "gt", "magnitude": True, "scope": "tensor"}
    return replace(run(*files, params=known | params), command="sweep", operator="")


NO = SweepRow(spec="minimum", reason="its histogram has no two peaks")
SOME = looked(
    file("m.pt", swept("w", row("0.1", 0.1, 700), NO), swept("b", row("0.1", 0.1, 0), NO), copied("c")),
    file("x.npy", swept("x", row("0.1", 0.1, 1000), row("minimum", 0.25, 500), nan=2)),
    failed("bad.npy"),
)


def table(result: RunResult, terminal: Terminal, *, verbose: bool = False) -> list[str]:
    return render(result, "table", terminal, verbose).splitlines()


def test_the_table_has_a_block_a_tensor_and_one_for_all() -> None:
    lines = table(SOME, Terminal())
    assert lines[0].split("  ")[0] == "THRESHOLD"
    assert lines[2] == "m.pt::w  10x100 float32, 25.0% zero"
    assert lines[3].split() == ["0.1", "0.1", "700", "70.0%", "70.0%", "30.0%"]
    assert lines[4].split()[:4] == ["minimum", "-", "-", "-"]
    assert lines[4].endswith("its histogram has no two peaks")
    assert lines[8] == "m.pt::c  3 complex64: complex64 has no order"
    assert lines[9] == "x.npy  10x100 float32, 25.0% zero, 2 NaN"
    assert lines[12].startswith("bad.npy: failed, the file is truncated")
    assert lines[13] == "TOTAL of 3 tensors, 3,000 elements, 25.0% zero, 2 NaN"
    assert lines[14].split() == ["0.1", "0.1", "1,700", "56.7%", "56.7%", "43.3%"]
    assert lines[15].split()[:4] == ["minimum", "0.25", "500", "50.0%"]
    assert "of 1 tensor: its histogram" in lines[15]
    assert lines[16].startswith("kept: |x| > T, scope tensor, 3 tensors in 3 files, ")


def test_cuts_by_rank_tell_what_was_asked() -> None:
    """Of one that all tensors share it was asked once."""
    tensors = [swept(name, row("top9", 1.5, 4, asked=9, tied=3)) for name in "ab"]
    lines = table(looked(file("m.pt", *tensors)), Terminal())
    assert lines[3].split() == ["top9", "1.5", "4", "0.4%", "9", "3", "0.4%", "99.6%"]
    assert lines[7].split()[2:6] == ["8", "0.4%", "18", "6"]
    lines = table(looked(file("m.pt", *tensors), scope="global"), Terminal())
    assert lines[7].split()[2:6] == ["8", "0.4%", "9", "3"]


def test_a_threshold_that_differs_has_its_extremes_in_the_sums() -> None:
    tensors = [swept(name, row("otsu", value, 4)) for name, value in (("a", 1.5), ("b", -2.0))]
    assert "-2 .. 1.5" in table(looked(file("m.pt", *tensors)), Terminal())[7]


def test_the_energy_of_several_tensors_may_overflow() -> None:
    tensors = [swept(name, row("0", 0.0, 4), energy=energy) for name, energy in (("a", 1e3), ("b", float("inf")))]
    lines = table(looked(file("m.pt", *tensors)), Terminal())
    assert [lines[place].split()[4] for place in (3, 5, 7)] == ["0.4%", "0.4%", "-"]


def test_many_tensors_are_told_by_file_unless_all_are_asked_for() -> None:
    many = looked(*(file(f"{i}.pt", *(swept(f"w{j}", row("0", 0.0, 10)) for j in range(11))) for i in range(2)))
    lines = table(many, Terminal())
    assert lines[2] == "0.pt: 11 tensors, 25.0% zero"
    assert lines[-1] == "-v shows each tensor"
    assert len(lines) == 2 + 3 * 2 + 2
    assert len(table(many, Terminal(), verbose=True)) == 2 + 23 * 2 + 1
    most = looked(*(file(f"{i}.npy", swept("w", row("0", 0.0, 10))) for i in range(30)))
    assert [line for line in table(most, Terminal()) if ".npy" in line] == []


@pytest.mark.parametrize(("width", "titles"), [(80, 6), (44, 5), (36, 4), (26, 3)])
def test_the_least_important_columns_go_first(width: int, titles: int) -> None:
    lines = table(looked(file("x.npy", swept("x", row("0.1", 0.1, 700)))), Terminal(is_terminal=True, width=width))
    order = ("THRESHOLD", "VALUE", "OF ALL", "ENERGY", "ZERO", "KEPT")
    assert [title for title in order if title in lines[0].replace("ENERGY KEPT", "ENERGY")] == list(order[:titles])


def test_the_document_has_the_promised_shape() -> None:
    document = parsed(render(SOME, "json", Terminal(), verbose=False))
    assert (document["schema"], document["command"], document["status"]) == ("thresh.sweep/1", "sweep", "partial")
    first, second, third = document["files"]
    assert list(first["tensors"][0]) == [
        "name",
        "shape",
        "dtype",
        "elements",
        "reason",
        "nan",
        "zeros",
        "energy",
        "rows",
    ]
    assert first["tensors"][0]["rows"] == [
        {
            **{"spec": "0.1", "value": 0.1, "kept": 700, "kept_share": 0.7, "energy_share": 0.7, "zeros_after": 300},
            **{"asked": None, "tied": None, "reason": None},
        },
        {
            **{"spec": "minimum", "value": None, "kept": None, "kept_share": None, "energy_share": None},
            **{"zeros_after": None, "asked": None, "tied": None, "reason": "its histogram has no two peaks"},
        },
    ]
    assert (first["tensors"][2]["rows"], first["tensors"][2]["reason"]) == ([], "complex64 has no order")
    assert second["tensors"][0]["nan"] == 2
    assert third["error"]["exit_code"] == 4
    assert document["totals"]["rows"][1] == {
        **{"spec": "minimum", "tensors": 1, "elements": 1000, "kept": 500, "kept_share": 0.5, "energy_share": 0.5},
        "zeros_after": 500,
    }


@pytest.mark.parametrize("change", [{"schema": "thresh.sweep/2"}, {"totals": {}}, {"files": [{}]}])
def test_the_schema_refuses_what_is_not_a_report(change: dict[str, object]) -> None:
    document = json.loads(render(SOME, "json", Terminal(), verbose=False))
    validator().validate(document | {"added": 1})
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(document | change)


counts = st.integers(0, 2**64)
found = st.builds(
    SweepRow,
    spec=st.just("p90"),
    value=st.floats(allow_nan=False) | st.integers(-(2**63), 2**64),
    kept=counts,
    energy=st.floats(0, allow_nan=False),
    energy_share=st.none() | st.floats(0, 1),
    zeros_after=counts,
    asked=st.none() | counts,
    tied=st.none() | counts,
) | st.builds(SweepRow, spec=st.just("p90"), reason=anything)
tensors = st.builds(
    lambda name, some, energy: swept(name, some, elements=2**65, energy=energy),
    anything,
    found,
    st.floats(0, allow_nan=False),
)
runs = st.lists(st.lists(tensors | st.builds(copied, anything), max_size=4), max_size=4).map(
    lambda files: looked(*(file(f"{i}\x1b.npy", *items) for i, items in enumerate(files)))
)


@UNHURRIED
@given(runs, terminals, st.booleans())
def test_no_run_can_break_the_table(result: RunResult, terminal: Terminal, verbose: bool) -> None:
    check_lines(render(result, "table", terminal, verbose), terminal)
