"""A file with packed tensors as one without: their elements seem to lie behind its end."""

from __future__ import annotations

from bisect import bisect_right

from threshcli.packings.base import Folded
from threshcli.storage.local import Source


class Unfolded:
    """An input whose packed tensors are unpacked where they are read; each is checked before the first is."""

    def __init__(self, source: Source, folded: tuple[tuple[int, Folded], ...]) -> None:
        self._source, self._folded = source, [item for _, item in folded]
        self._starts = [start for start, _ in folded]
        for item in self._folded:
            item.check(source)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the bytes from `offset`, which are the file's or those of elements of one tensor."""
        if offset < self._source.size:
            self._source.read_into(offset, buffer)
            return
        place = bisect_right(self._starts, offset) - 1
        item, first = self._folded[place], offset - self._starts[place]
        itemsize = item.dtype.itemsize
        start, count = first // itemsize, len(buffer) // itemsize
        buffer[:] = item.elements(self._source, start, start + count)

    def hold(self) -> None:
        """Read all of the file at once."""
        self._source.hold()

    def check_unchanged(self) -> None:
        """InputError if the file is not what it was when it was opened."""
        self._source.check_unchanged()
