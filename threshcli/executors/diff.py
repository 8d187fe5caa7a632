"""What `diff` tells of two files: structure first, then values where shapes allow it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from threshcli import containers
from threshcli.containers.base import Contents, Tensor
from threshcli.dtypes import DType
from threshcli.engine.crew import Crew
from threshcli.engine.differing import Differences, Peak, Side, Tolerance, comparable, differences
from threshcli.engine.population import Piece
from threshcli.engine.sizes import tile_bytes, workers
from threshcli.errors import ThreshError
from threshcli.executors.examine import Means, about, attempted, verify
from threshcli.kernels.numpy import NumpyKernels
from threshcli.plan.index import Roll, Shard, is_index, read_index
from threshcli.plan.inputs import Input
from threshcli.plan.names import display_name
from threshcli.plan.opening import tensor_file
from threshcli.plan.selection import Sought
from threshcli.results import FileResult
from threshcli.storage.local import Source
from threshcli.tiles import index_of
from threshcli.verdicts import Difference, FileDiff, Index, TensorDiff


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What counts as a difference."""

    tolerance: Tolerance = Tolerance()
    ignore_dtype: bool = False
    metadata: bool = False


class Pair(NamedTuple):
    """Two files to compare; one of them may be missing."""

    a: str | None
    b: str | None


def paired(a: Iterable[Input], b: Iterable[Input]) -> list[Pair]:
    """The files of two folders, by their paths below them: those of the first in order, then what is only in the
    second."""
    left, right = ({item.rel: item.path for item in files} for files in (a, b))
    return [Pair(left.get(rel), right.get(rel)) for rel in dict.fromkeys([*left, *right])]


def compare(pairs: Sequence[Pair], means: Means, asked: Asked) -> Iterator[FileResult]:
    """How the files of each pair differ. UsageError only for a pattern that matches no tensor of any of them."""
    crew, sought = Crew(workers(means), NumpyKernels), Sought(means.selection)
    differ = _Differ(means, asked, crew, strict=len(pairs) == 1, sought=sought)
    failed = False
    for pair in pairs:
        result = attempted(str(pair.a or pair.b), partial(differ.files, pair))
        failed |= result.error is not None
        yield result
    if not failed:  # the others may have had what matches
        differ.sought.check()


class _Part(NamedTuple):
    """An open file: one of the two, or a shard of it."""

    path: str
    source: Source
    contents: Contents


class _Held(NamedTuple):
    """A tensor, and the part that it is in."""

    tensor: Tensor
    part: _Part

    @property
    def side(self) -> Side:
        return Side(self.part.source, self.tensor.view, self.tensor.dtype)


class _File(NamedTuple):
    """One of two files, open: its tensors by name; one without a name is shown under that of the file's stem."""

    path: str
    parts: tuple[_Part, ...]
    tensors: dict[str, _Held]

    @property
    def lone(self) -> bool:
        """Whether it holds one tensor, and gives no name to it."""
        return list(self.tensors) == [""]

    @property
    def size(self) -> int:
        return sum(part.source.size for part in self.parts)

    @property
    def metadata(self) -> dict[str, str]:
        return {key: value for part in self.parts for key, value in part.contents.metadata.items()}

    @property
    def format(self) -> str:
        return self.parts[0].contents.container


@dataclass(frozen=True, slots=True)
class _Differ:
    means: Means
    asked: Asked
    crew: Crew
    strict: bool
    sought: Sought
    """The patterns that are to match a tensor of some of the files."""

    def files(self, pair: Pair) -> FileResult:
        """All differences of two files."""
        began = time.perf_counter()
        if pair.a is None or pair.b is None:
            path = str(pair.a or pair.b)
            return FileDiff(input=path, output=None, status="read", only="b" if pair.a is None else "a")
        with ExitStack() as stack:
            a, b = (_opened(path, stack) for path in (pair.a, pair.b))
            matched = list(_matched(a, b))
            names = [name for name, _, _ in matched]
            if self.strict:
                self.means.selection.check(names)
            self.sought.among(names)
            chosen = [item for item in matched if self.means.selection.chosen(item[0])]
            _verified([held for _, *both in chosen for held in both if held is not None])
            tensors = tuple(self._tensor(*item) for item in chosen)
            for part in (*a.parts, *b.parts):
                _located(part.path, part.source.check_unchanged)
        return FileDiff(
            input=a.path,
            output=None,
            other=b.path,
            status="read",
            format=a.format,
            other_format=b.format,
            bytes_in=a.size,
            other_bytes=b.size,
            seconds=time.perf_counter() - began,
            tensors=tensors,
            keys=_keys(a.metadata, b.metadata) if self.asked.metadata else (),
        )

    def _tensor(self, name: str, left: _Held | None, right: _Held | None) -> TensorDiff:
        """How the two versions of a tensor differ."""
        if left is None or right is None:
            (only,) = (about(name, one.tensor) for one in (left, right) if one is not None)
            return TensorDiff(**only, applied=False, differs=("only in b",) if left is None else ("only in a",))
        a, b = left.tensor, right.tensor
        fields = about(name, a) | {"applied": False, "other_shape": b.shape, "other_dtype": b.dtype.name}
        differs: list[Difference] = []
        if a.dtype is not b.dtype and not self.asked.ignore_dtype:
            differs.append("dtype")
        if a.shape != b.shape:
            return TensorDiff(**fields, differs=("shape", *differs))
        if not comparable(a.dtype, b.dtype) or (self.asked.tolerance.bits and a.dtype is not b.dtype):
            reason = f"{a.dtype.name} and {b.dtype.name} cannot be compared"
            return TensorDiff(**fields, differs=("dtype",), reason=reason)
        found = differences(left.side, right.side, self.asked.tolerance, self.crew, tile_bytes(self.means, "cpu"))
        if found.count:
            differs.append("values")
        return TensorDiff(**fields | {"applied": True}, differs=tuple(differs), **_told(found, a.view.shape, a.dtype))


def _told(found: Differences, shape: Index, dtype: DType) -> dict[str, Any]:
    """The fields of a TensorDiff that tell of values; of opaque elements all is about their bytes."""

    def peak(name: str, value: Peak) -> dict[str, Any]:
        return {name: value.value, f"{name}_at": index_of(value.at, shape)}

    counts = {"differing": found.count, "first": index_of(found.first, shape), "one_nan": found.nan}
    if dtype.kind == "opaque":
        return counts
    return counts | peak("max_abs", found.largest) | peak("max_rel", found.relative)


def _opened(path: str, stack: ExitStack) -> _File:
    """A file, or the shards that its index names; errors are said of the one that is at fault."""
    index = read_index(path) if is_index(path) else None
    parts = tuple(_located(one, partial(_part, one, stack)) for one in ([path] if index is None else index.shards))
    if index is not None:
        roll = Roll(index)
        for name, part in zip(index.listed, parts, strict=True):
            _located(path, partial(roll.call, Shard.of(name, part.contents)))
    tensors = {tensor.name: _Held(tensor, part) for part in parts for tensor in part.contents.tensors}
    for part in parts:
        tensors |= {name: _Held(part.contents.tensors[place], part) for name, place in part.contents.tied}
    return _File(path, parts, tensors)


def _part(path: str, stack: ExitStack) -> _Part:
    source = stack.enter_context(tensor_file(path))
    return _Part(path, source, containers.identify(source).read(source))


def _verified(held: Sequence[_Held]) -> None:
    """Compare the checksums that are stored of what will be read."""
    parts = {id(one.part): one.part for one in held}
    for identity, part in parts.items():
        tensors = [one.tensor for one in held if id(one.part) == identity]
        pieces = (Piece(part.path, part.path, (), tensor.view, tensor.dtype) for tensor in tensors)
        verify(part.source, part.contents, part.path, pieces)


def _located(path: str, work: Callable[[], Any]) -> Any:
    """What `work` gives; errors are said of this file."""
    try:
        return work()
    except ThreshError as error:
        error.located(path)
        raise


def _matched(a: _File, b: _File) -> Iterator[tuple[str, _Held | None, _Held | None]]:
    """The tensors of both under their names. One that has none is compared with the only one of the other file."""
    if len(a.tensors) == len(b.tensors) == 1 and (a.lone or b.lone):
        (left,), (right,) = a.tensors.items(), b.tensors.items()
        yield left[0] or right[0] or display_name(a.path), left[1], right[1]
        return
    for name in dict.fromkeys([*a.tensors, *b.tensors]):
        yield name or display_name(a.path if name in a.tensors else b.path), a.tensors.get(name), b.tensors.get(name)


def _keys(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[tuple[str, str | None, str | None], ...]:
    """The keys of two files' metadata whose values differ."""
    return tuple((key, a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key))
