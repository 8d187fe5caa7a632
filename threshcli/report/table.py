"""The summary table: what became of every tensor, then what it took, then what to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from threshcli.report import figures
from threshcli.report.grid import Column, Row, render_grid
from threshcli.report.summary import Summary
from threshcli.report.terminal import Style, Terminal
from threshcli.report.texts import wrap
from threshcli.report.totals import Totals, tensors_of, warnings_of
from threshcli.results import FileStatus, RunResult

_MOST_WARNINGS = 20
_SHORTEST = 1e-6  # seconds that a speed can be told of
_STATES: tuple[FileStatus, ...] = ("written", "dry-run", "skipped", "failed")


def render_table(run: RunResult, terminal: Terminal, *, verbose: bool) -> str:
    """The table of a run and the lines below it; a row a file where there are many tensors, unless `verbose`."""
    summary = Summary(run, verbose)
    return laid_out(run, summary.columns, summary.rows, _closing(summary), terminal, verbose=verbose)


def laid_out(
    run: RunResult,
    columns: Sequence[Column],
    rows: Sequence[Row],
    closing: Iterable[str],
    terminal: Terminal,
    *,
    verbose: bool,
) -> str:
    """A table, if there are rows, the lines that close it, and what the run warns of."""
    lines = render_grid(columns, rows, terminal) if rows else []
    below: list[tuple[str, Style]] = [(text, "") for text in closing]
    return "".join(f"{line}\n" for line in [*lines, *folded([*below, *warning_lines(run, verbose)], terminal)])


def folded(texts: list[tuple[str, Style]], terminal: Terminal) -> Iterator[str]:
    """Texts made safe, wrapped and painted."""
    for text, style in texts:
        for line in wrap(terminal.show(text), terminal.width, "  "):
            yield terminal.paint(line, style)


def warning_lines(run: RunResult, verbose: bool) -> list[tuple[str, Style]]:
    """A line a warning; only the first of very many."""
    found = warnings_of(run)
    shown = found if verbose else found[:_MOST_WARNINGS]
    lines: list[tuple[str, Style]] = [(f"warning: {text}", "yellow") for text in shown]
    if len(shown) < len(found):
        lines.append((f"{figures.counted(len(found) - len(shown), 'more warning')}: -v shows them", "yellow"))
    return lines


def _closing(summary: Summary) -> Iterator[str]:
    run = summary.run
    totals = Totals.of(tensors_of(run))
    if summary.norms and totals.norms is not None:
        before, after = totals.norms
        yield f"norm {figures.number(before)} -> {figures.number(after)} ({figures.percent(after, before)} of it left)"
    yield _effort(run, totals)
    states = Counter(file.status for file in run.files)
    files = figures.counted(len(run.files), "file")
    if len(states) > 1:
        yield f"{files}: " + ", ".join(f"{figures.count(states[word])} {word}" for word in _STATES if states[word])
    elif len(run.files) > 1 or set(states) & {"failed", "skipped"}:
        yield f"{files} {next(iter(states))}".replace("dry-run", "to write")
    if not summary.per_tensor:
        tensors = sum(len(file.tensors) for file in run.files)
        yield f"{figures.counted(tensors, 'tensor')} in {files}: -v shows each"


def _effort(run: RunResult, totals: Totals) -> str:
    """Elements, time and speed, the device, bytes."""
    unpacked = sum(item.elements for item in tensors_of(run) if item.packing)
    done = totals.elements if totals.counts else unpacked
    speed = f", {figures.rate(done, run.seconds)}" if done and run.seconds > _SHORTEST else ""
    read = figures.size(sum(file.bytes_in for file in run.files))
    written = figures.size(sum(file.bytes_out for file in run.files))
    what = f"{figures.counted(done, 'element')} in {figures.duration(run.seconds)}{speed} on {run.device}"
    if run.files and all(file.status == "dry-run" for file in run.files):
        what = f"dry run on {run.device}, nothing was written"
    return f"{what}, {read} in, {written} out"
