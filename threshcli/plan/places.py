"""Where paths lead, and whether several lead to one place, in little memory however many there are."""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise


class Places:
    """Where paths lead. A folder is resolved once, whatever the number of files in it."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: str) -> str:
        """The path by which all spellings of it are known: links to the file stay what they are."""
        folder, _, name = path.rpartition("/")
        if not folder or folder[-1] == "/":
            folder, name = os.path.split(path)
        if name in ("", ".", ".."):
            return os.path.realpath(path)
        real = self._folders.get(folder)
        if real is None:
            real = self._folders[folder] = os.path.join(os.path.realpath(folder), "")
        return real + name

    def target(self, path: str) -> tuple[str, bool]:
        """The same, through links to the file, and whether anything is there."""
        place = self.of(path)
        try:
            found = os.lstat(place)
        except (OSError, ValueError):
            return place, False
        return (os.path.realpath(place), os.path.exists(place)) if stat.S_ISLNK(found.st_mode) else (place, True)


class Marks:
    """Eight bytes of each of many texts. A text that is not found by them was not among these; one that is found has to
    be looked for among the texts themselves, since two may have the same eight bytes."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._found = array("q", map(hash, texts))
        self._sorted = False

    def add(self, text: str) -> None:
        self._found.append(hash(text))
        self._sorted = False

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, text: object) -> bool:
        mark, found = hash(text), self._in_order()
        at = bisect_left(found, mark)
        return at < len(found) and found[at] == mark

    @property
    def repeat(self) -> bool:
        """Whether two of the texts may be the same."""
        return any(first == second for first, second in pairwise(self._in_order()))

    def _in_order(self) -> array[int]:
        if not self._sorted:
            self._found, self._sorted = array("q", sorted(self._found)), True
        return self._found
