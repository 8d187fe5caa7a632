"""Reports for programs that are written while a run goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from threshcli.report.document import Items, document, line_in_pieces, pieces, text
from threshcli.report.machine import around, file_fields, recipe, render_event, tensor_fields
from threshcli.report.sheets import Buffered, Sheet, Write
from threshcli.report.spool import Spool
from threshcli.report.tally import Tally
from threshcli.report.tsv import head, lines
from threshcli.results import FileResult, RunResult

_MANY = 256  # tensors of a file, of which the text is not to be in memory as a whole


class Json(Sheet):
    """One document, which begins with what is known at the end."""

    def __init__(self, write: Write) -> None:
        super().__init__(write)
        self._files = Items()

    def part(self, number: int, file: FileResult) -> FileResult | str:
        return file if len(file.tensors) > _MANY else text(file_fields(file), Items.indent)

    def take(self, part: FileResult | str) -> None:
        self._files.add((part,) if isinstance(part, str) else pieces(_one_by_one(part), Items.indent))

    def end(self, run: RunResult, tally: Tally, warnings: Spool) -> None:
        Buffered(self._write).all(render_around(run, tally, self._files, warnings))
        self._files.close()


class Ndjson(Sheet):
    """A line a file as it ends."""

    def part(self, number: int, file: FileResult) -> tuple[int, FileResult] | str:
        return (number, file) if len(file.tensors) > _MANY else render_event(file, number)

    def take(self, part: tuple[int, FileResult] | str) -> None:
        if isinstance(part, str):
            self._write(part)
            return
        number, file = part
        Buffered(self._write).all(line_in_pieces({"event": "file", "index": number, **_one_by_one(file)}))

    def end(self, run: RunResult, tally: Tally, warnings: Spool) -> None:
        Buffered(self._write).all(render_last(run, tally, warnings))


class Tsv(Sheet):
    """A line a tensor."""

    def __init__(self, write: Write) -> None:
        super().__init__(write)
        self._begun = False

    def part(self, number: int, file: FileResult) -> str:
        return lines(file)

    def take(self, part: str) -> None:
        self._write(part if self._begun else head() + part)
        self._begun = True

    def end(self, run: RunResult, tally: Tally, warnings: Spool) -> None:
        if not self._begun:
            self._write(head())


def _one_by_one(file: FileResult) -> dict[str, object]:
    """A file as it stands in the report of a run, of which the tensors are made as they are asked for."""
    return file_fields(replace(file, tensors=())) | {"tensors": map(tensor_fields, file.tensors)}


def render_around(run: RunResult, tally: Tally, files: Items, warnings: Iterable[str]) -> Iterator[str]:
    """The document of a run, in pieces, around its files."""
    report = around(run, tally)
    totals = report.pop("totals")
    report |= {"files": files, "totals": totals, "warnings": iter(warnings), **recipe(run)}
    return document(report)


def render_last(run: RunResult, tally: Tally, warnings: Iterable[str]) -> Iterator[str]:
    """The last line: the report without its files, in pieces."""
    return line_in_pieces({"event": "end", **around(run, tally), "warnings": iter(warnings), **recipe(run)})
