"""Small files shared out to workers: copies of this process, each of which does whole files.

The files of a call are cut into shares: a large file alone (its tiles are shared out), or a run of small ones, as long
as is worth copying a process for and no longer than its results may wait. Results come in the order of the files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from threshcli.engine.copies import Part, work_together
from threshcli.errors import DeviceError
from threshcli.kernels.base import Kernels
from threshcli.plan.index import is_index
from threshcli.plan.names import Job

_SMALL = 1 << 23  # files of so many bytes have tiles enough for all workers
_LEAST_FILES, _LEAST_BYTES = 16, 1 << 24  # one of these makes a share worth copying a process for
_MOST_FILES, _MOST_BYTES = 1024, 1 << 28
_FIRST_FILES = 256  # soon there is something to tell, and what it tells serves the copies that follow

Told = TypeVar("Told")


class Share(NamedTuple):
    """Consecutive files, from the `start`-th on, with their sizes; several are to be shared out."""

    start: int
    jobs: Sequence[Job]
    sizes: Sequence[int]


def shares(jobs: Sequence[Job], workers: int) -> Iterator[Share]:
    """The files of a call in shares; one by one where there is one worker."""
    start, sizes = 0, list[int]()
    most = _FIRST_FILES
    for number, job in enumerate(jobs):
        size = _size(job.input) if workers > 1 else None
        if size is not None:
            sizes.append(size)
        if sizes and (size is None or len(sizes) == most or sum(sizes) >= _MOST_BYTES):
            yield from _cut(jobs, start, sizes)
            start, sizes, most = start + len(sizes), [], _MOST_FILES
        if size is None:
            yield Share(number, jobs[number : number + 1], (0,))
            start = number + 1
    if sizes:
        yield from _cut(jobs, start, sizes)


def _cut(jobs: Sequence[Job], start: int, sizes: Sequence[int]) -> Iterator[Share]:
    """A run of small files; one by one if it is not worth copying a process for."""
    several = len(sizes) > 1 and (len(sizes) >= _LEAST_FILES or sum(sizes) >= _LEAST_BYTES)
    if several:
        yield Share(start, jobs[start : start + len(sizes)], sizes)
        return
    for place in range(len(sizes)):
        yield Share(start + place, jobs[start + place : start + place + 1], (0,))


def _size(path: str) -> int | None:
    """The size of a small file, or None for what is to be done alone."""
    if is_index(path):
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 - a path object for each of many small files takes longer
    except (OSError, ValueError):
        return 0  # to be told in its turn
    return found.st_size if stat.S_ISREG(found.st_mode) and found.st_size < _SMALL else None


def together(
    share: Share,
    kernels: list[Kernels],
    attempt: Callable[[int, Job], Told],
    lost: Callable[[int, Job, DeviceError], Told],
    advance: Callable[[int], None],
) -> Iterator[Told]:
    """What `attempt` gives for each file of a share, done by one process for each set of kernels. When one of them is
    ended from outside, what it had done is not known: these files are `lost`."""
    done: dict[int, Any] = {}

    def work(place: int, own: Kernels) -> None:
        done[place] = attempt(share.start + place, share.jobs[place])

    part = Part(lambda: iter(range(len(share.jobs))), work, lambda: done, lambda place: advance(share.sizes[place]))
    error = None
    try:
        for found in work_together(part, kernels):
            done.update(found)
    except DeviceError as ended:
        error = ended
    for place, job in enumerate(share.jobs):
        if place not in done and error is not None:
            yield lost(share.start + place, job, error)
        else:
            yield done.pop(place)
