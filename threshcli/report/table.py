"""The summary table: what became of every tensor, then what it took, then what to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from threshcli.report import figures
from threshcli.report.tally import Tally
from threshcli.report.terminal import Style, Terminal
from threshcli.report.texts import wrap
from threshcli.results import FileStatus, RunResult

_MOST_WARNINGS = 20
_SHORTEST = 1e-6  # seconds that a speed can be told of
_STATES: tuple[FileStatus, ...] = ("written", "dry-run", "skipped", "failed", "not-done")


def folded(texts: Iterable[tuple[str, Style]], terminal: Terminal) -> Iterator[str]:
    """Texts made safe, wrapped and painted."""
    for text, style in texts:
        for line in wrap(terminal.show(text), terminal.width, "  "):
            yield terminal.paint(line, style)


def warned(found: Iterable[str], many: int, verbose: bool) -> Iterator[tuple[str, Style]]:
    """A line a warning, of so many; only the first of very many."""
    most = many if verbose else _MOST_WARNINGS
    for text in islice(found, most):
        yield f"warning: {text}", "yellow"
    if most < many:
        yield f"{figures.counted(many - most, 'more warning')}: -v shows them", "yellow"


def closing(run: RunResult, tally: Tally, *, norms: bool, per_tensor: bool) -> Iterator[str]:
    """The lines below the table of a run."""
    totals = tally.totals
    if norms and totals.norms is not None:
        before, after = totals.norms
        yield f"norm {figures.number(before)} -> {figures.number(after)} ({figures.percent(after, before)} of it left)"
    yield _effort(run, tally)
    states = {word: tally.counted(word) for word in _STATES if tally.counted(word)}
    files = figures.counted(tally.files, "file")
    if len(states) > 1:
        yield f"{files}: " + ", ".join(f"{figures.count(many)} {word}" for word, many in states.items())
    elif tally.files > 1 or set(states) & {"failed", "skipped"}:
        yield f"{files} {next(iter(states))}".replace("dry-run", "to write")
    if not per_tensor:
        yield f"{figures.counted(tally.tensors, 'tensor')} in {files}: -v shows each"


def _effort(run: RunResult, tally: Tally) -> str:
    """Elements, time and speed, the device, bytes."""
    done = tally.totals.elements if tally.totals.counts else tally.unpacked
    speed = f", {figures.rate(done, run.seconds)}" if done and run.seconds > _SHORTEST else ""
    read, written = figures.size(tally.bytes_in), figures.size(tally.bytes_out)
    what = f"{figures.counted(done, 'element')} in {figures.duration(run.seconds)}{speed} on {run.device}"
    if tally.files and tally.counted("dry-run") == tally.files:
        what = f"dry run on {run.device}, nothing was written"
    return f"{what}, {read} in, {written} out"
