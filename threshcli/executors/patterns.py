"""What headers of all files tell together: patterns that match nothing, dtypes that cannot share a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from threshcli.errors import ThreshError
from threshcli.plan.files import names_of, plan_file, read_header
from threshcli.plan.index import members
from threshcli.plan.names import Job, parts
from threshcli.plan.opening import tensor_file
from threshcli.plan.request import Request
from threshcli.plan.selection import SOME_NAMES
from threshcli.plan.sharing import Sharing
from threshcli.thresholds.base import Maps


def check_patterns(request: Request, jobs: Sequence[Job]) -> None:
    """A pattern that matches no tensor of any file is a mistake, told before the first output; but not in a recipe that
    was noted of an output, which may be one of more files than these."""
    left = [entry for entry in request.entries if entry.selection.has_patterns and not entry.optional]
    if len(jobs) < 2 or not left or request.noted is not None:
        return
    if _has_pipe(jobs):
        return  # it may be the one that has them
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
        some += names[: SOME_NAMES - len(some)]
    left[0].check(some)


def check_shared_by_all(request: Request, jobs: Sequence[Job], maps: Maps) -> None:
    """Where all files share a threshold, one that cannot be read or does not go with the others ends a call before its
    work; so it does where nothing is to be worked out."""
    sharing = Sharing(request, "global")
    if not sharing.is_asked_for or _has_pipe(jobs):
        return
    for job in (part for whole in jobs for part in parts(whole)):
        try:
            with tensor_file(job.input) as source:
                sharing.add(plan_file(request, Job(job.input, None, None, job.whole), source, maps).tensors)
        except ThreshError as error:
            error.located(job.input)
            raise
    sharing.check()


def _has_pipe(jobs: Sequence[Job]) -> bool:
    """Whether there is an input that cannot be read twice."""
    return any(job.input == "-" or Path(job.input).is_fifo() for job in jobs)
