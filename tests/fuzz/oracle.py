"""What may come of a damaged file: the bounds, and what breaks them."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from tests.harness import Ran
from tests.pt_files import Bytes, elements
from threshcli.containers.base import Contents, Tensor
from threshcli.errors import SomeFailed

SECONDS = 2.0
_PATIENCE = 30.0
_MEGABYTES = 200
_ROOM = 2 << 30
_LONGEST_LINE = 2000
ENDINGS = (0, 1, 2, 3, 4, 5)
"""Every exit status that a file may cause; 6 and 70 are faults."""


class Broken(Exception):
    """A promise was broken."""


class Overdue(BaseException):
    """A case took too long; nothing in the code may catch this."""


def _overdue(number: int, frame: FrameType | None) -> None:
    raise Overdue(f"more than {SECONDS:g} s of work" if number == signal.SIGPROF else f"nothing for {_PATIENCE:g} s")


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Overdue if what is inside works for too long (by the processor's clock: others may be at work, too), or hangs."""
    clocks = ((signal.SIGPROF, signal.ITIMER_PROF, SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, _PATIENCE))
    old = [signal.signal(number, _overdue) for number, _, _ in clocks]
    try:
        for _, clock, seconds in clocks:
            signal.setitimer(clock, seconds)
        yield
    finally:
        for (number, clock, _), handler in zip(clocks, old, strict=True):
            signal.setitimer(clock, 0)
            signal.signal(number, handler)


@contextlib.contextmanager
def in_space() -> Iterator[None]:
    """MemoryError if what is inside wants gigabytes."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    wanted = pages * resource.getpagesize() + _ROOM
    if limits[1] != resource.RLIM_INFINITY:
        wanted = min(wanted, limits[1])
    resource.setrlimit(resource.RLIMIT_AS, (wanted, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


class Memory:
    """The largest that this process was, which a case may raise a little."""

    def __init__(self) -> None:
        self._known = self._now()

    @staticmethod
    def _now() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    def check(self) -> None:
        """Broken if it has grown."""
        now, known = self._now(), self._known
        if now > known + _MEGABYTES:
            self._known = now
            raise Broken(f"the process grew from {known} to {now} MB")


def check_within(contents: Contents, size: int) -> None:
    """Every element of every tensor lies in the file, and so does what has a checksum."""
    for tensor in contents.tensors:
        view = tensor.view
        last = (
            view.offset
            + (sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True)) + 1) * view.itemsize
        )
        if view.elements and not 0 <= view.offset < last <= size:
            raise Broken(f"tensor {tensor.name!r} lies outside the file: {view}")
    for region in contents.regions:
        if not 0 <= region.offset <= region.offset + region.size <= size:
            raise Broken(f"{region} lies outside the file")
    if any(not 0 <= place < len(contents.tensors) for _, place in contents.tied):
        raise Broken("tied to nothing")


def check_told(ran: Ran, leftovers: list[str]) -> None:
    """A status that a file may cause; a refusal says so in one line and leaves nothing."""
    said = f"exit status {ran.status}, {ran.err[:4000]}"
    if ran.status not in ENDINGS or "Traceback" in ran.err:
        raise Broken(said)
    if ran.status > 1 and not any(line.startswith("thresh: error: ") for line in ran.lines):
        raise Broken(f"no error; {said}")
    if ran.status > 1 and ran.status != SomeFailed.exit_code and leftovers:
        raise Broken(f"left {leftovers} behind; {said}")
    if any(not line.startswith(("thresh: ", "hint: ")) or len(line) > _LONGEST_LINE for line in ran.lines):
        raise Broken(f"strange or endless lines; {said}")
    for text in (ran.out, ran.err):
        if any(ord(mark) < 32 and mark != "\n" for mark in text) or any("\ud800" <= mark <= "\udfff" for mark in text):
            raise Broken(f"control characters in {text[:4000]!r}")


def values(data: bytes, tensor: Tensor) -> Bytes:
    """The elements of a tensor as little-endian bytes, in its shape if there are any."""
    if not tensor.view.elements:
        return np.zeros(0, "V1")  # of shapes that NumPy may not be able to have
    found = elements(data, tensor)
    if not tensor.view.swapped:
        return found
    part = tensor.view.itemsize // (2 if tensor.dtype.kind == "complex" else 1)
    kind: Any = np.dtype(f"u{part}")
    plain = np.ascontiguousarray(found).view(np.uint8).reshape(-1).view(kind.newbyteorder(">")).astype(kind)
    swapped: Bytes = plain.view(np.uint8).reshape(-1).view(f"V{tensor.view.itemsize}").reshape(found.shape)
    return swapped
