"""Temporary files: outputs in the making.

Where the system can (Linux), such a file has no name before it is complete, so that nothing is left of it however the
process ends. Elsewhere, and for the moment in which it takes another file's place, it has one. Who writes it holds a
lock then, which ends with the process: a file that nobody holds is a leftover, and the next run that makes one in its
folder removes it. On file systems without locks none is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat

from threshcli.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PROC = "/proc/self/fd" if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd") else None  # noqa: PTH112
"""Where files without a name can be found, to give them one."""
_NAME = re.compile(r"\.thresh-[0-9a-f]{16}\.tmp")
_UNFINISHED: set[str] = set()
_SWEPT: set[str] = set()
_PART = 1 << 20
_NEVER = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EINVAL)


class Temporary:
    """A new file in a folder ("" or a path that ends with a slash), open as `fd`."""

    def __init__(self, folder: str) -> None:
        self._folder, self._name = folder, ""
        self.fd = _nameless(folder or ".")
        while self.fd < 0:
            self.fd = self._named()

    def _named(self) -> int:
        """The file under a name, or -1 if a sweep was quicker than its lock."""
        self._take_name()
        try:
            fd = os.open(self._name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError:
            _UNFINISHED.discard(self._name)
            raise
        if hold(fd):
            return fd
        os.close(fd)
        return -1

    def _take_name(self) -> None:
        sweep(self._folder)
        self._name = f"{self._folder}.thresh-{os.urandom(8).hex()}.tmp"
        _UNFINISHED.add(self._name)

    def become(self, path: str, *, replace: bool) -> None:
        """Take a path for its name, in place of what is there if that is to be replaced; OutputError if it is not."""
        if replace:
            if not self._name:
                self._name_it()
            os.replace(self._name, path)  # noqa: PTH105 - paths by themselves cost a fifth of a small file's time
            return
        try:  # either fails where rename would overwrite a file that appeared meanwhile
            if self._name:
                os.link(self._name, path)
            else:
                _link(self.fd, path)
        except FileExistsError:
            raise OutputError("exists already", hint="use --overwrite to replace it") from None
        except OSError as error:  # no hard links on this file system
            if not self._name:
                self._copy(error)
            if os.path.lexists(path):
                raise OutputError("exists already", hint="use --overwrite to replace it") from None
            os.rename(self._name, path)  # noqa: PTH104 - as above

    def _name_it(self) -> None:
        """Give it a name of its own, beside the path that it is to take."""
        hold(self.fd)
        self._take_name()
        try:
            _link(self.fd, self._name)
        except OSError as error:
            _UNFINISHED.discard(self._name)
            self._copy(error)

    def _copy(self, error: OSError) -> None:
        """Become a copy of itself that has a name: some systems make files without one, and then give them none. Where
        the error says that, the files that follow have one from the beginning."""
        global _PROC  # noqa: PLW0603 - what the system can do is found out once a process
        before, made, place = self.fd, -1, 0
        kept = os.fstat(before)
        while made < 0:
            made = self._named()
        self.fd = made
        try:
            while part := os.pread(before, _PART, place):
                place += os.pwrite(made, part, place)
            if (kept.st_uid, kept.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(made, kept.st_uid, kept.st_gid)
            os.fchmod(made, stat.S_IMODE(kept.st_mode))
        finally:
            os.close(before)
        if error.errno in _NEVER:
            _PROC = None

    def discard(self) -> None:
        """Close it, and remove it if it has not become something."""
        os.close(self.fd)
        if self._name:
            with contextlib.suppress(OSError):
                os.unlink(self._name)  # noqa: PTH108 - as above
            _UNFINISHED.discard(self._name)


def _nameless(folder: str) -> int:
    """A new file in a folder that has no name yet, or -1 where the system has none of these, or could not name it."""
    if _PROC is None:
        return -1
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return -1
        raise


def _link(fd: int, path: str) -> None:
    """Give an open file without a name one."""
    os.link(f"{_PROC}/{fd}", path, src_dir_fd=fd, follow_symlinks=True)  # src_dir_fd makes it linkat


def disown() -> None:
    """What is unfinished is another process's, of which this one is a copy."""
    _UNFINISHED.clear()


def abandon() -> None:
    """Remove all that is unfinished; safe in a signal handler."""
    for path in list(_UNFINISHED):
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - a plain call: this runs in signal handlers


def hold(fd: int) -> bool:
    """Lock a file that was just made; False where a sweep was quicker."""
    if fcntl is not None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks on this file system: nobody will take it for a leftover
            pass
    return True


def sweep(folder: str) -> None:
    """Remove what killed processes left in a folder; once a process and folder."""
    if fcntl is None or folder in _SWEPT:
        return
    _SWEPT.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove(entry.path)


def _remove(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)  # noqa: PTH108 - as above
    finally:
        os.close(fd)
