"""Pipes as inputs: what can be read only once is copied to a file without a name, which can be read anywhere."""

from __future__ import annotations

import os
import select
import stat

from threshcli.errors import InputError, OutputError

STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
"""What standard input is called."""

_CHUNK = 1 << 20


def standard_input() -> tuple[int, str]:
    """A descriptor of what standard input holds, and a path for it; a file that it was sent from is taken as it is."""
    if os.isatty(0):
        raise InputError("standard input is a terminal", hint="send a file into it: thresh info - < FILE")
    if stat.S_ISREG(os.fstat(0).st_mode) and os.lseek(0, 0, os.SEEK_CUR) == 0:
        return _kept(0)
    return spooled(0)


def spooled(pipe: int) -> tuple[int, str]:
    """A descriptor of a copy of all that comes out of a pipe, and a path for it. OutputError where it has no room."""
    import tempfile  # which most calls can do without

    with tempfile.TemporaryFile(prefix="thresh-", buffering=0) as copy:
        while chunk := _read(pipe):
            try:
                while chunk:
                    chunk = chunk[os.write(copy.fileno(), chunk) :]
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
