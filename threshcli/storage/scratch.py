"""Intermediate values on disk: what a pass makes and a later pass of the same call reads.

A scratch file has no name, so nothing is left of it however the process ends. It lies in the folder that the output
goes to, where there is room for results of that size, or (without an output) where temporary files go. Others read it
by `path`, as they read any file.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from threshcli.errors import OutputError
from threshcli.storage._writing import allocate
from threshcli.storage.local import Source


class Scratch:
    """A file of so many bytes, written and read by offset, in any order and by several workers."""

    def __init__(self, output: str | None, size: int) -> None:
        folder = tempfile.gettempdir() if output is None else str(Path(output).parent)
        with ExitStack() as stack:
            try:
                self._file = stack.enter_context(tempfile.TemporaryFile(prefix=".thresh-", dir=folder, buffering=0))
                if size:
                    allocate(self._file.fileno(), size)
            except OutputError as error:
                error.located(folder)
                raise
            except OSError as error:
                raise OutputError(f"has no room for intermediate values: {error.strerror}", file=folder) from error
            stack.pop_all()

    @property
    def path(self) -> str:
        """A path under which this process finds the file."""
        return f"/dev/fd/{self._file.fileno()}"

    @property
    def fingerprint(self) -> tuple[int, ...]:
        """That of `storage.local.Source`; to be asked for when all is written."""
        with Source(self.path) as source:
            return source.fingerprint

    def write(self, offset: int, data: memoryview | bytes) -> None:
        """Write all of it at an offset."""
        rest = memoryview(data).cast("B")
        while len(rest):
            try:
                count = os.pwrite(self._file.fileno(), rest, offset)
            except OSError as error:
                raise OutputError(f"intermediate values cannot be written: {error.strerror}") from error
            rest, offset = rest[count:], offset + count

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with bytes that were written before."""
        done, rest = 0, buffer.cast("B")
        while done < len(rest):
            count = os.preadv(self._file.fileno(), [rest[done:]], offset + done)
            if not count:
                raise OutputError("intermediate values are gone: their file was truncated")
            done += count

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
