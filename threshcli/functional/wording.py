"""Errors in the words of Python: what the command line calls --at-least is at_least here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from threshcli.errors import ThreshError

_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)")
_SHORT = re.compile(r"(?<![\w-])-([oOnt])\b")
_LETTERS = {"o": "output", "O": "out_dir", "n": "dry_run", "t": "threshold"}
"""What messages call by one letter."""


@contextmanager
def in_python() -> Iterator[None]:
    """Errors from inside name arguments, not options."""
    try:
        yield
    except ThreshError as error:
        raise type(error)(_words(error.what) or "", hint=_words(error.hint), file=error.file) from error


def _words(text: str | None) -> str | None:
    if text is None:
        return None
    named = _OPTION.sub(lambda option: option[1].replace("-", "_"), text)
    return _SHORT.sub(lambda option: _LETTERS[option[1]], named)
