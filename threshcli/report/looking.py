"""Reports of the commands that look and write nothing, made file by file: `Findings` are what each of them brings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from threshcli.report import running
from threshcli.report.document import Items, document, text
from threshcli.report.machine import looked_at
from threshcli.report.sheets import Buffered, Sheet, Write
from threshcli.report.spool import Spool
from threshcli.report.tally import Tally
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult, TensorResult


class Findings(ABC):
    """What a command has to tell: fields for programs, what people are shown, and sums, to which each file is added
    before it is told of. `run` is what is known before there are any, `each` asks for all that there is to tell."""

    def __init__(self, run: RunResult, each: bool) -> None:
        self.run, self.each = run, each
        self.looked = self.elements = 0

    def add(self, file: FileResult) -> None:
        """One more file, of whose tensors those that were looked at count."""
        for item in file.tensors:
            if item.applied:
                self.looked += 1
                self.elements += item.elements

    def shown(self, tensor: TensorResult) -> Mapping[str, object]:
        """What there is to tell programs of a tensor beside what every header says."""
        return {}

    def about(self, file: FileResult) -> Mapping[str, object]:
        """The same of a file."""
        return {}

    @abstractmethod
    def shows(self, write: Write, terminal: Terminal) -> Sheet:
        """The report for people."""

    @abstractmethod
    def totals(self) -> Mapping[str, object]:
        """The same of all files."""

    def fields(self, file: FileResult) -> dict[str, object]:
        """A file as it stands in the document."""
        return {**looked_at(file, self.shown), **self.about(file)}

    def document(self, run: RunResult, tally: Tally, files: Items, warnings: Iterator[str]) -> dict[str, object]:
        """The whole document, around files as `fields` has them."""
        return {
            "schema": f"thresh.{run.command}/1",
            "version": run.version,
            "command": run.command,
            "status": tally.status,
            "params": run.params,
            "files": files,
            "totals": {
                "files": tally.files,
                "failed": tally.failed,
                "tensors": self.looked,
                "elements": self.elements,
                **self.totals(),
                "seconds": run.seconds,
            },
            "warnings": warnings,
        }


class Listed(Findings, running.Shape):
    """What people are shown in a table."""

    def __init__(self, run: RunResult, each: bool) -> None:
        super().__init__(run, each)
        self._verbose = each

    def shows(self, write: Write, terminal: Terminal) -> Sheet:
        return _Table(write, self.run, terminal, self, verbose=self._verbose)


class _Table(running.Table):
    """The table for people."""

    def __init__(self, write: Write, run: RunResult, terminal: Terminal, findings: Listed, *, verbose: bool) -> None:
        super().__init__(write, run, terminal, findings, verbose=verbose)
        self._findings = findings

    def part(self, number: int, file: FileResult) -> FileResult:
        return file

    def take(self, part: FileResult | str) -> None:
        if not isinstance(part, str):
            self._findings.add(part)
        super().take(part)


class Document(Sheet):
    """The document for programs, which begins with what is known at the end."""

    def __init__(self, write: Write, findings: Findings) -> None:
        super().__init__(write)
        self._findings, self._files = findings, Items()

    def part(self, number: int, file: FileResult) -> FileResult:
        return file

    def take(self, part: FileResult) -> None:
        self._findings.add(part)
        self._files.add((text(self._findings.fields(part), Items.indent),))

    def end(self, run: RunResult, tally: Tally, warnings: Spool) -> None:
        found = self._findings.document(run, tally, self._files, iter(warnings))
        Buffered(self._write).all(document(found))
        self._files.close()
