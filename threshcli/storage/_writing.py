"""What all that write to disk share: errors in our own words, room that is reserved, folders that are synced."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from types import TracebackType

from threshcli.errors import OutputError


class Writing:
    """What goes wrong while writing, in our own words, said of the output."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, FileNotFoundError):
            hint = "create the folder first"
            raise OutputError("cannot be written: its folder does not exist", hint=hint, file=self._path) from None
        if isinstance(error, OutputError):
            error.located(self._path)
        elif isinstance(error, OSError):
            raise OutputError(f"cannot be written: {error.strerror}", file=self._path) from error

    def close(self) -> None:
        pass


class InTurn(Writing):
    """The same for an output that several processes write, one at a time. A file lets in one writer at a time anyway,
    but those that wait at its door keep their processors busy: with this they sleep. Record locks serve for it, since
    the system lets go of those that a process held when it died."""

    def __init__(self, path: str) -> None:
        """OSError where there can be no turns."""
        super().__init__(path)
        self._lock = os.memfd_create("thresh")  # not the output, which may lie far away

    def __enter__(self) -> None:
        fcntl.lockf(self._lock, fcntl.LOCK_EX)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.lockf(self._lock, fcntl.LOCK_UN)
        super().__exit__(kind, error, trace)

    def close(self) -> None:
        os.close(self._lock)


def allocate(fd: int, size: int) -> None:
    """Reserve the bytes of a file, so that a full disk is told before work starts."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OutputError(f"needs {size:,} bytes, and the disk has less", hint="free some space") from None
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        os.ftruncate(fd, size)


@contextlib.contextmanager
def synced_folder(folder: str) -> Iterator[None]:
    """Sync a folder after its entries have changed; what can fail before that, fails first."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield
        os.fsync(fd)
    finally:
        os.close(fd)
