"""Which files a call is about: arguments, folders, lists and shards, settled before any work.

An argument is a file, a folder that stands for the tensor files in it, or `-`. Names come as the system has them, bytes
that are no text included. What is in a folder comes in the order of its names' bytes, folder by folder, whatever the
file system says; links to files are followed, links to folders where they are arguments, so that no loop is endless.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeVar

from threshcli import containers
from threshcli.errors import InputError, UsageError
from threshcli.plan.index import is_index, members
from threshcli.plan.places import Marks, Places
from threshcli.storage.spool import STDIN

_ODD = re.compile(r"(^|/)[./]|/$")  # where a path may have steps that are none, or lead elsewhere
_LONGEST_NAME = 1 << 16
_CHUNK = 1 << 16
_SHARD = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)
_T = TypeVar("_T")


class Input(NamedTuple):
    """One input: its path, and the path below the folder that it was found in. Of a plain argument that is the path
    itself, without what would lead out of another folder."""

    path: str
    rel: str


class Files:
    """Inputs in order. Of each there is its path and how much of that leads to the folder that it was found in: those
    of a batch are many."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self.paths = list(paths)
        self._below = array("l", bytes(array("l").itemsize * len(self.paths)))

    def add(self, path: str, below: int = 0) -> None:
        """One more: a plain argument, or what is in a folder whose name takes so many characters of its path."""
        self.paths.append(path)
        self._below.append(below)

    def sort(self, places: Places) -> None:
        """Put them into the order of their places."""
        order = sorted(range(len(self)), key=lambda number: os.fsencode(places.of(self.paths[number])))
        self.paths = [self.paths[number] for number in order]
        self._below = array("l", [self._below[number] for number in order])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> Input:
        path, below = self.paths[at], self._below[at]
        return Input(path, path[below:] if below else confined(path))

    def __iter__(self) -> Iterator[Input]:
        return map(self.__getitem__, range(len(self)))


class Shard(NamedTuple):
    """Which share of the inputs is meant: every `shares`-th from the `number`-th, in the order of their places."""

    number: int
    shares: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read I/N, I from 0; raises UsageError."""
        match = _SHARD.fullmatch(text.strip())
        if match is None or not int(match[1]) < int(match[2]):
            raise UsageError(f"--shard {text!r} is not a share", hint="write I/N, I from 0: 0/3, 1/3 and 2/3")
        return cls(int(match[1]), int(match[2]))


class Inputs(NamedTuple):
    """All inputs that are meant, each once, and which share of them is this call's."""

    files: Files
    shard: Shard | None = None

    @property
    def is_part(self) -> bool:
        """Whether other calls have other shares."""
        return self.shard is not None

    @property
    def paths(self) -> list[str]:
        """The paths of this call's own share."""
        return list(self.share(self.files.paths))

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """This call's share of something that there is for each input."""
        return items if self.shard is None else items[self.shard.number :: self.shard.shares]

    def check_scope(self, scope: str) -> None:
        """UsageError where a threshold would be that of a share and is meant to be that of all."""
        if self.is_part and scope == "global":
            raise UsageError(
                "--scope global and --shard exclude each other: each share would have a threshold of its own",
                hint="work it out once, over all files: thresh solve --scope global --json; then -t @REPORT.json",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which files of a folder are meant: in the folders within it as well (`recursive`); those whose names match one of
    `patterns`, or (without any) have the extension of a container. What is hidden is left out, and so is the folder
    `besides`, where outputs go."""

    recursive: bool = False
    patterns: Sequence[str] = ()
    besides: str | None = None

    def within(self, folder: str) -> Iterator[str]:
        """The files of a folder, in order. A folder that cannot be listed stands for itself, to fail in its turn."""
        start = len(os.path.join(folder, ""))
        folders, waiting = {folder}, [folder]
        while waiting:
            path = waiting.pop()
            if path not in folders:
                yield path
                continue
            folders.remove(path)
            try:
                waiting += reversed(self._listed(path, start, folders))
            except OSError:
                yield path

    def _listed(self, folder: str, start: int, folders: set[str]) -> list[str]:
        """What of a folder's own entries is meant, sorted; those that are `folders` are put with them."""
        found = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if self.recursive and not self._is_besides(entry):
                        folders.add(entry.path)
                        found.append(entry.path)
                elif self._matches(entry, start) and _is_file(entry):
                    found.append(entry.path)
        return sorted(found, key=os.fsencode)

    def _matches(self, entry: os.DirEntry[str], start: int) -> bool:
        """Patterns with a / in them are for the path below the folder, others for the name."""
        if not self.patterns:
            return entry.name.lower().endswith(_extensions())
        rel = entry.path[start:]
        return any(fnmatchcase(rel if "/" in pattern else entry.name, pattern) for pattern in self.patterns)

    def _is_besides(self, entry: os.DirEntry[str]) -> bool:
        if self.besides is None:
            return False
        try:
            return os.path.samestat(entry.stat(), os.stat(self.besides))
        except OSError:
            return False


def _extensions() -> tuple[str, ...]:
    return tuple(extension for container in containers.registered().values() for extension in container.extensions)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to one, or to nothing (which is told when its turn comes)."""
    return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))


def gather(names: Iterable[str], search: Search | None = None, shard: Shard | None = None) -> Inputs:
    """The inputs that arguments stand for. UsageError where there are none (of a share there may be), and where a file
    is named twice."""
    search = search or Search()
    found, folder = Files(), None
    for name in names:
        if os.path.isdir(name):
            folder, below = name, len(os.path.join(name, ""))
            for path in search.within(name):
                found.add(path, below)
        else:
            found.add(name)
    if search.patterns and folder is None and found:
        raise UsageError("--glob chooses files in folders, and no folder is given", hint="name a folder")
    if not found and shard is None:
        raise _nothing(search, folder)
    places = Places()
    if shard is not None:
        found.sort(places)
    _check_once(found.paths, places)
    return Inputs(found, shard)


def confined(path: str) -> str:
    """A path as it may be kept below another folder: without a leading / and without .., as `tar` has it."""
    if path in STDIN:
        return "stdin"
    if "/" not in path or not _ODD.search(path):
        return path
    return "/".join(step for step in os.path.normpath(path).split("/") if step not in ("", ".."))


def _nothing(search: Search, folder: str | None) -> UsageError:
    if folder is None:
        return UsageError("no input files", hint="name FILE, a folder, or --files-from LIST")
    wanted = " ".join(search.patterns or _extensions())
    hint = "--glob PATTERN takes other names" if search.recursive else "--recursive looks into its folders, too"
    return UsageError(f"{folder} holds no files of these names: {wanted}", hint=hint)


def _check_once(paths: Sequence[str], places: Places) -> None:
    indexes = [path for path in paths if is_index(path)]
    if not indexes and not Marks(map(places.of, paths)).repeat:
        return
    known: dict[str, str] = {}
    for path in paths:
        place = places.of(path)
        if place in known:
            raise UsageError(f"{known[place]} and {path} are the same file", hint="name each file once")
        known[place] = path
    for index in indexes:
        for shard in members(index)[:-1]:
            other = known.setdefault(places.of(shard), index)
            if other != index:
                what = f"{other} holds {shard}, too" if is_index(other) else f"{other} is a shard of it, and named, too"
                raise UsageError(what, hint="name an index or its shards, not both", file=index)


def check_stdin(files: Sequence[str], listing: str | None) -> None:
    """UsageError where standard input is to be read more than once."""
    named = [name for name in (*files, *(() if listing is None else (listing,))) if name in STDIN]
    if len(named) > 1:
        raise UsageError(
            f"standard input can be read once, and is named {len(named)} times", hint="give - once, all uses together"
        )


def listed(path: str, chunks: Iterable[bytes], *, null: bool) -> Iterator[str]:
    """The names in a list, without empty ones: a line each, which may end as on Windows, or (`null`) with a NUL after
    each. UsageError, saying so of `path`, for what is no list of names."""
    end = b"\0" if null else b"\n"
    for line in _split(path, chunks, end):
        name = line if null else line.removesuffix(b"\r")
        if b"\0" in name:
            raise UsageError("holds a NUL in a line", hint="use --null for a list of find -print0", file=path)
        if name:
            text = os.fsdecode(name)
            yield "./-" if text == "-" else text


def _split(path: str, chunks: Iterable[bytes], end: bytes) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *done, rest = (rest + chunk).split(end)
        yield from done
        if len(rest) > _LONGEST_NAME:
            raise UsageError("is no list of names: one is longer than any path", hint="give a text file", file=path)
    yield rest


def chunks_of(path: str) -> Iterator[bytes]:
    """The bytes of a file that holds a list; InputError, naming it, where it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", hint="--files-from takes a file", file=path) from error
