"""A file, how it is made, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Make = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """A file of this name. It is refused in one line that has `said` in it; or (None) it is read, and its values are
    those that the format's own library reads. `fault` is what `check` has to say of one that is read."""

    name: str
    make: Make
    said: str | None = None
    fault: str | None = None
    heavy: bool = False
    """Whether it is to be read in a process of its own, with bounded memory."""

    def write(self, folder: Path) -> Path:
        """Make the file in a folder; in one within that, where its name says so."""
        path = folder / self.name
        path.parent.mkdir(exist_ok=True)
        self.make(path)
        return path

    def __str__(self) -> str:
        return self.name


def holding(content: bytes | Callable[[], bytes]) -> Make:
    """A file of these bytes."""
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content())


def repeated(start: bytes, part: bytes, times: int, end: bytes) -> bytes:
    """What a bomb is made of."""
    return start + part * times + end
