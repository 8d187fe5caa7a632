"""`-t @report.json`: reports that do not fit, or that somebody has tampered with."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import listed, refused, thresh

TENSOR = ("files", 0, "tensors", 0)
THRESHOLD = (*TENSOR, "threshold")
ODD: list[Any] = [
    *(None, True, -1, 1.5, 10**30, 10**400, float("inf"), float("nan"), "NaN", "x", "a\n\x1b[31m"),
    *([], [[[]]], [1, 2], [None], {}, {"value": {}}),
]


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A report of one threshold, and one of thresholds along an axis."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.arange(10.0) - 5)
    np.save("square.npy", np.arange(16.0).reshape(4, 4) % 3)
    plain = thresh("solve", "x.npy", "-t", "top3", "--magnitude", "--json").json
    return {"x": plain, "square": thresh("solve", "square.npy", "-t", "top2", "--scope", "axis:0", "--json").json}


def changed(report: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """The report with another value at a place."""
    found = deepcopy(report)
    inner = found
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return found


def apply(report: Any, name: str) -> int:
    """The status of a rule with this report, once it is certain that it was a good one."""
    Path("report.json").write_text(json.dumps(report))
    ran = thresh("gradient", f"{name}.npy", "-t", "@report.json", "-o", "out.npy")
    if ran.status:
        refused(ran, 2, f"{name}.npy: tensor '{name}': ")
        assert len(ran.lines[0]) < 400
        assert "\x1b" not in ran.err
    assert ("out.npy" in listed(".")) == (ran.status == 0)
    Path("out.npy").unlink(missing_ok=True)
    return ran.status


@pytest.mark.parametrize("path", [("files",), TENSOR[:2], TENSOR[:3], TENSOR, THRESHOLD, ("params",)], ids=str)
@pytest.mark.parametrize("name", ["x", "square"])
def test_a_report_of_any_structure_is_used_or_refused(name: str, path: Any, reports: dict[str, Any]) -> None:
    """Whatever stands where lists and objects should."""
    statuses = {apply(changed(reports[name], path, value), name) for value in ODD}
    assert statuses == ({0} if path == ("params",) else {2})


@pytest.mark.parametrize("field", ["spec", "value", "above", "asked", "tied", "usable", "unusable", "slot"])
def test_a_threshold_of_any_values_is_used_or_refused(field: str, reports: dict[str, Any]) -> None:
    """A count is a count, a number a number, or the report is of no use."""
    for value in ODD:
        status = apply(changed(reports["x"], (*THRESHOLD, field), value), "x")
        assert status == 2 or field == "spec" or value is None or (value, field) == (10**30, "value") or value == 1.5


@pytest.mark.parametrize("field", ["axis", "values", "above"])
def test_thresholds_along_an_axis_of_any_values_are_used_or_refused(field: str, reports: dict[str, Any]) -> None:
    for value in [*ODD, [1, 2, 3, "x"], [1, 2, 3, None], [10**400] * 4, [True] * 4, [-1] * 4, [1, 2, 3, 4, 5], 1, 2]:
        status = apply(changed(reports["square"], (*THRESHOLD, field), value), "square")
        assert status == 2 or field == "above" or (field, value) == ("axis", 1)


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "1", '"x"', "{", "{}", '{"schema": "other"}', "[" * 100_000, "9" * 5000, "\ufffd", '{"a": NaN'],
)
def test_what_is_no_report_is_not_taken_for_one(text: str) -> None:
    Path("report.json").write_text(text, encoding="utf-8")
    refused(thresh("gradient", "x.npy", "-t", "@report.json", "-o", "out.npy"), 4, "report.json: is not")


def test_a_report_about_other_tensors_says_which(reports: dict[str, Any]) -> None:
    """Another name, another shape, another slot."""
    Path("report.json").write_text(json.dumps(reports["square"]))
    refused(thresh("gradient", "x.npy", "-t", "@report.json", "-o", "out.npy"), 2, "'x'; it has 'square'")
    np.save("square.npy", np.ones((3, 4)))
    refused(thresh("gradient", "square.npy", "-t", "@report.json", "-o", "out.npy"), 2, "4 along axis 0", "[3, 4]")
    ran = thresh("clamp", "x.npy", "--low", "p5", "--high", "p95", "-o", "limited.npy", "--json")
    Path("report.json").write_text(ran.out)
    refused(thresh("gradient", "x.npy", "-t", "@report.json", "-o", "out.npy"), 2, "no threshold for --threshold")
    assert thresh("clamp", "x.npy", "--low", "@report.json", "--high", "@report.json", "-o", "y.npy").status == 0
    assert Path("y.npy").read_bytes() == Path("limited.npy").read_bytes()


def test_a_report_of_many_tensors_is_quickly_searched(reports: dict[str, Any]) -> None:
    """Ten megabytes of others do no harm."""
    (file,) = reports["x"]["files"]
    others = [{**file["tensors"][0], "name": f"layer.{number}.weight"} for number in range(25_000)]
    report = changed(reports["x"], TENSOR[:3], [*others, *file["tensors"]])
    assert len(json.dumps(report)) > 10**7
    assert apply(report, "x") == 0


def test_the_lines_of_a_report_are_taken_as_the_report_is(tmp_path: Path, reports: dict[str, Any]) -> None:
    """Of a run over several files; the ties of a cut by rank, and a threshold of several tensors together, too."""
    for options in (
        ("-t", "top3"),
        ("-t", "p40"),
        ("-t", "top2", "--scope", "axis:0"),
        ("-t", "top5", "--scope", "global"),
    ):
        words = ("gradient", "x.npy", "square.npy", *options, "-O", "first", "--overwrite")
        assert thresh(*words, "--report", "ndjson", "--report-file", "report.ndjson").status == 0
        assert thresh(*words, "--report-file", "report.json").status == 0
        Path("copy.jsonl").write_bytes(Path("report.ndjson").read_bytes() + b"\n")
        for name in ("report.json", "report.ndjson", "copy.jsonl"):
            words = ("gradient", "x.npy", "square.npy", "-t", f"@{name}", "-O", "again", "--overwrite")
            assert thresh(*words).status == 0
            for file in ("x.npy", "square.npy"):
                assert Path("again", file).read_bytes() == Path("first", file).read_bytes()


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize(
    ("kept", "what"),
    [
        (slice(0, 1), "was cut short"),
        (slice(0, 0), "was cut short"),
        ([0, 1, 0, 1], "more than one report"),
        ([1, 1], "more than one report"),
        (b"[]\n", "is not a report of thresh"),
        (b'{"event": "other"}', "is not a report of thresh"),
        (b'{"event": []}', "is not a report of thresh"),
        (b'{"event": {}}', "is not a report of thresh"),
        (b'{"event": "end"}', "is not a report of thresh"),
        (b'{"event": "file", "ind', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_lines_that_are_no_report_are_not_taken_for_one(kept: Any, what: str) -> None:
    """Those of a run that was killed, or of two."""
    lines = thresh("gradient", "x.npy", "-t", "p40", "-n", "--report", "ndjson").out.encode().splitlines(keepends=True)
    assert len(lines) == 2
    if isinstance(kept, slice):
        kept = b"".join(lines[kept])
    elif isinstance(kept, list):
        kept = b"".join(lines[place] for place in kept)
    Path("report.ndjson").write_bytes(kept)
    refused(thresh("gradient", "x.npy", "-t", "@report.ndjson", "-o", "out.npy"), 4, "report.ndjson: ", what)
