"""Reports of whole runs, as texts: the plain way, that reports which are made file by file are compared with."""

from __future__ import annotations

from threshcli.report import LOOKING, Kind
from threshcli.report.document import document, line
from threshcli.report.grid import Row, render_grid
from threshcli.report.machine import around, file_fields, recipe, render_event
from threshcli.report.sheets import sheet
from threshcli.report.spool import Spool
from threshcli.report.summary import Summary
from threshcli.report.table import closing, folded, warned
from threshcli.report.tally import Tally
from threshcli.report.terminal import Terminal
from threshcli.report.totals import warnings_of
from threshcli.report.tsv import head, lines
from threshcli.results import RunResult


def render(run: RunResult, kind: Kind, terminal: Terminal, verbose: bool) -> str:
    """A whole run as text; what commands tell that only look has no other way than theirs."""
    if run.command in LOOKING and kind in ("table", "json"):
        return told(run, kind, terminal, verbose=verbose)
    match kind:
        case "table":
            return render_table(run, terminal, verbose=verbose)
        case "json":
            return render_json(run)
        case "ndjson":
            events = [render_event(file, number) for number, file in enumerate(run.files)]
            return "".join([*events, render_end(run)])
        case "tsv":
            return render_tsv(run)
        case "none":
            return ""


def told(run: RunResult, kind: Kind, terminal: Terminal, *, verbose: bool) -> str:
    """The report of a run that is over, made file by file."""
    texts, warnings = list[str](), Spool()
    one = sheet(kind, texts.append, run, terminal, verbose=verbose)
    for text in warnings_of(run):
        warnings.add(text)
    if one is not None:
        for number, file in enumerate(run.files):
            one.take(one.part(number, file))
        one.end(run, Tally.of_run(run), warnings)
    return "".join(texts)


def rows_of(summary: Summary) -> list[Row]:
    """The rows of all files; the totals last where there is more than one."""
    rows = [row for file in summary.run.files for row in summary.of(file)]
    if sum(row.kind == "row" for row in rows) > 1:
        rows.append(summary.total(Tally.of_run(summary.run)))
    return rows


def render_table(run: RunResult, terminal: Terminal, *, verbose: bool) -> str:
    """The table of a run, if it has rows, and the lines below it."""
    summary, found = Summary(run, verbose), warnings_of(run)
    rows = rows_of(summary)
    below = closing(run, Tally.of_run(run), norms=summary.norms, per_tensor=summary.per_tensor)
    texts = [*((text, "") for text in below), *warned(found, len(found), verbose)]
    grid = render_grid(summary.columns, rows, terminal) if rows else []
    return "".join(f"{text}\n" for text in [*grid, *folded(texts, terminal)])


def render_json(run: RunResult) -> str:
    """The document of a run."""
    return "".join(document(_report(run)))


def render_end(run: RunResult) -> str:
    """The last line of NDJSON: the report without its files."""
    report = _report(run)
    del report["files"]
    return line({"event": "end", **report})


def render_tsv(run: RunResult) -> str:
    """A line a tensor; a file without tensors (failed, skipped) has a line of its own."""
    return "".join([head(), *(lines(file) for file in run.files)])


def _report(run: RunResult) -> dict[str, object]:
    report = around(run, Tally.of_run(run))
    totals = report.pop("totals")
    files = [file_fields(file) for file in run.files]
    return {**report, "files": files, "totals": totals, "warnings": warnings_of(run), **recipe(run)}
