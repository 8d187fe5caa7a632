"""Reports that are written while a run goes on, file by file, in memory that does not grow with their number.

`part` makes of a file what the report has to know of it. It may run in another process, a copy that was made while the
run went on; so what it gives is small, and it changes nothing. `take` gets the parts in the order of the files, `end`
closes the report. What they write goes to `write` at once, or waits in a spool where it comes after what is known last.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from threshcli.report import LOOKING, Kind
from threshcli.report.spool import Spool
from threshcli.report.tally import Tally
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult

Write = Callable[[str], object]
_TOGETHER = 1 << 15  # characters that are written at once


class Buffered:
    """Writes texts some time: a call of the system for each row of thousands takes as long as making it."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        self._waiting.append(text)
        self._size += len(text)
        if self._size >= _TOGETHER:
            self.flush()

    def all(self, texts: Iterable[str]) -> None:
        """Write these, with all that waits."""
        for text in texts:
            self.add(text)
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._write("".join(self._waiting))
        self._waiting.clear()
        self._size = 0


class Sheet(ABC):
    """One report; see the top of this module. What is told beside the files are sums and warnings."""

    def __init__(self, write: Write) -> None:
        self._write = write

    @abstractmethod
    def part(self, number: int, file: FileResult) -> Any:
        """What the report has to know of the `number`-th file."""

    @abstractmethod
    def take(self, part: Any) -> None:
        """The next part."""

    @abstractmethod
    def end(self, run: RunResult, tally: Tally, warnings: Spool) -> None:
        """All files are done; `run` has none of them."""


def sheet(kind: Kind, write: Write, run: RunResult, terminal: Terminal, *, verbose: bool) -> Sheet | None:
    """The report of a kind; `run` is what is known of the run before it begins."""
    if kind == "none":
        return None
    if run.command in LOOKING:
        from threshcli.report import looking

        findings: looking.Findings = importlib.import_module(f"threshcli.report.{run.command}").Findings(run, verbose)
        return findings.shows(write, terminal) if kind == "table" else looking.Document(write, findings)
    if kind == "table":
        from threshcli.report.running import Applied, Table

        if run.command == "solve":
            from threshcli.report.solve import Solved

            return Table(write, run, terminal, Solved(run), verbose=verbose)
        return Table(write, run, terminal, Applied(run, verbose), verbose=verbose)
    from threshcli.report.lines import Json, Ndjson, Tsv

    kinds: dict[str, type[Json | Ndjson | Tsv]] = {"json": Json, "ndjson": Ndjson, "tsv": Tsv}
    return kinds[kind](write)
