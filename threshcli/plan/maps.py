"""The files that thresholds are read from: maps and reports, each read once in a call."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from threshcli import containers
from threshcli.containers.base import Contents
from threshcli.errors import InputError, ThreshError
from threshcli.plan.opening import tensor_file
from threshcli.storage import local
from threshcli.storage.spool import up_to
from threshcli.thresholds.base import Maps
from threshcli.thresholds.report import LINES

_LONGEST_REPORT = 1 << 28
_HINT = "it has to be a report of thresh, written with --json or --report ndjson"


def divided(text: str, folder: str = "") -> tuple[str, str | None]:
    """The file of a map and the tensor that is chosen in it, of FILE::NAME or FILE as it is seen from a folder. What
    comes before the first :: is the file, unless there is none of that name and one of a longer one."""
    words = text.split("::", 9)
    for count in range(1, len(words) + 1):
        path = "::".join(words[:count])
        if path and os.path.lexists(Path(folder, path)):
            return path, "::".join(words[count:]) if count < len(words) else None
    path, mark, name = text.partition("::")
    return path, name if mark else None


class MapFiles(Maps):
    """Headers of the map files of a call, and reports, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Contents, tuple[int, ...], str]] = {}
        self._copies: list[local.Source] = []
        self._reports: dict[str, dict[str, Any]] = {}

    def contents(self, path: str) -> tuple[Contents, tuple[int, ...], str]:
        if path not in self._known:
            try:
                self._known[path] = self._read(path)
            except ThreshError as error:
                error.located(path)
                raise
        return self._known[path]

    def _read(self, path: str) -> tuple[Contents, tuple[int, ...], str]:
        with ExitStack() as stack:
            source = stack.enter_context(tensor_file(path))
            found = containers.identify(source).read(source)
            if source.path != path:  # a pipe can be read once: its copy is kept
                self._copies.append(source)
                stack.pop_all()
            return found, source.fingerprint, source.path

    def close(self) -> None:
        """Let go of the copies of pipes."""
        for source in self._copies:
            source.close()

    def divided(self, text: str) -> tuple[str, str | None]:
        return divided(text)

    def report(self, path: str) -> dict[str, Any]:
        if path not in self._reports:
            self._reports[path] = read_report(path)
        return self._reports[path]


def read_report(path: str) -> dict[str, Any]:
    """A report that was written with --json, or as NDJSON; errors name it."""
    try:
        with local.Source(path, up_to(_LONGEST_REPORT)) as source:
            if source.size > _LONGEST_REPORT:
                raise InputError("is too long for a report", hint=_HINT)
            raw = bytes(source.read(0, source.size))
        found = _from_lines(raw) if path.endswith(LINES) else json.loads(raw)
    except (ValueError, RecursionError) as error:
        if isinstance(error, ThreshError):
            error.located(path)
            raise
        raise InputError(f"is not JSON: {error}", hint=_HINT, file=path) from error
    if not isinstance(found, dict) or found.get("schema") != "thresh.report/1":
        raise InputError("is not a report of thresh", hint=_HINT, file=path)
    return found


def _from_lines(raw: bytes) -> Any:
    """The report that the lines of NDJSON come to: an event for each file, and one of the end, which has all else."""
    events = [json.loads(line) for line in raw.splitlines() if line.strip()]
    kinds = [event.get("event") if isinstance(event, dict) else None for event in events]
    if not all(kind in ("file", "end") for kind in kinds):  # whatever it is, which need not be a text
        raise InputError("is not a report of thresh", hint=_HINT)
    if "end" not in kinds:
        raise InputError("does not end as a report does: the run that wrote it was cut short", hint=_HINT)
    if kinds.index("end") < len(kinds) - 1:
        raise InputError("holds more than one report", hint="give the lines of one run")
    return {**events[-1], "files": events[:-1]}
