"""Small files shared out to workers: copies of this process, each of which does whole files.

The files of a call are cut into shares: a large file alone (its tiles are shared out), or a run of small ones, as long
as is worth copying a process for and no longer than its results may wait. Results come in the order of the files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from threshcli.engine.abreast import ABREAST, Steps, abreast
from threshcli.engine.copies import Part, work_together
from threshcli.errors import DeviceError
from threshcli.executors.endings import failed
from threshcli.kernels.base import Kernels
from threshcli.plan.index import is_index
from threshcli.plan.names import Job
from threshcli.results import FileResult

SMALL = 1 << 14
"""Files up to so many bytes take their steps side by side, with what is read and written of them in memory."""
_LARGE = 1 << 23  # files of so many bytes have tiles enough for all workers
_LEAST_FILES, _LEAST_BYTES = 16, 1 << 24  # one of these makes a share worth copying a process for
_MOST_FILES, _MOST_BYTES = 1024, 1 << 28
_FIRST_FILES = 256  # soon there is something to tell, and what it tells serves the copies that follow

Told = TypeVar("Told")


class Share(NamedTuple):
    """Consecutive files, from the `start`-th on. Those with `sizes` are to be shared out, others are this process's."""

    start: int
    jobs: Sequence[Job]
    sizes: Sequence[int] = ()


def shares(jobs: Iterable[Job], workers: int, *, alone: bool = False) -> Iterator[Share]:
    """The files of a call in shares; an index has one for itself, and so has each file if they are to go `alone`."""
    start, waiting, sizes, room = 0, list[Job](), list[int](), _MOST_BYTES
    most, later = (1, 1) if alone else (_FIRST_FILES, _MOST_FILES)
    for number, job in enumerate(jobs):
        size = _size(job.input)
        if size is not None:
            waiting.append(job)
            sizes.append(size)
            room -= size
        if sizes and (size is None or len(sizes) == most or room <= 0):
            yield _share(start, waiting, sizes, workers)
            start, waiting, sizes, most, room = start + len(sizes), [], [], later, _MOST_BYTES
        if size is None:
            yield Share(number, [job])
            start = number + 1
    if sizes:
        yield _share(start, waiting, sizes, workers)


def _share(start: int, jobs: Sequence[Job], sizes: Sequence[int], workers: int) -> Share:
    """A run of small files; for this process if it is not worth copying that."""
    several = len(sizes) > 1 and (len(sizes) >= _LEAST_FILES or sum(sizes) >= _LEAST_BYTES)
    return Share(start, jobs, sizes if several and workers > 1 else ())


def _size(path: str) -> int | None:
    """The size of a small file, or None for what is to be done alone."""
    if is_index(path):
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 - a path object for each of many small files takes longer
    except (OSError, ValueError):
        return 0  # to be told in its turn
    return found.st_size if stat.S_ISREG(found.st_mode) and found.st_size < _LARGE else None


def together(
    share: Share,
    kernels: list[Kernels],
    attempt: Callable[[int, Job], Steps[FileResult]],
    tell: Callable[[int, FileResult], Told],
    advance: Callable[[int], None],
) -> Iterator[Told]:
    """What is told of each file of a share, done by one process for each set of kernels. When one of them is ended from
    outside, what it had done is not known: these files have failed."""
    done: dict[int, Any] = {}
    jobs, sizes, start = share.jobs, share.sizes, share.start
    alike = sum(sizes) <= len(sizes) * SMALL
    step = max(1, min(ABREAST, len(jobs) // (4 * len(kernels)))) if alike else 1
    stretches = [range(first, min(first + step, len(jobs))) for first in range(0, len(jobs), step)]

    def work(places: range, own: Kernels) -> None:
        results = abreast(attempt(start + place, jobs[place]) for place in places)
        for place, result in zip(places, results, strict=True):
            done[place] = tell(start + place, result)

    part = Part(
        units=lambda: iter(stretches),
        work=work,
        found=lambda: done,
        passed=lambda places: advance(sum(sizes[places.start : places.stop])),
    )
    error = None
    try:
        for found in work_together(part, kernels):
            done.update(found)
    except DeviceError as ended:
        error = ended
    for place, job in enumerate(jobs):
        if place not in done and error is not None:
            yield tell(start + place, failed(job, error))
        else:
            yield done.pop(place)
