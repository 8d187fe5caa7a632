"""Reports for people and for programs.

`render` is the way in; the modules hold a kind each. This is the only package that knows rich, and importing it
imports nothing heavy: rich comes when something is drawn that needs it.
"""

from __future__ import annotations

from typing import Literal

from threshcli.report.terminal import Terminal
from threshcli.results import RunResult

Kind = Literal["table", "json", "ndjson", "tsv", "none"]
LOOKING = ("info", "stats", "sweep", "hist", "check", "diff")
"""Commands that look and write nothing: a module here each, of which the `Findings` tell what was found."""


def render(run: RunResult, kind: Kind, terminal: Terminal, verbose: bool) -> str:
    """A whole run as text that ends with a newline (`none`: no text at all)."""
    if run.command in LOOKING and kind in ("table", "json"):
        from threshcli.report.sheets import rendered

        return rendered(run, kind, terminal, verbose=verbose)
    match kind:
        case "table":
            from threshcli.report.table import render_table

            return render_table(run, terminal, verbose=verbose)
        case "json":
            from threshcli.report.machine import render_json

            return render_json(run)
        case "ndjson":
            from threshcli.report.machine import render_end, render_event

            events = [render_event(file, i) for i, file in enumerate(run.files)]
            return "".join([*events, render_end(run)])
        case "tsv":
            from threshcli.report.tsv import render_tsv

            return render_tsv(run)
        case "none":
            return ""
