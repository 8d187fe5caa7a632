"""Runs to report on, made here for all tests of reports; and the laws that hold for every one of them."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.reports import render
from threshcli.report import Kind
from threshcli.report.terminal import Terminal
from threshcli.report.texts import cells
from threshcli.results import Failure, FileResult, RunResult, TensorResult, ThresholdUsed

KINDS: tuple[Kind, ...] = ("table", "json", "ndjson", "tsv", "none")
UNRUN: dict[str, Any] = dict.fromkeys(
    ("selected", "kept", "changed", "zeros_before", "zeros_after", "nan", "inf", "min", "max", "mean")
)
UNHURRIED = settings(suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no reason for a law to fail."""
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def tensor(name: str = "w", shape: tuple[int, ...] = (10, 100), dtype: str = "float32", **fields: Any) -> TensorResult:
    """A tensor that a rule was applied to; by default 432 of 1,000 elements were kept."""
    elements = math.prod(shape)
    kept = elements * 432 // 1000
    given: dict[str, Any] = {
        "out_dtype": dtype,
        "applied": True,
        "threshold": ThresholdUsed(spec="0.5", value=0.5),
        "elements": elements,
        "selected": kept,
        "kept": kept,
        "changed": elements - kept,
        "zeros_before": elements // 100,
        "zeros_after": elements - kept,
        "nan": 0,
        "inf": 0,
        "min": -1.23456,
        "max": 3.4567,
        "mean": 0.1,
    }
    return TensorResult(name=name, shape=shape, dtype=dtype, **(given | fields))


def decided(name: str = "w", shape: tuple[int, ...] = (10, 100), **fields: Any) -> TensorResult:
    """The same for a rule that decides and keeps nothing."""
    return tensor(name, shape, **({"kept": None, "out_dtype": "uint8"} | fields))


def copied(name: str, reason: str = "not selected") -> TensorResult:
    """A tensor that was only copied."""
    return tensor(name, applied=False, reason=reason, threshold=None, **UNRUN)


def file(name: str, *tensors: TensorResult, output: str | None = "out.npy", **fields: Any) -> FileResult:
    """A file that was written."""
    given: dict[str, Any] = {"status": "written", "format": "npy", "bytes_in": 4000, "bytes_out": 1000, "seconds": 0.1}
    return FileResult(input=name, output=output, tensors=tensors, **(given | fields))


def failed(name: str, message: str = "the file is truncated: 100 bytes are missing") -> FileResult:
    """A file that could not be worked on."""
    error = Failure(message=message, hint="copy it again", exit_code=4)
    return FileResult(input=name, output=None, status="failed", error=error)


def run(*files: FileResult, command: str = "variable", operator: str = "x > T", **fields: Any) -> RunResult:
    """A run over these files."""
    given: dict[str, Any] = {"version": "1.0", "params": {"threshold": "0.5"}, "device": "cpu", "seconds": 0.5}
    return RunResult(command=command, operator=operator, files=files, **(given | fields))


def checkpoint(tensors: int = 30) -> RunResult:
    """Two shards of a model, their gradients thresholded."""
    shards = [
        file(
            f"model-0000{shard}-of-00002.safetensors",
            *(
                tensor(
                    f"layers.{i}.attention.q_proj.weight",
                    (64, 64),
                    "bfloat16" if i % 2 else "float32",
                    threshold=ThresholdUsed(spec="zero90%", value=0.001 * (i + 1)),
                    norm_before=3.0,
                    norm_after=2.0,
                )
                for i in range(tensors // 2)
            ),
            output=f"pruned/model-0000{shard}-of-00002.safetensors",
            format="safetensors",
        )
        for shard in (1, 2)
    ]
    return run(*shards, command="gradient", operator="|x| > T")


EXAMPLES: dict[str, RunResult] = {
    "one": run(file("prob.npy", decided(), output="mask.npy"), command="binary"),
    "several": run(
        file("a.npy", tensor(nan=3, inf=1000), warnings=("3 NaN pass",)),
        failed("bad.npy"),
        file("c.npy", status="skipped"),
        file("[red]map[/x].npy", tensor(threshold=ThresholdUsed(spec="@limits.npy", min=0.1, max=0.9))),
    ),
    "container": run(file("m.safetensors", tensor("embed"), copied("norm"), format="safetensors")),
    "many": checkpoint(),
    "copied": run(file("m.safetensors", copied("a"), copied("b", "float4 is only copied"))),
    "dry": run(file("a.npy", tensor(**UNRUN, threshold=ThresholdUsed(spec="p90")), status="dry-run", bytes_out=0)),
    "slots": run(
        file("a.npy", tensor(threshold=(ThresholdUsed(spec="0.1", value=0.1), ThresholdUsed(spec="p90", value=0.9)))),
        command="band",
        operator="low <= x <= high",
    ),
    "empty": run(file("e.safetensors"), file("z.npy", tensor("z", (0, 3), min=None, max=None))),
    "nothing": run(),
    "wide": run(file("漢字漢字漢字漢字漢字漢字漢字漢字.npy", tensor("é"), output="出力/" + "漢" * 40)),
    "strange": run(
        file("a\x1b[31m\u202e\udcff.npy", tensor("\u200b\n"), output="\x9b2J"),
        failed("\x00\x7f", "\x1b]0;title\x07 in\nlines"),
        warnings=("\x1b[2J\u2066",),
        device="\x1b[5m",
    ),
}


anything = st.text(st.characters(exclude_categories=()), max_size=60)
counts = st.none() | st.integers(0, 2**64)
numbers = st.none() | st.floats() | st.integers(-(2**63), 2**64)
thresholds = st.builds(ThresholdUsed, spec=anything, value=numbers, min=numbers, max=numbers)
tensors = st.builds(
    TensorResult,
    name=anything,
    shape=st.lists(st.integers(0, 2**40), max_size=5).map(tuple),
    dtype=st.sampled_from(["float32", "bfloat16", "uint8"]),
    out_dtype=st.sampled_from(["float32", "bool"]),
    applied=st.booleans(),
    reason=st.none() | anything,
    threshold=st.none() | thresholds | st.lists(thresholds, max_size=6).map(tuple),
    elements=st.integers(0, 2**64),
    **dict.fromkeys(("selected", "kept", "changed", "zeros_before", "zeros_after", "nan", "inf"), counts),
    **dict.fromkeys(("min", "max"), numbers),
    **dict.fromkeys(("mean", "norm_before", "norm_after"), st.none() | st.floats()),
    nbytes=st.integers(0, 2**64),
    layout=st.none() | anything,
)
files = st.builds(
    FileResult,
    input=anything,
    output=st.none() | anything,
    status=st.sampled_from(["written", "skipped", "dry-run", "failed"]),
    format=st.none() | anything,
    bytes_in=st.integers(0, 2**64),
    bytes_out=st.integers(0, 2**64),
    seconds=st.floats(0, 1e9),
    residual=st.none() | anything,
    error=st.none() | st.builds(Failure, message=anything, hint=st.none() | anything, exit_code=st.integers(1, 255)),
    tensors=st.lists(tensors, max_size=4).map(tuple),
    warnings=st.lists(anything, max_size=2).map(tuple),
    metadata=st.lists(st.tuples(anything, anything), max_size=3).map(tuple),
    notes=st.lists(anything, max_size=2).map(tuple),
)
runs = st.builds(
    RunResult,
    version=anything,
    command=st.sampled_from(["binary", "gradient", "info"]),
    operator=st.sampled_from(["x > T", "|x| >= T", "low <= x <= high", ""]) | anything,
    params=st.dictionaries(anything, anything | numbers | st.booleans() | st.lists(numbers), max_size=3),
    device=anything,
    files=st.lists(files, max_size=4).map(tuple),
    seconds=st.floats(0, 1e9),
    warnings=st.lists(anything, max_size=2).map(tuple),
)
terminals = st.builds(
    Terminal,
    is_terminal=st.just(True),
    width=st.sampled_from([16, 20, 33, 40, 60, 80, 120, 200]),
    colour=st.booleans(),
    unicode=st.just(True),
) | st.builds(
    Terminal, is_terminal=st.just(True), width=st.integers(16, 90), unicode=st.just(False), encoding=st.just("ascii")
)


def check_lines(text: str, terminal: Terminal) -> None:
    """The laws of what people see: it fits, it obeys no name, it can be encoded."""
    assert text == "" or text.endswith("\n")
    text.encode(terminal.encoding)
    for line in text.removesuffix("\n").split("\n"):
        plain = ANSI.sub("", line) if terminal.colour else line
        assert cells(plain) <= terminal.width, line
        assert not plain.endswith(" "), line
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in plain), line


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("width", [16, 20, 40, 59, 60, 80, 100, 120, 250])
def test_a_table_is_never_wider_than_the_terminal(name: str, width: int) -> None:
    """Whatever the width, colour and charset, every line fits."""
    for colour in (False, True):
        for verbose in (False, True):
            terminal = Terminal(is_terminal=True, width=width, colour=colour)
            check_lines(render(EXAMPLES[name], "table", terminal, verbose), terminal)
    ascii_only = Terminal(is_terminal=True, width=width, unicode=False, encoding="ascii")
    check_lines(render(EXAMPLES[name], "table", ascii_only, False), ascii_only)


@settings(UNHURRIED, max_examples=300)
@given(runs, terminals, st.booleans())
def test_no_run_can_break_a_table(result: RunResult, terminal: Terminal, verbose: bool) -> None:
    """Any names, numbers and statuses give lines that fit and that a terminal can be trusted with."""
    check_lines(render(result, "table", terminal, verbose), terminal)


@UNHURRIED
@given(runs, st.booleans())
def test_colour_changes_nothing_but_colour(result: RunResult, verbose: bool) -> None:
    """Without its escape sequences a coloured table is the plain one."""
    plain = render(result, "table", Terminal(is_terminal=True, width=80), verbose)
    coloured = render(result, "table", Terminal(is_terminal=True, width=80, colour=True), verbose)
    assert ANSI.sub("", coloured) == plain


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_report_renders_every_run(name: str, kind: Kind) -> None:
    """The facade knows all kinds; only `none` gives nothing."""
    text = render(EXAMPLES[name], kind, Terminal(), verbose=False)
    assert bool(text) == (kind != "none")


@pytest.mark.parametrize("kind", ["json", "ndjson", "tsv"])
def test_reports_for_programs_do_not_depend_on_the_terminal(kind: Kind) -> None:
    """Width, colour and charset are for tables only."""
    narrow = Terminal(is_terminal=True, width=20, colour=True, unicode=False, encoding="ascii")
    assert render(EXAMPLES["strange"], kind, narrow, True) == render(EXAMPLES["strange"], kind, Terminal(), False)
