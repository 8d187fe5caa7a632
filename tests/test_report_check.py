"""The reports of `check`: what is wrong in a line each for people, the shipped schema for programs."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reports import render
from tests.test_report_examples import UNHURRIED, anything, check_lines, failed, run, terminals
from tests.test_report_machine import parsed, validator
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult, TensorResult
from threshcli.verdicts import FileCheck, TensorCheck

indices = st.none() | st.lists(st.integers(0, 2**40), max_size=4).map(tuple)
counts = st.integers(0, 2**64)
checks = st.builds(
    TensorCheck,
    name=anything,
    shape=st.just((3, 4)),
    dtype=st.just("float32"),
    out_dtype=st.just("float32"),
    applied=st.just(True),
    elements=st.just(12),
    nan=counts,
    inf=counts,
    invalid=counts,
    first_nan=indices,
    first_inf=indices,
    first_invalid=indices,
    damaged=st.booleans(),
    conditions=st.lists(st.tuples(anything, st.floats(allow_nan=False) | st.integers()), max_size=2).map(tuple),
    bad=st.booleans(),
)
copies = st.builds(
    lambda name: TensorResult(name=name, shape=(3,), dtype="F4", out_dtype="F4", applied=False, reason="not selected"),
    anything,
)
files = st.builds(
    FileCheck,
    input=anything,
    output=st.none(),
    status=st.just("read"),
    format=st.sampled_from([None, "npy", "pt"]),
    tensors=st.lists(checks | copies, max_size=3).map(tuple),
    faults=st.lists(anything, max_size=2).map(tuple),
    notes=st.lists(anything, max_size=2).map(tuple),
) | st.just(failed("gone.npy"))


def checked(*found: FileResult) -> RunResult:
    return replace(run(*found, params={"allow": [], "fail_if": []}), command="check", operator="")


@UNHURRIED
@given(st.lists(files, max_size=4).map(lambda found: checked(*found)), terminals, st.booleans())
def test_no_run_can_break_the_reports(result: RunResult, terminal: Terminal, verbose: bool) -> None:
    check_lines(render(result, "table", terminal, verbose), terminal)
    parsed(render(result, "json", terminal, verbose))


SOME = checked(
    FileCheck(
        input="a.pt",
        output=None,
        status="read",
        format="pt",
        tensors=(
            TensorCheck(
                name="w",
                shape=(2, 2),
                dtype="float32",
                out_dtype="float32",
                applied=True,
                elements=4,
                nan=1,
                inf=2,
                first_nan=(0, 1),
                first_inf=(1, 0),
                damaged=True,
                conditions=(("nan>0", 1),),
                bad=True,
            ),
        ),
        faults=("has 1 byte behind its end, which nothing reads",),
    )
)


def test_the_document_has_the_promised_shape() -> None:
    document = parsed(render(SOME, "json", Terminal(), verbose=False))
    (file,) = document["files"]
    assert (file["status"], file["verdict"], file["faults"]) == (
        "ok",
        "bad",
        ["has 1 byte behind its end, which nothing reads"],
    )
    assert list(file["tensors"][0])[5:] == [
        *("verdict", "nan", "first_nan", "inf", "first_inf", "invalid", "first_invalid", "damaged", "conditions")
    ]
    assert document["totals"]["bad"] == 1


def test_the_table_has_what_is_wrong_with_the_file_before_its_tensors() -> None:
    lines = render(SOME, "table", Terminal(), verbose=False).splitlines()
    assert lines[2].endswith("bad    has 1 byte behind its end, which nothing reads")
    assert lines[3].endswith(
        "bad    its bytes do not have their CRC-32; 1 NaN at [0, 1]; 2 infinite, the first at [1, 0]; nan>0 holds: 1"
    )


@pytest.mark.parametrize("change", [{"schema": "thresh.check/2"}, {"totals": {}}, {"files": [{}]}])
def test_the_schema_refuses_what_is_not_a_report(change: dict[str, object]) -> None:
    document = json.loads(render(SOME, "json", Terminal(), verbose=False))
    validator().validate(document | {"added": 1})
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(document | change)
