"""Reports for programs: the shape that was promised, exact values, and the schema that is shipped."""

from __future__ import annotations

import base64
import functools
import json
import math
import os
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given

from tests.reports import render, render_end, render_json, render_tsv
from tests.test_report_examples import EXAMPLES, UNHURRIED, copied, decided, failed, file, run, runs, tensor
from threshcli.report.machine import render_event, schema_text
from threshcli.report.terminal import Terminal
from threshcli.results import RunResult, ThresholdUsed

AWKWARD = "a\tb\nc\\d\x1b[31m\u202eé\udcff"


@functools.cache
def validator() -> jsonschema.Draft202012Validator:
    """One that holds documents to the shipped schema."""
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def parsed(text: str) -> Any:
    """The document, after it was held to the schema, and to JSON without NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    document = json.loads(text, parse_constant=refuse)
    validator().validate(document)
    return document


def test_the_report_has_the_promised_shape() -> None:
    """Every key, in the order of the design."""
    result = run(
        file(
            "a.npy",
            tensor("a", (3, 3), selected=4, kept=4, changed=5, zeros_before=0, zeros_after=5, min=0.0, max=1.0),
            output="b.npy",
        ),
        params={"threshold": "0.5", "compare": "gt", "fill": 0},
    )
    text = render_json(result)
    assert text.isascii()
    assert text.endswith("}\n")
    document = parsed(text)
    (shown,) = document["files"][0]["tensors"]
    assert list(document) == [
        *("schema", "version", "command", "status", "params", "device", "files", "totals", "warnings")
    ]
    assert document["schema"] == "thresh.report/1"
    assert document["params"] == {"threshold": "0.5", "compare": "gt", "fill": 0}
    assert list(document["files"][0]) == [
        *("input", "output", "status", "format", "bytes_in", "bytes_out", "seconds", "error", "tensors")
    ]
    assert list(shown) == [
        *("name", "shape", "dtype", "out_dtype", "applied", "threshold", "elements", "selected", "kept", "changed"),
        *("zeros_before", "zeros_after", "nan", "inf", "min", "max", "mean", "norm_before", "norm_after"),
    ]
    assert shown["threshold"] == {"spec": "0.5", "value": 0.5, "min": None, "max": None}
    assert document["totals"] == {
        **{"files": 1, "failed": 0, "elements": 9, "selected": 4, "changed": 5, "seconds": 0.5}
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_keeps_to_the_schema(name: str) -> None:
    """As one document, and as events."""
    result = EXAMPLES[name]
    parsed(render_json(result))
    parsed(render(replace(result, command="info"), "json", Terminal(), verbose=False))
    for i, item in enumerate(result.files):
        parsed(render_event(item, i))
    parsed(render_end(result))


@UNHURRIED
@given(runs)
def test_every_run_keeps_to_the_schema(result: RunResult) -> None:
    """Whatever the names and numbers are."""
    parsed(render(result, "json", Terminal(), verbose=False))
    for line in render(result, "ndjson", Terminal(), verbose=False).splitlines():
        parsed(line)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "thresh.report/2"},
        {"status": "fine"},
        {"warnings": [1]},
        {"files": [{}]},
        {"totals": {}},
    ],
)
def test_the_schema_refuses_what_is_not_a_report(change: dict[str, object]) -> None:
    """It would be worth nothing if it took everything; additions it takes."""
    document = json.loads(render_json(EXAMPLES["one"]))
    validator().validate(document | {"added": 1})
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(document | change)


def test_numbers_that_json_lacks_are_words() -> None:
    """NaN and the infinities, wherever they stand."""
    used = ThresholdUsed(spec="inf", value=math.inf)
    result = run(file("a.npy", tensor(threshold=used, min=-math.inf, max=math.nan)), params={"above": math.nan})
    document = parsed(render_json(result))
    (shown,) = document["files"][0]["tensors"]
    assert (shown["threshold"]["value"], shown["min"], shown["max"]) == ("Infinity", "-Infinity", "NaN")
    assert document["params"] == {"above": "NaN"}


def test_integers_are_exact_at_any_size() -> None:
    """Nothing goes through a float."""
    used = ThresholdUsed(spec="9007199254740993", value=9007199254740993)
    document = parsed(render_json(run(file("a.npy", tensor(threshold=used, max=2**64 - 1)))))
    (shown,) = document["files"][0]["tensors"]
    assert (shown["threshold"]["value"], shown["max"]) == (9007199254740993, 2**64 - 1)


def test_several_thresholds_are_a_list() -> None:
    """One for each slot, in their order; null where there is none."""
    document = parsed(render_json(EXAMPLES["slots"]))
    assert [slot["spec"] for slot in document["files"][0]["tensors"][0]["threshold"]] == ["0.1", "p90"]
    copies = parsed(render_json(EXAMPLES["copied"]))["files"][0]["tensors"]
    assert [item["threshold"] for item in copies] == [None, None]
    assert copies[1]["reason"] == "float4 is only copied"


def test_names_are_exact() -> None:
    """No escape but JSON's own: what is read back is the name."""
    name = "a\x1b[31m\u202e\u200b\n漢.npy"
    document = parsed(render_json(run(file(name, tensor(name), output=name))))
    assert document["files"][0]["input"] == document["files"][0]["output"] == name
    assert document["files"][0]["tensors"][0]["name"] == name


def test_a_file_name_that_is_not_utf8_comes_as_bytes_too() -> None:
    """The text is made valid, the bytes are in base64."""
    raw = b"caf\xe9.npy"
    shown = parsed(render_json(run(file(os.fsdecode(raw), tensor(), output=os.fsdecode(raw)))))["files"][0]
    assert list(shown)[:4] == ["input", "input_bytes", "output", "output_bytes"]
    assert shown["input"] == shown["output"] == "caf\\xe9.npy"
    assert base64.b64decode(shown["input_bytes"]) == base64.b64decode(shown["output_bytes"]) == raw


def test_a_surrogate_that_stands_for_no_byte_is_escaped() -> None:
    """No system gives such a name; there are no bytes to tell."""
    shown = parsed(render_json(run(file("a\ud800.npy", tensor()))))["files"][0]
    assert shown["input"] == "a\\ud800.npy"
    assert "input_bytes" not in shown


def test_a_failed_file_has_its_error() -> None:
    """What happened, what to do, and the exit status."""
    document = parsed(render_json(run(file("a.npy", tensor()), failed("bad.npy", "it is damaged"))))
    assert document["status"] == "partial"
    assert document["totals"]["failed"] == 1
    assert document["files"][1]["error"] == {"message": "it is damaged", "hint": "copy it again", "exit_code": 4}


def test_totals_are_over_what_the_rule_worked_on() -> None:
    """Copied tensors have no share in them."""
    totals = parsed(render_json(run(file("m.pt", decided("a"), decided("b"), copied("c")))))["totals"]
    assert (totals["elements"], totals["selected"], totals["changed"]) == (2000, 864, 1136)
    assert parsed(render_json(run()))["totals"]["selected"] is None


def test_warnings_of_files_are_told_at_the_top_as_well() -> None:
    """With the file's name before them; there they are complete."""
    document = parsed(render_json(run(file("a.npy", tensor(), warnings=("3 NaN",)), warnings=("slow disk",))))
    assert document["warnings"] == ["slow disk", "a.npy: 3 NaN"]
    assert document["files"][0]["warnings"] == ["3 NaN"]


def test_params_of_any_kind_become_json() -> None:
    """Lists and dicts keep their form, other objects are told as text."""
    params = {"cuts": (1, 2.5), "by": {"axis": 1}, "flag": True, "none": None, "odd": 1j}
    document = parsed(render_json(run(params=params)))
    assert document["params"] == {"cuts": [1, 2.5], "by": {"axis": 1}, "flag": True, "none": None, "odd": "1j"}


def test_events_are_a_line_each() -> None:
    """A file as it ends, then the report without its files."""
    lines = render(EXAMPLES["several"], "ndjson", Terminal(), verbose=False).splitlines()
    events = [parsed(line) for line in lines]
    assert [event["event"] for event in events] == ["file"] * 4 + ["end"]
    assert [event["index"] for event in events[:4]] == [0, 1, 2, 3]
    report = parsed(render_json(EXAMPLES["several"]))
    assert [{k: v for k, v in event.items() if k not in ("event", "index")} for event in events[:4]] == report["files"]
    assert events[-1] == {"event": "end"} | {key: value for key, value in report.items() if key != "files"}


def test_info_has_a_report_of_its_own() -> None:
    """What headers say, and sums of it."""
    header = replace(tensor("w", (3, 4)), applied=False, nbytes=48, layout="C")
    result = run(file("m.pt", header, metadata=(("format", "pt"),), notes=("2 are tied",)), failed("x"), command="info")
    document = parsed(render(result, "json", Terminal(), verbose=False))
    assert document["schema"] == "thresh.info/1"
    assert document["totals"] == {"files": 2, "failed": 1, "tensors": 1, "elements": 12, "nbytes": 48}
    assert document["files"][0]["metadata"] == {"format": "pt"}
    assert [item["status"] for item in document["files"]] == ["ok", "failed"]
    assert document["files"][0]["tensors"] == [
        {"name": "w", "shape": [3, 4], "dtype": "float32", "elements": 12, "nbytes": 48, "layout": "C"}
    ]


def fields(text: str) -> list[dict[str, str]]:
    """The lines of a TSV by the names of their columns."""
    names, *lines = (line.split("\t") for line in text.removesuffix("\n").split("\n"))
    return [dict(zip(names, line, strict=True)) for line in lines]


def test_tsv_has_a_line_a_tensor_with_exact_numbers() -> None:
    """Floats read back the same; what is not there is empty."""
    used = ThresholdUsed(spec="0.1", value=0.10000000149011612)
    (line,) = fields(render_tsv(run(file("a.npy", tensor(threshold=used, max=2**64, nan=None)))))
    assert line["threshold"] == "0.10000000149011612"
    assert (line["shape"], line["max"], line["nan"], line["applied"]) == ("10x100", str(2**64), "", "true")
    assert (line["file"], line["status"], line["output"], line["error"]) == ("a.npy", "written", "out.npy", "")


def test_tsv_tells_failed_files_and_several_thresholds() -> None:
    """A file without tensors has a line, slots have commas between them."""
    lines = fields(render_tsv(run(failed("x"), *EXAMPLES["slots"].files, file("m.pt", copied("c")))))
    assert (lines[0]["status"], lines[0]["tensor"]) == ("failed", "")
    assert lines[0]["error"].startswith("the file is truncated")
    assert (lines[1]["spec"], lines[1]["threshold"], lines[1]["threshold_min"]) == ("0.1,p90", "0.1,0.9", ",")
    assert (lines[2]["applied"], lines[2]["reason"], lines[2]["spec"]) == ("false", "not selected", "")


def test_tsv_names_can_be_had_back() -> None:
    """Tabs, newlines and backslashes are escaped, so that a line is a line and a field a field."""
    (line,) = fields(render_tsv(run(file(AWKWARD, tensor(AWKWARD)))))
    assert line["file"] == line["tensor"] == "a\\tb\\nc\\\\d\\x1b[31m\\u202eé\\xff"


@UNHURRIED
@given(runs)
def test_every_line_of_a_tsv_has_every_field(result: RunResult) -> None:
    """No name can add a field or a line."""
    expected = sum(max(1, len(item.tensors)) for item in result.files)
    assert len(fields(render(result, "tsv", Terminal(), verbose=False))) == expected
