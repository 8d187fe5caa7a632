"""Texts that wait for their turn: in memory while they are few, else in a temporary file without a name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

from threshcli.errors import OutputError

_ROOM = 1 << 20  # bytes that are kept in memory


class Spool:
    """Texts in order, to be read again as often as is wanted."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[bytes] = []
        self._size = 0
        self._spilled = ExitStack()
        self._ends: list[int] = []  # in the file, of what was put there at once

    def add(self, text: str) -> None:
        raw = text.encode("utf-8", "surrogatepass")  # names that are not UTF-8 have lone surrogates
        self.count += 1
        self._waiting += (len(raw).to_bytes(4, "little"), raw)
        self._size += len(raw) + 4
        if self._size >= _ROOM:
            self._spill()

    def _spill(self) -> None:
        start = self._ends[-1] if self._ends else 0
        try:
            if not self._ends:
                import tempfile  # which most calls can do without

                copy = tempfile.TemporaryFile(prefix="thresh-")  # noqa: SIM115 - open until `close`
                self._file = self._spilled.enter_context(copy)
            self._file.seek(start)
            self._file.writelines(self._waiting)
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"the report has no room to wait for its end: {error.strerror}",
                hint="free some space, or let TMPDIR name another folder; --report ndjson does not wait",
            ) from error
        self._ends.append(start + self._size)
        self._waiting.clear()
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        for first, last in pairwise((0, *self._ends)):
            self._file.seek(first)
            block, at = self._file.read(last - first), 0
            while at < len(block):
                end = at + 4 + int.from_bytes(block[at : at + 4], "little")
                yield block[at + 4 : end].decode("utf-8", "surrogatepass")
                at = end
        for raw in self._waiting[1::2]:
            yield raw.decode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Let go of what was kept."""
        self._waiting.clear()
        self._spilled.close()
