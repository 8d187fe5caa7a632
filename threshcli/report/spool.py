"""Texts that wait for their turn: in memory while they are few, else in a temporary file without a name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from threshcli.errors import OutputError

_ROOM = 1 << 20  # bytes that are kept in memory


class Spool:
    """Texts in order, to be read again as often as is wanted."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: list[bytes] = []
        self._size = 0
        self._spilled = ExitStack()
        self._sizes = 0

    def add(self, text: str) -> None:
        raw = text.encode("utf-8", "surrogatepass")  # names that are not UTF-8 have lone surrogates
        self.count += 1
        self._waiting += (len(raw).to_bytes(4, "little"), raw)
        self._size += len(raw) + 4
        if self._size >= _ROOM:
            self._spill()

    def _spill(self) -> None:
        try:
            if not self._sizes:
                import tempfile  # which most calls can do without

                copy = tempfile.TemporaryFile(prefix="thresh-")  # noqa: SIM115 - open until `close`
                self._file = self._spilled.enter_context(copy)
            self._file.seek(self._sizes)
            self._file.writelines(self._waiting)
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"the report has no room to wait for its end: {error.strerror}",
                hint="free some space, or let TMPDIR name another folder; --report ndjson does not wait",
            ) from error
        self._sizes += self._size
        self._waiting.clear()
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        at = 0
        while at < self._sizes:
            self._file.seek(at)
            size = int.from_bytes(self._file.read(4), "little")
            yield self._file.read(size).decode("utf-8", "surrogatepass")
            at += 4 + size
        for raw in self._waiting[1::2]:
            yield raw.decode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Let go of what was kept."""
        self._waiting.clear()
        self._spilled.close()
