"""Pipes as inputs: what can be read only once is copied to a file without a name, which can be read anywhere.

Some never end. Who opens one says by what has come so far how much is worth reading (its `reach`), and no more is.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Callable

from threshcli.errors import InputError, OutputError

STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
"""What standard input is called."""

_CHUNK = 1 << 20


class Arrived:
    """What has come out of a pipe so far, to be read as a file is."""

    def __init__(self, fd: int) -> None:
        self.size, self.path = 0, f"/dev/fd/{fd}"
        self._fd = fd

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes, as far as they have come."""
        return os.pread(self._fd, size, offset)

    def add(self, data: memoryview) -> None:
        """Write what has come next to the end."""
        while data:
            count = os.write(self._fd, data)
            self.size, data = self.size + count, data[count:]


Reach = Callable[[Arrived], int]
"""How many bytes of a pipe are worth reading, as far as those that have come tell: it is asked again when they are
there, up to where it wants no more than these."""


def everything(_: Arrived) -> int:
    """All that comes."""
    return sys.maxsize


def up_to(size: int) -> Reach:
    """One byte more than so many, which tells that they are too many."""
    return lambda _: size + 1


def standard_input(reach: Reach) -> tuple[int, str]:
    """A descriptor of what standard input holds, and a path for it; a file that it was sent from is taken as it is."""
    if os.isatty(0):
        raise InputError("standard input is a terminal", hint="send a file into it: thresh info - < FILE")
    if stat.S_ISREG(os.fstat(0).st_mode) and os.lseek(0, 0, os.SEEK_CUR) == 0:
        return _kept(0)
    return spooled(0, reach)


def spooled(pipe: int, reach: Reach = everything) -> tuple[int, str]:
    """A descriptor of a copy of what comes out of a pipe, up to its end or to where `reach` wants no more, and a path
    for it. OutputError where it has no room."""
    import tempfile  # which most calls can do without

    with tempfile.TemporaryFile(prefix="thresh-", buffering=0) as copy:
        arrived, wanted = Arrived(copy.fileno()), 0
        while True:
            wanted = wanted if arrived.size < wanted else reach(arrived)
            if arrived.size >= wanted or not (chunk := _read(pipe)):
                break
            try:
                arrived.add(chunk)
            except OSError as error:
                raise OutputError(
                    f"has no room for a copy of what comes out of the pipe: {error.strerror}",
                    hint="free some space, or let TMPDIR name another folder",
                    file=tempfile.gettempdir(),
                ) from error
        return _kept(copy.fileno())


def _read(pipe: int) -> memoryview:
    """What is there next; nothing at the end. One that another program has made non-blocking is waited for."""
    while True:
        try:
            return memoryview(os.read(pipe, _CHUNK))
        except BlockingIOError:
            select.select([pipe], [], [])


def _kept(fd: int) -> tuple[int, str]:
    """Another descriptor of the same file, and a path under which this process finds it."""
    kept = os.dup(fd)
    return kept, f"/dev/fd/{kept}"
