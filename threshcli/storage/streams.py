"""Outputs that are written from end to end: standard output, descriptors, FIFOs, devices.

Elements are written by offset, in any order, so the whole is made in a scratch file first. What reads a stream gets all
of it or, where the work fails, nothing.
"""

from __future__ import annotations

import os
import re
import select
import stat
from collections.abc import Callable

from threshcli.errors import OutputError, UsageError

Sink = Callable[[memoryview], None]
"""Takes bytes, all of them, to where a stream goes."""

STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
"""What standard output is called."""

_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})", re.ASCII)
_CHUNK = 1 << 20


def is_named(path: str) -> bool:
    """Whether a name by itself says that an output is a stream: standard output, or a descriptor."""
    return path[:1] in ("-", "/") and (path in STDOUT or _DESCRIPTOR.fullmatch(path) is not None)


def is_stream(path: str) -> bool:
    """Whether an output of this name goes somewhere from end to end, and replaces nothing."""
    if is_named(path):
        return True
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - asked of every output
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def check(path: str) -> None:
    """OutputError or UsageError where a stream cannot be written, as far as that is known before."""
    if path in STDOUT or not _is_terminal(path):
        return
    raise UsageError(f"{path} is a terminal, and a tensor file is no text", hint="name a file, or a pipe")


class Stream:
    """A stream in the making, as `storage.local.Target` is a file: written by offset, sent on by `commit`. Standard
    output is a `sink` that is handed in."""

    def __init__(self, path: str, size: int, sink: Sink | None) -> None:
        from threshcli.storage.scratch import Scratch  # late: few outputs are streams

        self.path = path
        self._size, self._sink = size, sink
        self._scratch = Scratch(None, size)

    def take_turns(self) -> None:
        """Several processes are going to write: what they may do here at any time."""

    def write(self, offset: int, data: memoryview | bytes) -> None:
        """Write all of it at an offset."""
        self._scratch.write(offset, data)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes written before."""
        found = bytearray(size)
        self._scratch.read_into(offset, memoryview(found))
        return bytes(found)

    def commit(self) -> None:
        """Send all of it on. A reader that went away is the caller's BrokenPipeError; so is what goes wrong with a sink
        that was handed in."""
        if self.path in STDOUT:
            if self._sink is None:
                raise OutputError("standard output belongs to the program", hint="name a file", file=self.path)
            self._send(self._sink)
            return
        try:
            fd = _opened(self.path)
            try:
                self._send(lambda data: _write_all(fd, data))
            finally:
                os.close(fd)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"cannot be written: {error.strerror}", file=self.path) from error

    def _send(self, sink: Sink) -> None:
        buffer = memoryview(bytearray(min(self._size, _CHUNK)))
        for offset in range(0, self._size, _CHUNK):
            part = buffer[: min(_CHUNK, self._size - offset)]
            self._scratch.read_into(offset, part)
            sink(part)

    def discard(self) -> None:
        """Close; nothing is left."""
        self._scratch.close()


def _opened(path: str) -> int:
    """A descriptor to write to; of a FIFO when somebody reads it."""
    found = _DESCRIPTOR.fullmatch(path)
    return os.dup(int(found[1])) if found else os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)


def _is_terminal(path: str) -> bool:
    """OutputError where a descriptor is not open or a device cannot be opened."""
    found = _DESCRIPTOR.fullmatch(path)
    try:
        if found is None and stat.S_ISFIFO(os.stat(path).st_mode):  # noqa: PTH116 - to open it is to wait
            return False
        fd = _opened(path)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", file=path) from error
    try:
        return os.isatty(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # another program has made it non-blocking
            select.select([], [fd], [])
