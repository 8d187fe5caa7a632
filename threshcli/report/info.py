"""`thresh info` for people: what is in the files, and what they say about themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from threshcli.report import figures, looking
from threshcli.report.document import Items
from threshcli.report.figures import NOTHING
from threshcli.report.grid import Cell, Column, Row
from threshcli.report.machine import info_file
from threshcli.report.spool import Spool
from threshcli.report.summary import brief, label
from threshcli.report.table import folded
from threshcli.report.tally import Tally
from threshcli.report.terminal import Terminal
from threshcli.report.texts import shorten
from threshcli.results import FileResult, RunResult, TensorResult

_COLUMNS = (
    Column(title="FILE / TENSOR", short="NAME", folds=True, least=16),
    Column(title="SHAPE", short="SHAPE", right=True),
    Column(title="DTYPE", short="DTYPE"),
    Column(title="BYTES", short="BYTES", right=True, importance=2),
    Column(title="LAYOUT", short="LAYOUT", folds=True, importance=1),
)


class Findings(looking.Listed):
    """Every tensor of every file with its shape, type, bytes and layout; then the metadata; then the totals."""

    def __init__(self, run: RunResult, each: bool) -> None:
        super().__init__(run, each)
        self._tensors = self._nbytes = 0
        self._said = Spool()

    def add(self, file: FileResult) -> None:
        self._tensors += len(file.tensors)
        self.elements += sum(item.elements for item in file.tensors)
        self._nbytes += sum(item.nbytes for item in file.tensors)

    def settle(self, files: Sequence[FileResult], *, more: bool) -> Sequence[Column]:
        return _COLUMNS

    def rows(self, file: FileResult) -> Iterator[Row]:
        if file.metadata or file.notes:
            said = *(f"{key} = {value}" for key, value in file.metadata), *file.notes
            self._said.add(json.dumps([file.input, *said]))
        return _rows(file)

    def beneath(self, terminal: Terminal) -> Iterator[str]:
        for text in self._said:
            yield from _about(*json.loads(text), terminal=terminal)

    def closing(self, run: RunResult, tally: Tally) -> Iterator[str]:
        exact = f" ({figures.counted(self._nbytes, 'byte')})" if self._nbytes >= 1024 else ""
        counted = (tally.files, "file"), (self._tensors, "tensor"), (self.elements, "element")
        yield ", ".join([*(figures.counted(*each) for each in counted), figures.size(self._nbytes) + exact])

    def fields(self, file: FileResult) -> dict[str, object]:
        return info_file(file)

    def totals(self) -> dict[str, object]:
        return {"tensors": self._tensors, "elements": self.elements, "nbytes": self._nbytes}

    def document(self, run: RunResult, tally: Tally, files: Items, warnings: Iterator[str]) -> dict[str, object]:
        found = super().document(run, tally, files, warnings)
        del found["params"]
        return found | {"totals": {"files": tally.files, "failed": tally.failed, **self.totals()}}


def _rows(file: FileResult) -> Iterator[Row]:
    if file.status == "failed":
        yield Row((Cell(file.input), Cell("failed"), *_blanks(2), Cell(brief(file), fold="end")), "red")
    elif not file.tensors:
        yield Row((Cell(file.input), Cell("index" if file.format == "index" else "0 tensors"), *_blanks(2), Cell()))
    elif len(file.tensors) == 1:
        yield _row(label(file), file.tensors[0])
    else:
        yield Row((Cell(file.input),), kind="heading")
        for tensor in file.tensors:
            yield _row(f"  {tensor.name}", tensor)


def _row(name: str, tensor: TensorResult) -> Row:
    shape, nbytes = figures.shape(tensor.shape), figures.count(tensor.nbytes)
    return Row((Cell(name), Cell(shape), Cell(tensor.dtype), Cell(nbytes), Cell(tensor.layout or NOTHING)))


def _blanks(number: int) -> Sequence[Cell]:
    return (Cell(NOTHING),) * number


def _about(name: str, *said: str, terminal: Terminal) -> Iterator[str]:
    """The metadata and notes of a file, a line each however long they are."""
    yield from folded([(name, "bold")], terminal)
    for text in said:
        head = text[: terminal.width]  # what is cut off anyway need not be made safe: metadata can be megabytes
        shown = terminal.show(head) + ("" if head == text else " " * terminal.width)
        yield ("  " + shorten(shown, terminal.width - 2, "end", terminal.ellipsis)).rstrip()
