"""The index file of a sharded checkpoint: which tensor is in which shard.

It is JSON beside the shards, as the libraries of Hugging Face write it (`model.safetensors.index.json`,
`pytorch_model.bin.index.json`): `{"metadata": {"total_size": BYTES, ...}, "weight_map": {TENSOR: SHARD, ...}}`. Shards
are plain names of files in the index's own folder; anything that would lead out of it is refused.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any, NamedTuple

from threshcli.containers.base import Contents
from threshcli.errors import InputError, ThreshError
from threshcli.storage import local
from threshcli.storage.spool import up_to

_LONGEST, _MOST_NAMES = 1 << 25, 1 << 18
_MOST_MISSING = 20  # shards that are told one by one, and the others looked at
_TOTAL = re.compile(rb'"total_size"(\s*:\s*)[-+.0-9eE]+')
_HINT = 'an index is {"metadata": {...}, "weight_map": {TENSOR: SHARD}}'
_COPY_AGAIN = "copy or download the checkpoint again"


def is_index(path: str) -> bool:
    """Whether an input is meant as an index: no tensor file is JSON."""
    return path.lower().endswith(".json")


@dataclass(frozen=True)
class Index:
    """An index as it was read."""

    path: str
    text: bytes
    document: Mapping[str, Any]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What it says besides, if it says that in an object."""
        found = self.document.get("metadata")
        return found if isinstance(found, dict) else {}

    @cached_property
    def listed(self) -> dict[str, list[str]]:
        """The names of tensors by shard, the shards in the order of their names."""
        found: dict[str, list[str]] = {}
        for name, shard in self.document["weight_map"].items():
            found.setdefault(shard, []).append(name)
        return dict(sorted(found.items()))

    @property
    def shards(self) -> list[str]:
        """The paths of the shards."""
        return self.beside(self.path)

    def beside(self, path: str) -> list[str]:
        """The paths of the shards beside an index at `path`."""
        folder = str(PurePath(path).parent)
        return [name if folder == "." else f"{folder}{os.sep}{name}" for name in self.listed]

    def renamed(self, names: Mapping[str, Sequence[str]], total: int) -> bytes:
        """Its text with the names of other tensors by shard, in their order or, if that is how they were, sorted; and
        with another `total_size`, if it has one. The same text where all of that is the same."""
        weights = {name: shard for shard, owned in names.items() for name in owned}
        old = self.document["weight_map"]
        if list(old) == sorted(old):
            weights = dict(sorted(weights.items()))
        text = self.resized(total)
        if weights == old:
            return text
        wanted = {**json.loads(text), "weight_map": weights}
        return _text(wanted, is_ascii=self.text.isascii())

    def resized(self, total: int) -> bytes:
        """Its text with another `total_size`, if it has one; nothing else of it changes."""
        old = self.metadata.get("total_size")
        if isinstance(old, bool) or not isinstance(old, int | float) or old == total:
            return self.text
        wanted = {**self.document, "metadata": {**self.metadata, "total_size": total}}
        for match in [match for match, _ in zip(_TOTAL.finditer(self.text), range(8), strict=False)]:
            number = b'"total_size"' + match[1] + b"%d" % total
            text = self.text[: match.start()] + number + self.text[match.end() :]
            if json.loads(text) == wanted:
                return text
        return _text(wanted, is_ascii=False)


def read_index(path: str) -> Index:
    """The index at `path`, whose shards need not be there; InputError, naming it, if it cannot be trusted."""
    try:
        with local.Source(path, up_to(_LONGEST)) as source:
            if source.size > _LONGEST:
                raise InputError(f"is too long for an index: {source.size:,} bytes", hint=_HINT)
            text = bytes(source.read(0, source.size))
        parts, nested = max(text.count(b":"), text.count(b",")), text.count(b"[") + text.count(b"{")
        if parts > 4 * _MOST_NAMES or nested > _MOST_NAMES:
            raise InputError(f"is no sound index: it has more parts than {_MOST_NAMES:,} tensors need", hint=_HINT)
        index = Index(path, text, _document(text))
        _check_names(index)
    except ThreshError as error:
        error.located(path)
        raise
    return index


def members(path: str) -> list[str]:
    """The files that an input stands for, in order: itself, after all shards if it is an index. One that cannot be read
    stands for itself alone, and is told of when its turn comes."""
    if not is_index(path):
        return [path]
    try:
        return [*read_index(path).shards, path]
    except ThreshError:
        return [path]


def _text(document: Mapping[str, Any], *, is_ascii: bool) -> bytes:
    """An index written anew; in ASCII if that is wanted, or if it has half a character somewhere, as JSON can."""
    try:
        return json.dumps(document, indent=2, ensure_ascii=is_ascii).encode() + b"\n"
    except UnicodeEncodeError:
        return _text(document, is_ascii=True)


def _document(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, ThreshError):
            raise
        raise InputError(f"is not JSON: {error}", hint=_HINT) from error
    weights = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(weights, dict):
        raise InputError("is not the index of a sharded checkpoint: it has no weight_map", hint=_HINT)
    if not weights:
        raise InputError("names no shards: its weight_map is empty", hint=_COPY_AGAIN)
    strange = next((name for name, shard in weights.items() if not isinstance(shard, str)), None)
    if strange is not None:
        raise InputError(f"names no file for tensor {strange!r}", hint=_HINT)
    return dict(found)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise InputError(f"is no sound index: {twice!r} stands in it twice", hint=_COPY_AGAIN)
    return found


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _check_names(index: Index) -> None:
    """InputError unless each shard is a plain name, of a file that is in the index's folder (or of none)."""
    folder = os.path.realpath(PurePath(index.path).parent)
    missing = []
    for name, path in zip(index.listed, index.shards, strict=True):
        plain = name not in ("", ".", "..") and not any(mark in name for mark in "/\\\0") and _is_valid(name)
        if not plain or is_index(name):
            raise InputError(
                f"names a shard {name!r}, which is no plain name of a tensor file beside it",
                hint="shards have to lie in the index's own folder",
            )
        if os.path.islink(path) and os.path.dirname(os.path.realpath(path)) != folder:
            raise InputError(
                f"its shard {name!r} is a link that leads out of its folder",
                hint="copy the checkpoint with cp -L, or name the shards themselves",
            )
        mode = _mode(path)
        if mode is None:
            missing.append(name)
        elif stat.S_ISFIFO(mode):  # to look at it is to wait, and a shard is looked at more than once
            raise InputError(f"its shard {name!r} is a pipe, which is no file of a checkpoint", hint=_COPY_AGAIN)
    if len(missing) > _MOST_MISSING:
        first = ", ".join(map(repr, missing[:3]))
        what = f"lacks {len(missing):,} of its {len(index.listed):,} shards: {first} and {len(missing) - 3:,} more"
        raise InputError(what, hint=_COPY_AGAIN)


def _mode(path: str) -> int | None:
    """What kind of file there is at a path, or at the end of a link; None for none."""
    try:
        return os.stat(path).st_mode
    except OSError:
        return None


def _is_valid(name: str) -> bool:
    """Whether the system can have a file of this name."""
    try:
        return len(os.fsencode(name)) <= 255
    except UnicodeEncodeError:
        return False


class Shard(NamedTuple):
    """A shard of an index: its name, and the names that its tensors stand under."""

    name: str
    names: Sequence[str]

    @classmethod
    def of(cls, name: str, contents: Contents) -> Shard:
        """That of a file."""
        return cls(name, [*(tensor.name for tensor in contents.tensors), *(name for name, _ in contents.tied)])


class Roll:
    """The tensors that the shards of an index hold, called shard by shard."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._owners: dict[str, str] = {}
        self._unlisted: list[str] = []

    def call(self, shard: Shard) -> None:
        """InputError where a shard lacks what the index lists, or has what another has, too."""
        listed = self._index.listed[shard.name]
        missing = sorted(set(listed) - set(shard.names))
        if missing:
            more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
            raise InputError(
                f"lists tensor {missing[0]!r}{more} in {shard.name!r}, which does not have it", hint=_COPY_AGAIN
            )
        for name in shard.names:
            other = self._owners.setdefault(name, shard.name)
            if other != shard.name:
                raise InputError(f"tensor {name!r} is in two shards, {other!r} and {shard.name!r}", hint=_COPY_AGAIN)
        self._unlisted += sorted(set(shard.names) - set(listed))

    def notes(self) -> Iterator[str]:
        """What is to be said of all shards: which tensors the index does not list."""
        if self._unlisted:
            count, first = len(self._unlisted), self._unlisted[0]
            which = f"tensor {first!r} is" if count == 1 else f"{count:,} tensors, {first!r} the first, are"
            yield f"{which} in a shard, and not listed in the index"
