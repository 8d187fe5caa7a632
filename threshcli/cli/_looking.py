"""What the commands that look at elements and write nothing have in common: their options, and what is made of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from threshcli import __version__
from threshcli.cli import _completion, options
from threshcli.cli.failures import tell_failures
from threshcli.cli.outside import Outside
from threshcli.plan.asking import jobs_of
from threshcli.plan.selection import Selection
from threshcli.report import Kind
from threshcli.report.sheets import sheet
from threshcli.report.spool import Spool
from threshcli.report.tally import Tally
from threshcli.results import Failure, FileResult, FileStatus, RunResult
from threshcli.spec import parse_size

if TYPE_CHECKING:
    from threshcli.executors.examine import Means

Tensor = Annotated[
    list[str] | None,
    typer.Option(
        "--tensor",
        "-k",
        metavar="GLOB",
        help="Look at tensors whose names match. Repeatable. Default: all.",
        rich_help_panel=options.SELECTION,
        show_default=False,
        autocompletion=_completion.tensors,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        "-x",
        metavar="GLOB",
        help="Leave matching tensors out. Repeatable.",
        rich_help_panel=options.SELECTION,
        show_default=False,
        autocompletion=_completion.tensors,
    ),
]
Magnitude = Annotated[
    bool,
    typer.Option("--magnitude", help="Look at abs(x).", rich_help_panel=options.SELECTION, show_default=False),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="A report for programs on standard output.", rich_help_panel=options.REPORT, show_default=False
    ),
]


def looked(command: str, params: Mapping[str, object]) -> RunResult:
    """A call of which nothing is known but what it is to do."""
    return RunResult(
        version=__version__, command=command, operator="", params=dict(params), device="cpu", files=(), seconds=0.0
    )


class Seen:
    """Files as they come by, and whether `found` was true of any of them."""

    def __init__(self, files: Iterable[FileResult], found: Callable[[FileResult], bool]) -> None:
        self._files, self._found, self.any = files, found, False

    def __iter__(self) -> Iterator[FileResult]:
        for file in self._files:
            self.any |= self._found(file)
            yield file


def told(files: Iterable[FileResult], run: RunResult, given: Mapping[str, Any], outside: Outside) -> int:
    """Tell of files as they are looked at, say what failed last, and return the exit status of the whole call."""
    began, nbytes = time.perf_counter(), 0
    states, failures, warnings = Counter[FileStatus](), list[tuple[str, Failure]](), Spool()
    one = sheet(kind_of(given), outside.print, run, outside.terminal(given["color"]), verbose=given["verbose"])
    for number, file in enumerate(files):
        states[file.status] += 1
        nbytes += file.bytes_in
        if file.error is not None:
            failures.append((file.input, file.error))
        for text in dict.fromkeys(f"{file.input}: {text}" for text in file.warnings):
            warnings.add(text)
            if one is None:
                outside.warn(text)
        if one is not None:
            one.take(one.part(number, file))
    if one is not None:
        one.end(replace(run, seconds=time.perf_counter() - began), Tally.looked_at(states, nbytes), warnings)
    warnings.close()
    return tell_failures(failures, states.total(), outside)


def kind_of(given: Mapping[str, Any]) -> Kind:
    """How is told what was found."""
    return "none" if given["quiet"] else "json" if given["json"] else "table"


def means_of(given: Mapping[str, Any]) -> Means:
    """Which tensors are looked at and with what, from the command's arguments."""
    selection = Selection(tuple(given["tensor"] or ()), tuple(given["exclude"] or ()))
    workers, memory = jobs_of(given["jobs"]), parse_size(given["max_memory"])
    from threshcli.executors.examine import Means  # late: mistakes are told before NumPy is loaded

    return Means(
        selection=selection,
        magnitude=given["magnitude"],
        jobs=workers,
        max_memory=memory,
        part="inputs" in given and given["inputs"].is_part,
    )
