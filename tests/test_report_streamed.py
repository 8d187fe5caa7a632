"""Reports that are made file by file, while a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.reports import render, rows_of
from tests.test_report_examples import EXAMPLES, failed, file, tensor
from tests.test_report_examples import run as made
from threshcli.errors import OutputError
from threshcli.findings import SweepRow, TensorHist, TensorStats, TensorSweep
from threshcli.report.grid import Layout, laid
from threshcli.report.sheets import sheet
from threshcli.report.spool import Spool
from threshcli.report.summary import Summary
from threshcli.report.tally import Tally
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult, ThresholdUsed
from threshcli.verdicts import FileCheck, FileDiff, TensorCheck, TensorDiff

ABOUT: Any = {"shape": (3, 4), "dtype": "float32", "out_dtype": "float32", "applied": True, "elements": 12}
ROW = SweepRow(spec="0.5", value=0.5, kept=2, energy=1.0)


def streamed(result: RunResult, kind: Any) -> str:
    """A report that is made file by file."""
    texts: list[str] = []
    whole = replace(result, files=())
    one = sheet(kind, texts.append, whole, Terminal(), verbose=False)
    assert one is not None
    warnings = Spool()
    for text in result.warnings:
        warnings.add(text)
    for number, item in enumerate(result.files):
        one.take(one.part(number, item))
        for text in item.warnings:
            warnings.add(f"{item.input}: {text}")
    one.end(whole, Tally.of_run(result), warnings)
    return "".join(texts)


@pytest.mark.parametrize("kind", ["table", "json", "ndjson", "tsv"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_report_made_file_by_file_is_the_report_of_the_whole(name: str, kind: Any) -> None:
    """To the byte; a table of nothing but failures is left out."""
    result = EXAMPLES[name]
    expected = render(result, kind, Terminal(), verbose=False)
    assert streamed(result, kind) == ("" if kind == "table" and result.status == "failed" else expected)


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_a_file_of_many_tensors_is_told_of_in_pieces(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which say the same, and of which none is as long as the whole."""
    many = file("m.safetensors", *(tensor(f"w{number}") for number in range(1000)), warnings=("odd",))
    result = made(file("a.npy", tensor()), many)
    assert streamed(result, kind) == render(result, kind, Terminal(), verbose=False)
    texts: list[str] = []
    one = sheet(kind, texts.append, result, Terminal(), verbose=False)
    assert one is not None
    one.take(one.part(0, many))
    one.end(result, Tally.of_run(result), Spool())
    assert max(map(len, texts)) < sum(map(len, texts)) / 4


def test_long_tables_are_laid_out_by_their_first_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """And say the same where rows are alike; a long name pushes its own row."""
    monkeypatch.setattr("threshcli.report.running._FIRST_FILES", 30)
    files = [file(f"{n:03}.npy", tensor(), warnings=("odd",), output=f"out/{n:03}.npy") for n in range(100)]
    expected = render(made(*files), "table", Terminal(), verbose=False)
    assert streamed(made(*files), "table").replace("─", "").split() == expected.replace("─", "").split()
    assert "80 more warnings: -v shows them" in expected
    shown = streamed(made(*files, file("a-much-longer-name.npy", tensor())), "table")
    rows = shown.splitlines()[2:103]
    assert len({len(row) for row in rows[:100]}) == 1, "as wide as each other"
    assert rows[100].startswith("a-much-longer-name.npy  ")


def summed(name: str) -> FileResult:
    """A file of which the elements were looked at."""
    return file(name, TensorStats(**ABOUT, name="w", zeros=1, std=1.0, norm1=2.0, norm2=2.0, norm_max=1))


def checked(name: str, nan: int) -> FileCheck:
    """A file that was looked at for faults."""
    found = TensorCheck(**ABOUT, name="w", nan=nan, inf=0, bad=bool(nan))
    return FileCheck(input=name, output=None, status="read", format="npy", tensors=(found,), notes=("odd",))


def swept(name: str) -> FileResult:
    """A file of which thresholds were tried."""
    return tried(name, ROW, SweepRow(spec="otsu", reason=f"{name} is flat"))


def tried(name: str, *rows: SweepRow) -> FileResult:
    return file(name, TensorSweep(**ABOUT, name="w", rows=rows, zeros=1, energy=2.0))


def drawn(name: str) -> FileResult:
    """A file that a histogram was drawn of, and one was not."""
    first = TensorHist(**ABOUT, name="w", nan=0, inf=0, min=0, max=2, edges=(0, 1, 2), counts=(4, 8))
    return file(name, first, replace(tensor("v"), applied=True), warnings=("odd",))


def differing(name: str) -> FileDiff:
    """A file that was compared with another."""
    found = TensorDiff(**ABOUT, name="w", differs=("values",), differing=3, first=(0, 0), max_abs=1.0, one_nan=0)
    keys = ((name, "a", None),)
    return FileDiff(input=name, output=None, status="read", other=f"b/{name}", tensors=(found,), keys=keys)


LOOKED: dict[str, Callable[[str], FileResult]] = {
    "info": lambda name: file(name, tensor(), metadata=(("by", name),)),
    "stats": summed,
    "check": lambda name: checked(name, nan=int(name[:3]) % 2),
    "sweep": swept,
    "hist": drawn,
    "diff": differing,
}


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("command", LOOKED)
def test_long_tables_of_what_was_looked_at_say_what_short_ones_do(
    command: str, verbose: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, sums, metadata and notes, whether all files were known when the first were told of, or some."""
    names = [f"{number:03}.npy" for number in range(100)]
    files = failed("bad.npy"), *map(LOOKED[command], names)
    result = replace(made(*files, params={"max": 1000}), command=command, operator="")
    shown = []
    for first in (1000, 30):
        monkeypatch.setattr("threshcli.report.running._FIRST_FILES", first)
        shown.append(render(result, "table", Terminal(), verbose).replace("─", "").split())
    assert shown[0] == shown[1]
    assert any("099.npy" in word for word in shown[0])


@pytest.mark.parametrize("command", ["stats", "sweep"])
def test_a_table_that_goes_on_has_room_for_what_is_to_be_said_later(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a tensor is not looked at, or has no such threshold, can come after the columns are settled."""
    monkeypatch.setattr("threshcli.report.running._FIRST_FILES", 10)
    reason = "not selected"
    if command == "stats":
        files = *map(summed, "abcdefghijklm"), file("last.npy", replace(tensor("v"), applied=False, reason=reason))
    else:
        files = *(tried(name, ROW) for name in "abcdefghijklm"), tried("last.npy", SweepRow(spec="0.5", reason=reason))
    result = replace(made(*files), command=command, operator="")
    lines = render(result, "table", Terminal(), verbose=True).splitlines()
    assert lines[0].split()[-1] == "NOTE"
    assert [line for line in lines if line.endswith("not selected")]


def test_histograms_are_shown_after_what_failed_before_and_not_without_any() -> None:
    """Each in its place; where all has failed, that is said elsewhere."""
    bad, shown = failed("bad.npy"), []
    for files in ((bad, bad), (bad, bad, drawn("x.npy"), bad)):
        result = replace(made(*files), command="hist", operator="")
        shown.append(render(result, "table", Terminal(), verbose=False).splitlines())
    assert shown[0] == []
    assert [line.split(":")[0] for line in shown[1] if "npy" in line][:4] == ["bad.npy", "bad.npy", "x.npy", "bad.npy"]


def test_a_long_table_begins_with_the_first_row_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many sound files before a bad one are only counted, and where there is none there is no table."""
    monkeypatch.setattr("threshcli.report.running._FIRST_FILES", 30)
    files = [checked(f"{number:03}.npy", nan=int(number == 70)) for number in range(100)]
    lines = render(replace(made(*files), command="check"), "table", Terminal(), verbose=False).splitlines()
    assert [line.split()[0] for line in lines if "npy" in line] == ["070.npy"]
    assert lines[0].startswith("FILE / TENSOR")
    sound = render(replace(made(*files[:65]), command="check"), "table", Terminal(), verbose=False).splitlines()
    assert sound[0].startswith("65 tensors in 65 files")


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("room", [2, 1024])
def test_a_row_is_the_same_whatever_rows_there_were_before(
    room: int, colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells that repeat are kept: those of a tensor that differs in one thing are others."""
    monkeypatch.setattr("threshcli.report.grid._MOST_KNOWN", room)
    one = tensor()
    kinds = [
        one,
        replace(one, shape=(12, 1), elements=12),
        replace(one, dtype="int8", out_dtype="bool"),
        replace(one, threshold=ThresholdUsed(spec="p90", value=0.25, worked_out=True)),
        replace(one, nan=3, inf=1),
        replace(one, applied=False, reason="not selected", selected=None, kept=None, nan=None, inf=None),
        replace(one, applied=False, packing="bits"),
    ]
    files = [file(f"{n:03}.npy", kinds[n * n % len(kinds)], output=f"out/{n:03}.npy") for n in range(60)]
    summary = Summary(made(*files))
    layout = laid(summary.columns, rows_of(summary), Terminal(colour=colour))
    assert layout is not None
    for item in files:
        (row,) = Summary(summary.run).of(item)
        fresh = Layout(*(getattr(layout, name) for name in ("columns", "terminal", "placed", "brief", "joints")))
        assert [layout.lines(each) for each in summary.of(item)] == [fresh.lines(row)]


def test_a_spool_gives_back_what_it_got(monkeypatch: pytest.MonkeyPatch) -> None:
    """From memory and from disk, as often as is wanted; lone surrogates too."""
    monkeypatch.setattr("threshcli.report.spool._ROOM", 50)
    spool = Spool()
    texts = ["", "a\nb", "\udcff" * 20, *(str(n) for n in range(40))]
    for text in texts:
        spool.add(text)
    assert [list(spool), list(spool), spool.count] == [texts, texts, len(texts)]
    spool.close()


def test_a_spool_without_room_says_so_and_a_small_one_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept in memory is bounded: with more, a file has to be there."""

    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    spool = Spool()
    for _ in range(1000):
        spool.add("a" * 1000)
    with pytest.raises(OutputError, match="no room to wait for its end: No space"):
        spool.add("a" * 100_000)


def test_rows_of_a_long_table_are_written_while_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of the first files is no more than they are."""
    monkeypatch.setattr("threshcli.report.running._FIRST_FILES", 10)
    monkeypatch.setattr("threshcli.report.sheets._TOGETHER", 1)
    texts: list[str] = []
    table = sheet("table", texts.append, replace(made(), files=()), Terminal(), verbose=False)
    assert table is not None
    for number in range(12):
        table.take(table.part(number, file(f"{number:02}.npy", tensor())))
        assert bool(texts) == (number >= 9)
    assert "11.npy" in texts[-1]
