"""Files on disk: inputs read by offset, outputs that are complete or absent.

Inputs are never mapped: a mapped file that someone truncates kills the process. An output is written to a temporary
file in its target's folder, preallocated so that a full disk is told before work starts, and takes the target's name as
its last step. `abandon` removes what is unfinished; a signal handler may call it at any moment.
"""

from __future__ import annotations

import contextlib
import os
import stat
from types import TracebackType
from typing import Self

from threshcli.errors import InputError, OutputError, ThreshError
from threshcli.storage._temporary import Temporary
from threshcli.storage._writing import InTurn, Writing, allocate, synced_folder
from threshcli.storage.spool import STDIN, Reach, everything, spooled, standard_input


class Source:
    """An input file, open for reading; pipes and `-` are copied to an unnamed temporary file first, up to where `reach`
    wants no more of them."""

    def __init__(self, name: str, reach: Reach = everything) -> None:
        self.name = name
        with _READING:
            self._fd, self.path = _open(name, reach)
            self._stat = os.fstat(self._fd)
        self.size = self._stat.st_size
        self._held: bytes | None = None

    def hold(self) -> None:
        """Read all of it at once: what is asked for later comes from memory."""
        if self._held is None:
            self._held = self.read(0, self.size)

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode: the same for all names of a file."""
        return self._stat.st_dev, self._stat.st_ino

    @property
    def fingerprint(self) -> tuple[int, ...]:
        """What changes when the file does."""
        return (*self.identity, self._stat.st_size, self._stat.st_mtime_ns)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly so many bytes; InputError where the file ends earlier."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise InputError(
                f"is truncated: it ends at byte {self.size:,}, but {size:,} bytes are needed from byte {offset:,}",
                hint="copy or download it again",
            )
        if self._held is not None:
            return self._held[offset : offset + size]
        parts = []
        while size:
            with _READING:
                part = os.pread(self._fd, size, offset)
            if not part:
                raise InputError("was truncated while it was read")
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the bytes from `offset`; InputError where the file ends earlier."""
        if self._held is not None:
            buffer[:] = self.read(offset, len(buffer))
            return
        while len(buffer):
            with _READING:
                count = os.preadv(self._fd, (buffer,), offset)
            if not count:
                raise InputError("was truncated while it was read")
            buffer, offset = buffer[count:], offset + count

    def check_unchanged(self) -> None:
        """InputError if the file is not what it was when it was opened."""
        with _READING:
            now = os.fstat(self._fd)
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise InputError("changed while it was read", hint="run the command again when nothing writes to it")

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Reading:
    """What goes wrong while reading, in our own words (a class, since this wraps every read)."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, FileNotFoundError):
            hint = "check the path; quote patterns that the shell should not expand"
            raise InputError("no such file", hint=hint) from None
        if isinstance(error, OSError) and not isinstance(error, ThreshError):
            raise InputError(f"cannot be read: {error.strerror}") from error
        if isinstance(error, ValueError) and not isinstance(error, InputError):  # NUL, or what is no text
            raise InputError("no such file: no file can have this name") from error


_READING = _Reading()


def _open(name: str, reach: Reach) -> tuple[int, str]:
    """A descriptor of a regular file, and a path under which foreign parsers find the same file."""
    if name in STDIN:
        return standard_input(reach)
    mode = os.stat(name).st_mode  # noqa: PTH116 - a path object for each of many small files is a fifth of their time
    if stat.S_ISFIFO(mode):
        pipe = os.open(name, os.O_RDONLY)
        try:
            return spooled(pipe, reach)
        finally:
            os.close(pipe)
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        if stat.S_ISDIR(mode):
            os.close(os.open(name, os.O_RDONLY))  # one that may not be read says so
        raise InputError(f"is {kind}", hint="name the files in it" if stat.S_ISDIR(mode) else None)
    return os.open(name, os.O_RDONLY | os.O_CLOEXEC), name


def resolve(path: str) -> str:
    """The path that an output is written to: through symbolic links, to their target."""
    return os.path.realpath(path) if os.path.islink(path) else path  # noqa: PTH114 - as in `_open`


def is_free(path: str) -> bool:
    """Whether nothing is at an output's path, not even a link."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return False


def check_folder(path: str) -> None:
    """OutputError, the one that writing would raise, where an output has no folder."""
    with Writing(path):
        os.stat(os.path.dirname(path) or ".")  # noqa: PTH116, PTH120 - as in `_open`


def existing(path: str) -> os.stat_result | None:
    """What lies at an output's path, or None; OutputError if it is nothing that can be replaced."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as in `_open`
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        if stat.S_ISDIR(found.st_mode):
            raise OutputError("is a folder", hint="name a file in it")
        raise OutputError("is not a regular file")
    return found


def _own(fd: int, old: os.stat_result) -> None:
    """Give a file the owner and the mode of the one that it replaces; without the owner, not what that lends others."""
    now, mode = os.fstat(fd), stat.S_IMODE(old.st_mode)
    if (now.st_uid, now.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(fd, old.st_uid, old.st_gid)
        except OSError:
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
    os.fchmod(fd, mode)


class Target:
    """An output in the making: written by offset into a temporary file, named by `commit`, gone by `discard`.

    One that is `held` is kept in memory up to `commit`, and written by one call: for small ones, which a single process
    makes."""

    def __init__(self, path: str, size: int, *, replace: bool, fsync: bool, held: bool = False) -> None:
        self.path = path
        self._replace, self._fsync = replace, fsync
        self._writing = self._turn = Writing(path)
        self._folder = path[: path.rfind("/") + 1]
        self._file: Temporary | None = None
        self._held = bytearray(size) if held else None
        if not held:
            self._make(size)

    def _make(self, size: int) -> Temporary:
        """Make the temporary file, of so many bytes."""
        with self._writing:
            self._file = Temporary(self._folder)
        try:
            old = existing(self.path) if self._replace else None
            with self._writing:
                if old is not None:
                    _own(self._file.fd, old)
                if size:
                    allocate(self._file.fd, size)
        except BaseException:
            self.discard()
            raise
        return self._file

    def take_turns(self) -> None:
        """Several processes are going to write: they take turns, where the system has what it needs for that."""
        with contextlib.suppress(OSError):
            self._turn = InTurn(self.path)

    def _open(self) -> Temporary:
        if self._file is None:
            raise ValueError("the output was committed or discarded")
        return self._file

    def write(self, offset: int, data: memoryview | bytes) -> None:
        """Write all of it at an offset."""
        if self._held is not None:
            self._held[offset : offset + len(data)] = data
            return
        fd, rest = self._open().fd, memoryview(data)
        while len(rest):
            with self._turn:
                count = os.pwrite(fd, rest, offset)
            rest, offset = rest[count:], offset + count

    def read(self, offset: int, size: int) -> bytes:
        """Bytes written before."""
        if self._held is not None:
            return bytes(self._held[offset : offset + size])
        with self._writing:
            return os.pread(self._open().fd, size, offset)

    def commit(self) -> None:
        """Give the output its name; synced to disk if asked for."""
        try:
            if self._held is not None:
                self._make(0)
                data, self._held = self._held, None
                self.write(0, memoryview(data))
            made = self._open()
            with self._writing:
                if not self._fsync:
                    made.become(self.path, replace=self._replace)
                    return
                with synced_folder(self._folder or "."):
                    os.fsync(made.fd)
                    made.become(self.path, replace=self._replace)
        finally:
            self.discard()

    def discard(self) -> None:
        """Close, and remove the temporary file if it is still there."""
        self._held = None
        made, self._file = self._file, None
        turn, self._turn = self._turn, self._writing
        turn.close()
        if made is not None:
            made.discard()
