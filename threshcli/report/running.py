"""The table for people, written while a run goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from threshcli.report.grid import Layout, Row, laid, stacked
from threshcli.report.sheets import Sheet, Write
from threshcli.report.spool import Spool
from threshcli.report.summary import Summary
from threshcli.report.table import closing, folded, render_table, warned
from threshcli.report.tally import Tally
from threshcli.report.terminal import Style, Terminal
from threshcli.results import FileResult, RunResult

_FIRST_FILES, _FIRST_TENSORS = 200, 2000  # of which all is kept
_TOGETHER = 1 << 15  # characters that are written at once
_EXPECTED = 99_999  # tensors, for which the row of totals has room


class Table(Sheet):
    """The table for people. Up to some hundred files it waits for all of them; with more, the first ones say which
    columns there are and how wide, and the rows of the others follow as they come."""

    def __init__(self, write: Write, run: RunResult, terminal: Terminal, *, verbose: bool) -> None:
        super().__init__(write)
        self._run, self._terminal, self._verbose = run, terminal, verbose
        self._first: list[FileResult] = []
        self._tensors = 0
        self._waiting: list[str] = []
        self._size = 0
        self._summary: Summary | None = None
        self._layout: Layout | None = None

    def part(self, number: int, file: FileResult) -> FileResult | str:
        return file if self._summary is None else self._rows(self._summary, file)

    def take(self, part: FileResult | str) -> None:
        if isinstance(part, str):
            self._add(part)
        elif self._summary is not None:
            self._add(self._rows(self._summary, part))
        else:
            self._first.append(part)
            self._tensors += len(part.tensors)
            if len(self._first) >= _FIRST_FILES or self._tensors >= _FIRST_TENSORS:
                self._begin()

    def _begin(self) -> None:
        """Settle how the table looks, and write what there is of it."""
        self._summary = summary = Summary(replace(self._run, files=tuple(self._first)), each=self._verbose)
        rows = [row for file in self._first for row in summary.of(file)]
        last = summary.total(Tally.of_run(summary.run)._replace(tensors=_EXPECTED))
        self._layout = laid(summary.columns, [*rows, last], self._terminal)
        if self._layout is not None:
            self._add("".join(f"{line}\n" for line in self._layout.head()))
        for file in self._first:
            self._add(self._rows(summary, file))
        self._first.clear()

    def _add(self, text: str) -> None:
        """Write text some time: a call of the system for each row of thousands takes as long as making it."""
        self._waiting.append(text)
        self._size += len(text)
        if self._size >= _TOGETHER:
            self._flush()

    def _flush(self) -> None:
        self._write("".join(self._waiting))
        self._waiting.clear()
        self._size = 0

    def _rows(self, summary: Summary, file: FileResult) -> str:
        return self._laid(summary, list(summary.of(file)))

    def _laid(self, summary: Summary, rows: Sequence[Row]) -> str:
        if self._layout is None:
            shown = stacked(summary.columns, rows, self._terminal)
        else:
            shown = [line for row in rows for line in self._layout.lines(row)]
        return "\n".join([*shown, ""])

    def end(self, run: RunResult, tally: Tally, warnings: Spool) -> None:
        summary = self._summary
        if summary is None:
            self._end_short(run, tally)
            return
        self._add(self._laid(summary, [summary.total(tally)]))
        below = closing(run, tally, norms=summary.norms, per_tensor=summary.per_tensor)
        texts: Iterator[tuple[str, Style]] = ((text, "") for text in below)
        for line in folded(chain(texts, warned(warnings, warnings.count, self._verbose)), self._terminal):
            self._add(line + "\n")
        self._flush()

    def _end_short(self, run: RunResult, tally: Tally) -> None:
        """A table of nothing but failures would say twice what is said of them anyway."""
        if tally.status != "failed":
            whole = replace(run, files=tuple(self._first))
            self._write(render_table(whole, self._terminal, verbose=self._verbose, tally=tally))
