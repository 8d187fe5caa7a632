"""JSON as it is written: a document, indented, in pieces, so that the whole of it need not be in memory; or a line.

What JSON has no word for is written as text, numbers that are not finite as "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain

from threshcli.report.sheets import Buffered
from threshcli.report.spool import Spool
from threshcli.report.terminal import valid

_STEP = "  "


class Items:
    """An array right in a document, of which the items are written before it is known what stands ahead of it: as text
    they wait in a spool."""

    indent = 2 * _STEP
    """Of the items."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._between = "["

    def add(self, texts: Iterable[str]) -> None:
        """One more item, in pieces."""
        Buffered(self._spool.add).all(chain((f"{self._between}\n{self.indent}",), texts))
        self._between = ","

    def __iter__(self) -> Iterator[str]:
        yield from self._spool
        yield "[]" if self._between == "[" else f"\n{_STEP}]"

    def close(self) -> None:
        self._spool.close()


def document(value: Mapping[str, object]) -> Iterator[str]:
    """An object, indented, with a newline at the end. What is an iterator in it is an array; what it holds is asked for
    one by one, as it is written, and may hold such arrays itself."""
    yield from pieces(value)
    yield "\n"


def pieces(value: object, indent: str = "") -> Iterator[str]:
    """A value as it stands where the lines are indented so far."""
    if isinstance(value, Items):
        return iter(value)
    inner = indent + _STEP
    if isinstance(value, Iterator):
        return _several("[]", (pieces(item, inner) for item in value), indent)
    if isinstance(value, Mapping) and any(isinstance(item, (Iterator, Items)) for item in value.values()):
        items = (chain((_key(key),), pieces(item, inner)) for key, item in value.items())
        return _several("{}", items, indent)
    return iter((text(value, indent),))


def _several(brackets: str, items: Iterable[Iterable[str]], indent: str) -> Iterator[str]:
    before = brackets[0]
    for item in items:
        yield f"{before}\n{indent}{_STEP}"
        yield from item
        before = ","
    yield brackets if before != "," else f"\n{indent}{brackets[1]}"


def text(value: object, indent: str = "") -> str:
    """The same of a value that holds no iterators, in one piece."""
    if value is None or isinstance(value, (str, int, float)):
        return json.dumps(_plain(value))
    inner = indent + _STEP
    if isinstance(value, Mapping):
        return _enclosed("{}", [_key(key) + text(item, inner) for key, item in value.items()], indent)
    if isinstance(value, (list, tuple)):
        return _enclosed("[]", [text(item, inner) for item in value], indent)
    return json.dumps(_plain(value))


def _enclosed(brackets: str, items: list[str], indent: str) -> str:
    if not items:
        return brackets
    between = f"\n{indent}{_STEP}"
    return f"{brackets[0]}{between}{f',{between}'.join(items)}\n{indent}{brackets[1]}"


@lru_cache(maxsize=256)
def _key(key: object) -> str:
    """A key of an object: most of a document's are those of many others."""
    return f"{json.dumps(valid(str(key)))}: "


def line(value: Mapping[str, object]) -> str:
    """An object on one line, with a newline at the end."""
    return json.dumps(_plain(value), allow_nan=False) + "\n"


def line_in_pieces(value: Mapping[str, object]) -> Iterator[str]:
    """The same of an object of which a value may be an iterator: an array, of which the items are asked for one by
    one."""
    before = "{"
    for key, item in value.items():
        yield before + _key(key)
        if isinstance(item, Iterator):
            yield "["
            for number, one in enumerate(item):
                yield (", " if number else "") + json.dumps(_plain(one), allow_nan=False)
            yield "]"
        else:
            yield json.dumps(_plain(item), allow_nan=False)
        before = ", "
    yield "}\n"


def _plain(value: object) -> object:
    """`value` in JSON's own terms."""
    match value:
        case None | bool():
            return value
        case str():
            return valid(value)
        case int():
            return int(value)
        case float():
            if math.isfinite(value):
                return float(value)
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case Mapping():
            return {valid(str(key)): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return valid(str(value))
