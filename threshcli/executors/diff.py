"""What `diff` tells of two files: structure first, then values where shapes allow it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from threshcli import __version__, containers
from threshcli.containers.base import Contents, Tensor
from threshcli.dtypes import DType
from threshcli.engine.crew import Crew
from threshcli.engine.differing import Differences, Peak, Side, Tolerance, comparable, differences
from threshcli.engine.population import Piece
from threshcli.engine.sizes import tile_bytes, workers
from threshcli.errors import ThreshError
from threshcli.executors.examine import Means, about, attempted, names_of, verify
from threshcli.kernels.numpy import NumpyKernels
from threshcli.plan.inputs import Input
from threshcli.results import FileResult, RunResult
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


def paired(a: Sequence[Input], b: Sequence[Input]) -> list[Pair]:
    """The files of two folders, by their paths below them: those of the first in order, then what is only in the
    second."""
    left, right = ({item.rel: item.path for item in files} for files in (a, b))
    return [Pair(left.get(rel), right.get(rel)) for rel in dict.fromkeys([*left, *right])]


def compare(params: Mapping[str, object], pairs: Sequence[Pair], means: Means, asked: Asked) -> RunResult:
    """How the files of each pair differ. UsageError only for a pattern that matches no tensor of any of them."""
    began = time.perf_counter()
    differ = _Differ(means, asked, Crew(workers(means), NumpyKernels), strict=len(pairs) == 1)
    files = tuple(attempted(str(pair.a or pair.b), partial(differ.files, pair)) for pair in pairs)
    return RunResult(
        version=__version__,
        command="diff",
        operator="",
        params=dict(params),
        device="cpu",
        files=files,
        seconds=time.perf_counter() - began,
    )


def found_differences(run: RunResult) -> bool:
    """Whether any two files of a run differ."""
    return any(isinstance(file, FileDiff) and not file.same for file in run.files)


class _File(NamedTuple):
    """One of two files, open: its tensors by name. A tensor without a name has that of the file's stem in `shown`."""

    path: str
    source: Source
    contents: Contents
    tensors: dict[str, Tensor]
    shown: dict[str, str]

    @property
    def lone(self) -> bool:
        """Whether it holds one tensor, and gives no name to it."""
        return list(self.tensors) == [""]


@dataclass(frozen=True, slots=True)
class _Differ:
    means: Means
    asked: Asked
    crew: Crew
    strict: bool

    def files(self, pair: Pair) -> FileResult:
        """All differences of two files."""
        began = time.perf_counter()
        if pair.a is None or pair.b is None:
            path = str(pair.a or pair.b)
            return FileDiff(input=path, output=None, status="read", only="b" if pair.a is None else "a")
        with ExitStack() as stack:
            a, b = (_located(path, partial(_opened, path, stack)) for path in (pair.a, pair.b))
            matched = list(_matched(a, b))
            if self.strict:
                self.means.selection.check([name for name, _, _ in matched])
            chosen = [item for item in matched if self.means.selection.chosen(item[0])]
            for file, found in ((a, [item[1] for item in chosen]), (b, [item[2] for item in chosen])):
                _located(file.path, partial(_verified, file, found))
            tensors = tuple(self._tensor(*item, a, b) for item in chosen)
            for file in (a, b):
                _located(file.path, file.source.check_unchanged)
        return FileDiff(
            input=a.path,
            output=None,
            other=b.path,
            status="read",
            format=a.contents.container,
            other_format=b.contents.container,
            bytes_in=a.source.size,
            other_bytes=b.source.size,
            seconds=time.perf_counter() - began,
            tensors=tensors,
            keys=_keys(a.contents.metadata, b.contents.metadata) if self.asked.metadata else (),
        )

    def _tensor(self, name: str, a: Tensor | None, b: Tensor | None, left: _File, right: _File) -> TensorDiff:
        """How the two versions of a tensor differ."""
        if a is None or b is None:
            (only,) = (about(name, one) for one in (a, b) if one is not None)
            return TensorDiff(**only, applied=False, differs=("only in b",) if a is None else ("only in a",))
        fields = about(name, a) | {"applied": False, "other_shape": b.shape, "other_dtype": b.dtype.name}
        differs: list[Difference] = []
        if a.dtype is not b.dtype and not self.asked.ignore_dtype:
            differs.append("dtype")
        if a.shape != b.shape:
            return TensorDiff(**fields, differs=("shape", *differs))
        if not comparable(a.dtype, b.dtype) or (self.asked.tolerance.bits and a.dtype is not b.dtype):
            reason = f"{a.dtype.name} and {b.dtype.name} cannot be compared"
            return TensorDiff(**fields, differs=("dtype",), reason=reason)
        one, other = Side(left.source, a.view, a.dtype), Side(right.source, b.view, b.dtype)
        found = differences(one, other, self.asked.tolerance, self.crew, tile_bytes(self.means, "cpu"))
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
    source = stack.enter_context(Source(path))
    contents = containers.identify(source).read(source)
    tensors = {tensor.name: tensor for tensor in contents.tensors}
    tensors |= {name: contents.tensors[index] for name, index in contents.tied}
    shown = dict(zip((tensor.name for tensor in contents.tensors), names_of(contents, path), strict=True))
    return _File(path, source, contents, tensors, shown)


def _verified(file: _File, tensors: Sequence[Tensor | None]) -> None:
    """Compare the checksums that are stored of what will be read."""
    pieces = (Piece(file.path, file.path, (), one.view, one.dtype) for one in tensors if one is not None)
    verify(file.source, file.contents, file.path, pieces)


def _located(path: str, work: Callable[[], Any]) -> Any:
    """What `work` gives; errors are said of this file."""
    try:
        return work()
    except ThreshError as error:
        raise error.located(path) from error


def _matched(a: _File, b: _File) -> Iterator[tuple[str, Tensor | None, Tensor | None]]:
    """The tensors of both under their names. One that has none is compared with the only one of the other file."""
    if len(a.tensors) == len(b.tensors) == 1 and (a.lone or b.lone):
        (left,), (right,) = a.tensors.items(), b.tensors.items()
        yield left[0] or right[0] or a.shown[""], left[1], right[1]
        return
    for name in dict.fromkeys([*a.tensors, *b.tensors]):
        yield name or a.shown.get(name) or b.shown[name], a.tensors.get(name), b.tensors.get(name)


def _keys(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[tuple[str, str | None, str | None], ...]:
    """The keys of two files' metadata whose values differ."""
    return tuple((key, a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key))
