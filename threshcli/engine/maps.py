"""Map files while they are in use: opened once, checked once, closed at the end."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from threshcli import containers
from threshcli.engine.ledger import crc_of, require
from threshcli.errors import InputError, ThreshError
from threshcli.storage.local import Source
from threshcli.thresholds.base import Mapped


class MapSources:
    """The map files of one input; safe to use from all workers."""

    def __init__(self) -> None:
        self._open: dict[str, Source] = {}
        self._checked: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def open(self, bound: Mapped) -> Source:
        """The map's file; InputError, naming it, if it is damaged or not what was planned with."""
        with self._lock:
            try:
                return self._opened(bound)
            except ThreshError as error:
                error.located(bound.path)
                raise

    def _opened(self, bound: Mapped) -> Source:
        source = self._open.get(bound.path)
        if source is None:
            source = self._open[bound.path] = Source(bound.path)
            if source.fingerprint != bound.fingerprint:
                raise InputError("changed while it was read")
        if not bound.made and (bound.path, bound.view.offset) not in self._checked:
            self._checked.add((bound.path, bound.view.offset))
            _check(source, bound.view.offset)
        return source

    def check_unchanged(self) -> None:
        """InputError, naming it, if a map is not what it was when it was opened."""
        for path, source in self._open.items():
            try:
                source.check_unchanged()
            except InputError as error:
                error.located(path)
                raise

    def close(self) -> None:
        for source in self._open.values():
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check(source: Source, offset: int) -> None:
    """Compare the stored CRC-32, where the container has one, of the bytes that a map's elements lie in."""
    for region in containers.identify(source).read(source).regions:
        if region.offset <= offset < region.offset + region.size:
            require(region, crc_of(source.read, region))
