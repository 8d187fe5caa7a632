"""A call over files while it goes on: each is told of as it ends, and what remains of it is small.

What a report has to know of a file is made where the file was worked on, which may be a copy of this process; here the
parts are put together, sums grow, and failures and conditions that hold are kept to be said last.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePath
from typing import Any, NamedTuple

from threshcli.cli.failures import tell_failures
from threshcli.cli.outside import Outside
from threshcli.conditions import Condition
from threshcli.errors import ConditionFalse, OutputError, UsageError
from threshcli.plan.names import Job, touched
from threshcli.plan.provenance import sidecar_of
from threshcli.plan.request import Request
from threshcli.report import Kind
from threshcli.report.sheets import Sheet, sheet
from threshcli.report.spool import Spool
from threshcli.report.tally import Tally
from threshcli.report.terminal import Terminal
from threshcli.results import Failure, FileResult, RunResult

COUNTS = ("selected", "kept", "changed", "zeros_before", "zeros_after", "nan", "inf")
VALUES = ("elements", "min", "max", "mean", "norm_before", "norm_after")
"""What conditions can be about: fields of a tensor's report, of which the first can be shares of its elements."""
_MOMENTS = ("mean", "norm_before", "norm_after")
_EXTENSIONS: Mapping[str, Kind] = {".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".tsv": "tsv"}


@dataclass(frozen=True, slots=True)
class Reporting:
    """How a call is reported: what is printed, what goes to a file, and which conditions are not to hold."""

    printed: Kind
    path: str | None = None
    filed: Kind = "none"
    conditions: tuple[Condition, ...] = ()
    verbose: bool = False
    each: bool = False
    """Whether a table has a row for every tensor: where that is asked, and where a recipe is only tried."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Reporting:
        """As the command's arguments have it; raises UsageError."""
        if given["json"] and given["report"] not in (None, "json"):
            hint = "--report-file writes another one"
            raise UsageError(f"--json and --report {given['report']} ask for two reports", hint=hint)
        asked: Kind | None = "json" if given["json"] else given["report"]
        path = given["report_file"]
        if path == "-":
            raise UsageError("--report-file names a file", hint="--report says what is printed")
        by_name = _EXTENSIONS.get(PurePath(path).suffix.lower(), "table") if path else "none"
        return cls(
            printed="none" if given["quiet"] else asked or "table",
            path=path,
            filed=by_name if asked in (None, "none") or path is None else asked,
            conditions=tuple(Condition.parse(text, COUNTS, VALUES) for text in given.get("fail_if") or ()),
            verbose=given["verbose"] and not given["quiet"],
            each=given["verbose"] or (given["dry_run"] and "recipe" in given),
        )

    @property
    def moments(self) -> bool:
        """Whether means and norms are wanted."""
        exact = {"json", "ndjson", "tsv"} & {self.printed, self.filed}
        return bool(exact) or any(condition.name in _MOMENTS for condition in self.conditions)

    def check_rules(self, request: Request) -> None:
        """UsageError of conditions on what no rule of the request counts."""
        for condition in self.conditions if request.decides else ():
            if condition.name == "kept":
                what = f"{condition.text!r}: {request.command} keeps nothing, it writes other values"
                raise UsageError(what, hint="selected counts the elements for which the comparison held")

    def check_place(self, jobs: Sequence[Job], sidecars: bool) -> None:
        """OutputError where the report's file is one that the call reads or writes."""
        if self.path is None:
            return
        here, there = os.path.abspath(self.path), _identity(self.path)  # noqa: PTH100 - as names are compared elsewhere
        for path in chain.from_iterable(_places(job, sidecars) for job in jobs):
            if os.path.abspath(path) == here or (there is not None and _identity(path) == there):  # noqa: PTH100
                raise OutputError("is an input or output of this call", hint="give it another name", file=self.path)


class Told(NamedTuple):
    """What remains of a file when it has been told of: the parts of the reports, sums, and what is said in words."""

    input: str
    line: str
    failure: Failure | None
    warnings: tuple[str, ...]
    holding: tuple[str, ...]
    tally: Tally
    parts: tuple[Any, ...]


@dataclass(slots=True)
class Call:
    """Tells of files as they end, and of the whole at the end."""

    reporting: Reporting
    outside: Outside
    sheets: Sequence[Sheet]
    tally: Tally = field(default_factory=Tally)
    warnings: Spool = field(default_factory=Spool)
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    holding: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, number: int, file: FileResult) -> Told:
        """What remains of the `number`-th file; changes nothing, since it may run in a copy of this process."""
        conditions, verbose = self.reporting.conditions, self.reporting.verbose
        line = _line(file) if verbose else ""
        holding = tuple(_holding(file, conditions)) if conditions else ()
        parts = tuple([one.part(number, file) for one in self.sheets])
        return Told(file.input, line, file.error, file.warnings, holding, Tally.of(file), parts)

    def take(self, told: Told) -> None:
        """The next file."""
        self.tally = self.tally.plus(told.tally)
        for one, part in zip(self.sheets, told.parts, strict=True):
            one.take(part)
        for text in dict.fromkeys(told.warnings) if told.warnings else ():
            self.warnings.add(f"{told.input}: {text}")
            if self.reporting.printed in ("none", "tsv"):
                self.outside.warn(f"{told.input}: {text}")
        if told.failure is not None:
            self.failures.append((told.input, told.failure))
        self.holding += [(told.input, text) for text in told.holding]
        if told.line:
            self.outside.tell(told.line)

    def end(self, run: RunResult) -> int:
        """Close the reports, say what failed and what holds, and return the exit status of the whole call."""
        for one in self.sheets:
            one.end(run, self.tally, self.warnings)
        self.warnings.close()
        status = tell_failures(self.failures, self.tally.files, self.outside)
        for path, text in self.holding:
            self.outside.complain(ConditionFalse(text, file=path))
        return status or (ConditionFalse.exit_code if self.holding else 0)


@contextmanager
def calling(reporting: Reporting, run: RunResult, outside: Outside, given: Mapping[str, Any]) -> Iterator[Call]:
    """A call that begins; `run` is what is known of it. The report's file is there when all has ended well or badly,
    and not if it is broken off."""
    sheets = [sheet(reporting.printed, outside.print, run, outside.terminal(given["color"]), verbose=reporting.each)]
    if reporting.path is None:
        yield Call(reporting, outside, [one for one in sheets if one is not None])
        return
    with report_file(reporting.path, replace=given["overwrite"] or given["skip_existing"]) as write:
        sheets.append(sheet(reporting.filed, write, run, Terminal(), verbose=reporting.each))
        yield Call(reporting, outside, [one for one in sheets if one is not None])


@contextmanager
def report_file(path: str, *, replace: bool) -> Iterator[Callable[[str], None]]:
    """A file that texts are written to one after the other, complete or absent."""
    from threshcli.storage.local import Target, existing, resolve

    try:
        target_path = resolve(path)
        there = existing(target_path) is not None
    except OutputError as error:
        error.located(path)
        raise
    if there and not replace:
        raise OutputError("exists already", hint="use --overwrite to replace it", file=path)
    target = Target(target_path, 0, replace=there, fsync=False)
    offset = 0

    def write(text: str) -> None:
        nonlocal offset
        raw = text.encode("utf-8", "backslashreplace")
        target.write(offset, raw)
        offset += len(raw)

    try:
        yield write
        target.commit()
    finally:
        target.discard()


def _places(job: Job, sidecars: bool) -> Iterator[str]:
    """The files that a job reads or writes."""
    yield from touched(job)
    if sidecars and job.output is not None:
        yield sidecar_of(job.output)


def _identity(path: str) -> tuple[int, int] | None:
    """Device and inode of what is at a path, whatever it is called."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of all inputs and outputs
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _holding(file: FileResult, conditions: Sequence[Condition]) -> Iterator[str]:
    """What holds of the tensors of a file that the rule was applied to."""
    for item in file.tensors:
        for condition in conditions:
            value = getattr(item, condition.name)
            if item.applied and condition.holds(value, item.elements):
                of = f" of {item.elements:,}" if condition.name in COUNTS else ""
                shown = f"{value:,}" if isinstance(value, int) else repr(value)
                yield f"tensor {item.name!r}: {condition.text} holds, {condition.name} is {shown}{of}"


def _line(file: FileResult) -> str:
    """A file in a line, as it ends."""
    to = f" -> {file.output}" if file.output is not None else ""
    why = f": {file.error.message.partition(chr(10))[0]}" if file.error is not None else ""
    return f"{file.input}{to}: {file.status}{why}"
