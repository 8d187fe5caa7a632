"""What was asked for stands beside what was kept, and how many elements are equal to the cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.reports import render_table, rows_of
from threshcli.report.summary import Summary
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult, TensorResult, ThresholdUsed

PLAIN = Terminal(width=200)


def tensor(name: str, kept: int, asked: int | None, tied: int = 1) -> TensorResult:
    used = ThresholdUsed(spec="top9", value=0.5, worked_out=True, usable=100, unusable=0, asked=asked, tied=tied)
    return TensorResult(
        name=name, shape=(100,), dtype="float32", out_dtype="float32", applied=True, threshold=used, elements=100,
        selected=kept, kept=kept, changed=0, zeros_before=0, zeros_after=100 - kept, nan=0, inf=0, min=0.0, max=1.0,
    )  # fmt: skip


def run(scope: str, *files: Sequence[TensorResult]) -> RunResult:
    told = [
        FileResult(
            input=f"{number}.pt", output=f"{number}-out.pt", status="written", format="pt", tensors=tuple(tensors)
        )
        for number, tensors in enumerate(files)
    ]
    return RunResult(
        version="1", command="gradient", operator="|x| > T", params={"scope": scope}, device="cpu", files=tuple(told),
        seconds=1.0,
    )  # fmt: skip


def asked(found: RunResult) -> list[str]:
    """The column, row by row; headings have none."""
    summary = Summary(found)
    place = [column.title for column in summary.columns].index("ASKED -> KEPT")
    return [row.cells[place].plain for row in rows_of(summary) if len(row.cells) > 1]


def test_each_tensor_is_asked_for_its_own() -> None:
    """The last row adds them up; ties are told where there are more than the cut itself."""
    found = run("tensor", [tensor("a", 9, 9), tensor("b", 9, 9, tied=4)])
    assert asked(found) == ["9 -> 9", "9 -> 9 (4 tied)", "18 -> 18 (5 tied)"]


def test_what_all_were_asked_for_together_stands_in_the_row_of_totals() -> None:
    found = run("global", [tensor("a", 2, 9, tied=3), tensor("b", 3, 9, tied=3)], [tensor("c", 4, 9, tied=3)])
    assert asked(found) == [" -> 2", " -> 3", " -> 4", "9 -> 9 (3 tied)"]


def test_files_that_were_asked_for_their_own_are_added_up() -> None:
    found = run("file", [tensor("a", 4, 9), tensor("b", 5, 9)], [tensor("c", 9, 9, tied=2)])
    assert asked(found) == [" -> 4", " -> 5", " -> 9", "18 -> 18 (3 tied)"]


def test_the_shards_of_a_checkpoint_were_asked_for_as_one_file() -> None:
    """Each of two checkpoints once, whichever of its shards have a cut, and the file behind them for its own."""
    shard, norms = [tensor("a", 4, 9)], [replace(tensor("n", 1, None), threshold=None)]
    found = run("file", norms, shard, norms, shard, shard, [tensor("b", 9, 9)])
    wholes = ("x.json", "x.json", "x.json", "x.json", "y.json", None)
    files = tuple(replace(file, whole=whole) for file, whole in zip(found.files, wholes, strict=True))
    assert asked(replace(found, files=files))[-1] == "27 -> 23"


@pytest.mark.parametrize("scope", ["tensor", "file", "global"])
def test_a_single_tensor_tells_all_of_it(scope: str) -> None:
    assert asked(run(scope, [tensor("a", 9, 9, tied=7)])) == ["9 -> 9 (7 tied)"]


def test_without_a_rank_there_is_no_such_column() -> None:
    """The threshold is told with what was asked for."""
    text = render_table(run("tensor", [tensor("a", 9, None)]), PLAIN, verbose=False)
    assert "ASKED" not in text
    assert "|x| > 0.5 (top9)" in text
