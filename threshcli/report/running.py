"""The table for people, written while a run goes on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from threshcli.report.grid import Column, Layout, Row, laid, render_grid, stacked
from threshcli.report.sheets import Buffered, Sheet, Write
from threshcli.report.spool import Spool
from threshcli.report.summary import Summary
from threshcli.report.table import closing, folded, warned
from threshcli.report.tally import Tally
from threshcli.report.terminal import Style, Terminal
from threshcli.results import FileResult, RunResult

_FIRST_FILES, _FIRST_TENSORS = 200, 2000  # of which all is kept
_EXPECTED = 99_999  # tensors, for which the row of totals has room


class Shape(ABC):
    """What a table of files is made of. The first ones, or all if they are few, settle it; each has its rows made once,
    in order."""

    @abstractmethod
    def settle(self, files: Sequence[FileResult], *, more: bool) -> Sequence[Column]:
        """The columns of a table that begins with these files, and may have more."""

    @abstractmethod
    def rows(self, file: FileResult) -> Iterable[Row]:
        """The rows of a file."""

    def is_summed(self, rows: Sequence[Row]) -> bool:
        """Whether there is something to sum up below the only rows of a table."""
        return sum(row.kind == "row" for row in rows) > 1

    def total(self, tally: Tally) -> Iterable[Row]:
        """What stands below the rows then."""
        return ()

    def beneath(self, terminal: Terminal) -> Iterable[str]:
        """Lines right below the table, made for the terminal."""
        return ()

    @abstractmethod
    def closing(self, run: RunResult, tally: Tally) -> Iterable[str]:
        """The lines that close it."""


class Applied(Shape):
    """The table of rules that were applied."""

    def __init__(self, run: RunResult, verbose: bool) -> None:
        self._run, self._verbose = run, verbose
        self.summary = Summary(run, verbose)

    def settle(self, files: Sequence[FileResult], *, more: bool) -> Sequence[Column]:
        self.summary = Summary(replace(self._run, files=tuple(files)), each=self._verbose)
        return self.summary.columns

    def rows(self, file: FileResult) -> Iterator[Row]:
        return self.summary.of(file)

    def total(self, tally: Tally) -> Iterator[Row]:
        yield self.summary.total(tally)

    def closing(self, run: RunResult, tally: Tally) -> Iterator[str]:
        return closing(run, tally, norms=self.summary.norms, per_tensor=self.summary.per_tensor)


class Table(Sheet):
    """The table for people. Up to some hundred files it waits for all of them; with more, the first ones say which
    columns there are and how wide, and the rows of the others follow as they come."""

    def __init__(self, write: Write, run: RunResult, terminal: Terminal, shape: Shape, *, verbose: bool) -> None:
        super().__init__(write)
        self._text = Buffered(write)
        self._run, self._terminal, self._shape, self._verbose = run, terminal, shape, verbose
        self._first: list[FileResult] = []
        self._tensors = 0
        self._columns: Sequence[Column] = ()
        self._layout: Layout | None = None

    def part(self, number: int, file: FileResult) -> FileResult | str:
        return self._rows(self._shape.rows(file)) if self._columns else file

    def take(self, part: FileResult | str) -> None:
        if isinstance(part, str):
            self._text.add(part)
        elif self._columns:
            self._text.add(self._rows(self._shape.rows(part)))
        else:
            self._first.append(part)
            self._tensors += len(part.tensors)
            if len(self._first) >= _FIRST_FILES or self._tensors >= _FIRST_TENSORS:
                self._begin()

    def _begin(self) -> None:
        """Settle how the table looks, and write what there is of it. Files of which nothing is shown do not settle it:
        the next ones do."""
        columns = self._shape.settle(self._first, more=True)
        rows = [row for file in self._first for row in self._shape.rows(file)]
        known = Tally.of_run(replace(self._run, files=tuple(self._first)))
        self._first.clear()
        self._tensors = 0
        if not rows:
            return
        last = self._shape.total(known._replace(tensors=_EXPECTED))
        self._columns, self._layout = columns, laid(columns, [*rows, *last], self._terminal)
        if self._layout is not None:
            self._text.add("".join(f"{line}\n" for line in self._layout.head()))
        self._text.add(self._rows(rows))

    def _rows(self, rows: Iterable[Row]) -> str:
        if self._layout is None:
            shown = stacked(self._columns, list(rows), self._terminal)
        else:
            shown = [line for row in rows for line in self._layout.lines(row)]
        return "".join(f"{line}\n" for line in shown)

    def end(self, run: RunResult, tally: Tally, warnings: Spool) -> None:
        if self._columns:
            self._text.add(self._rows(self._shape.total(tally)))
        elif tally.status == "failed":  # a table of nothing but failures would say twice what is said of them anyway
            return
        else:
            columns = self._shape.settle(self._first, more=False)
            rows = [row for file in self._first for row in self._shape.rows(file)]
            if self._shape.is_summed(rows):
                rows += self._shape.total(tally)
            self._text.add("".join(f"{line}\n" for line in render_grid(columns, rows, self._terminal)) if rows else "")
        texts: Iterator[tuple[str, Style]] = ((text, "") for text in self._shape.closing(run, tally))
        last = folded(chain(texts, warned(warnings, warnings.count, self._verbose)), self._terminal)
        for line in chain(self._shape.beneath(self._terminal), last):
            self._text.add(line + "\n")
        self._text.flush()
