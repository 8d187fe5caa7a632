"""Which tensors of a file are worked on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from threshcli.errors import UsageError
from threshcli.near import near_names
from threshcli.plan.patience import fits, patience

SOME_NAMES = 1000
"""Of the tensors of many files, to say what there is."""


class Selection(NamedTuple):
    """Shell patterns over tensor names: those to take (all, without any) and those to leave out; and regular
    expressions for whole names that are to be taken, too."""

    keep: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    regex: tuple[re.Pattern[str], ...] = ()

    @property
    def has_patterns(self) -> bool:
        """Whether there is a pattern that might match nothing."""
        return bool(self.keep or self.exclude or self.regex)

    def chosen(self, name: str) -> bool:
        """Whether a tensor of this name is taken."""
        kept = not (self.keep or self.regex) or any(fnmatchcase(name, pattern) for pattern in self.keep)
        kept = kept or any(fits(pattern, name) for pattern in self.regex)
        return kept and not any(fnmatchcase(name, pattern) for pattern in self.exclude)

    def idle(self, names: Sequence[str]) -> list[str]:
        """The patterns that match none of these names."""
        globs = (*self.keep, *self.exclude)
        idle = [pattern for pattern in globs if not any(fnmatchcase(name, pattern) for name in names)]
        with patience(len(self.regex) * len(names)):
            return idle + [item.pattern for item in self.regex if not any(fits(item, name) for name in names)]

    def left_by(self, names: Sequence[str]) -> Selection:
        """The patterns that match none of these names."""
        idle = set(self.idle(names))
        return Selection(
            tuple(pattern for pattern in self.keep if pattern in idle),
            tuple(pattern for pattern in self.exclude if pattern in idle),
            tuple(item for item in self.regex if item.pattern in idle),
        )

    def check(self, names: Sequence[str]) -> None:
        """UsageError, with near names, if a pattern matches none."""
        idle = self.idle(names)
        if idle:
            known = set(names)
            near = near_names(idle[0], known, cutoff=0.4)
            held = ", ".join(repr(name) for name in near) or "no tensors at all"
            more = f" and {len(known) - len(near)} more" if len(known) > len(near) else ""
            raise UsageError(
                f"no tensor matches {idle[0]!r}; there is {held}{more}", hint="list the names with: thresh info FILE"
            )


class Sought:
    """Patterns that are looked for in one file after the other, and some names of tensors, to say what there is."""

    def __init__(self, selection: Selection) -> None:
        self.left, self._some = selection, list[str]()

    def among(self, names: Sequence[str]) -> None:
        """Look among the names of one more file."""
        if self.left.has_patterns:
            self.left = self.left.left_by(names)
            self._some += names[: SOME_NAMES - len(self._some)]

    def check(self) -> None:
        """UsageError, with near names, if there is a pattern that matched none."""
        self.left.check(self._some)
