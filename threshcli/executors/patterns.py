"""Patterns that match no tensor of any file of a call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from threshcli.errors import ThreshError
from threshcli.plan.files import names_of, read_header
from threshcli.plan.index import members
from threshcli.plan.names import Job
from threshcli.plan.request import Request

_SOME_NAMES = 1000  # of tensors, to say what there is


def check_patterns(request: Request, jobs: Sequence[Job]) -> None:
    """A pattern that matches no tensor of any file is a mistake, told before the first output; but not in a recipe that
    was noted of an output, which may be one of more files than these."""
    left = [entry for entry in request.entries if entry.selection.has_patterns and not entry.optional]
    if len(jobs) < 2 or not left or request.noted is not None:
        return
    if any(job.input == "-" or Path(job.input).is_fifo() for job in jobs):
        return  # a pipe cannot be read twice, and may be the one that has them
    some: list[str] = []
    for path in (path for job in jobs for path in members(job.input)):
        try:
            names = names_of(read_header(path)[0], path)
        except ThreshError:
            continue  # told when its turn comes
        left = [entry._replace(selection=entry.selection.left_by(names)) for entry in left]
        left = [entry for entry in left if entry.selection.has_patterns]
        if not left:
            return
        some += names[: _SOME_NAMES - len(some)]
    left[0].check(some)
