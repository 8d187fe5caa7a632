"""Every error that thresh raises on purpose; the class owns the exit status of the command line.

An error says what happened, what was expected and, as a hint, what to do. Whoever raises it speaks of the
thing at hand (a tensor, an option); the file it happened in is added once, at the edge, by `located`.
Each class also inherits the builtin that a caller of the library would expect.
"""

from __future__ import annotations

from typing import ClassVar


class ThreshError(Exception):
    """Base of all of them: `what` happened, in which `file`, and a `hint` at what to do."""

    exit_code: ClassVar[int] = 70

    def __init__(self, what: str, *, hint: str | None = None, file: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.file = file

    def located(self, file: str) -> None:
        """Say it of `file` unless it already names one. It is raised again as it is: an error raised from itself is
        a cycle, and keeps all that the frames below it had in hand."""
        if self.file is None:
            self.file = file

    def __str__(self) -> str:
        return self.what if self.file is None else f"{self.file}: {self.what}"


class ConditionFalse(ThreshError):
    """A condition that the user asked to hold does not hold (exit status 1)."""

    exit_code = 1


class UsageError(ThreshError, ValueError):
    """The command, an option or a threshold cannot be meant as it stands (exit status 2)."""

    exit_code = 2


class SomeFailed(ThreshError):
    """Some inputs of several failed, the rest is done (exit status 3)."""

    exit_code = 3


class InputError(ThreshError, ValueError):
    """An input cannot be read, is unsafe or damaged (exit status 4)."""

    exit_code = 4


class OutputError(ThreshError, OSError):
    """An output exists already or cannot be written (exit status 5)."""

    exit_code = 5

    def __str__(self) -> str:  # OSError has a text of its own
        return ThreshError.__str__(self)


class DeviceError(ThreshError, RuntimeError):
    """The device is missing, or the memory does not suffice (exit status 6)."""

    exit_code = 6


def out_of_memory() -> DeviceError:
    """The error where the memory does not suffice."""
    return DeviceError("the memory does not suffice", hint="use fewer --jobs or less --max-memory")


class InternalError(ThreshError):
    """A fault of thresh itself (exit status 70)."""
