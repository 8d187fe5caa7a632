"""Files looked at and left as they are, one after another on this machine: `stats`, `hist`, `sweep`, `check`.

A command brings a function from a `Subject`, a tensor whose elements can be studied, to what it has to tell of it. A
tensor that is not looked at (not selected, no order) is listed with the reason; a file that fails costs that file.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from threshcli import containers
from threshcli.containers.base import Contents, Tensor
from threshcli.engine.crew import Crew
from threshcli.engine.ledger import crc_of, require
from threshcli.engine.population import Piece, Population
from threshcli.engine.sizes import tile_bytes, workers
from threshcli.engine.studying import Desk
from threshcli.errors import ThreshError, out_of_memory
from threshcli.executors.index import index_result
from threshcli.kernels.numpy import NumpyKernels
from threshcli.plan.index import is_index, members
from threshcli.plan.names import display_name
from threshcli.plan.opening import tensor_file
from threshcli.plan.selection import Selection, Sought
from threshcli.results import Failure, FileResult, TensorResult
from threshcli.storage.local import Source
from threshcli.studies.base import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Which tensors are looked at, whether by magnitude, and with what: so many workers, memory for their buffers."""

    selection: Selection = field(default_factory=Selection)
    magnitude: bool = False
    jobs: int = 1
    max_memory: int = 64 << 20
    part: bool = False
    """Whether there are more files in other calls: patterns may be for those."""

    def is_strict(self, paths: Sequence[str]) -> bool:
        """Whether a pattern has to match a tensor of each file, since there is only one."""
        return len(paths) == 1 and not self.part

    def looks_ahead(self, paths: Sequence[str]) -> bool:
        """Whether all headers are read before, since a pattern may match tensors of any file."""
        return len(paths) > 1 and not self.part and bool(self.selection.keep or self.selection.exclude)

    def desk(self) -> Desk:
        """Where the studies are done; stored checksums are compared file by file, by `Examiner`."""
        return Desk(Crew(workers(self), NumpyKernels), tile_bytes(self, "cpu"))


@dataclass(frozen=True, slots=True)
class Subject:
    """A tensor to look at, and what its file says of it."""

    name: str
    tensor: Tensor
    piece: Piece
    desk: Desk

    def answers(self, *studies: Study[Any]) -> list[Any]:
        """What studies of the elements answer; a pass over them serves all studies that are still at work."""
        return self.desk.answers(Population([self.piece]), studies, f"tensor {self.name!r}")

    def about(self) -> dict[str, Any]:
        """The fields that every kind of TensorResult has, of a tensor that is looked at."""
        return about(self.name, self.tensor) | {"applied": True}


Look = Callable[[Subject], TensorResult]
Survey = Callable[[Sequence[Subject]], None]


def examine(
    paths: Sequence[str],
    means: Means,
    look: Look,
    survey: Survey | None = None,
) -> Iterator[FileResult]:
    """What `look` has to tell of every chosen tensor of every file. A `survey` sees them all before, in the same order.

    UsageError only for what makes the whole call impossible: a pattern that matches no tensor of any file (where
    the files are a part of those that are meant it need not). With a survey any file that cannot be read does that too.
    """
    return over_files(paths, means, lambda examiner, path: examiner.file(path, look), survey)


def over_files(
    paths: Sequence[str],
    means: Means,
    work: Callable[[Examiner, str], FileResult],
    survey: Survey | None = None,
) -> Iterator[FileResult]:
    """What comes of the work on every file: what `examine` does, for commands that look at whole files."""
    paths = [member for path in paths for member in members(path)]
    with ExitStack() as stack:
        examiner = Examiner(means, means.desk(), strict=means.is_strict(paths))
        if survey is not None or means.looks_ahead(paths):
            subjects = examiner.prepare(paths, stack, lenient=survey is None)
            if survey is not None:
                survey(subjects)
        for path in paths:
            yield attempted(path, partial(work, examiner, path))


@dataclass(frozen=True, slots=True)
class Examiner:
    """Looks at files. `strict` refuses patterns that match no tensor of a file; `held` are the copies of pipes."""

    means: Means
    desk: Desk
    held: dict[str, Source] = field(default_factory=dict)
    strict: bool = True

    def prepare(self, paths: Sequence[str], stack: ExitStack, *, lenient: bool) -> list[Subject]:
        """Check the patterns over the tensors of all files. A pipe can be read once: its copy is kept, in the stack.
        Bad files are left for their turn; or (not `lenient`) told at once, and what is to be looked at is returned."""
        sought = Sought(self.means.selection)
        subjects: list[Subject | TensorResult] = []
        for path in [path for path in paths if not is_index(path)]:
            with ExitStack() as closing:
                try:
                    source = closing.enter_context(self.open(path))
                    contents = containers.identify(source).read(source)
                except ThreshError as error:
                    if lenient:
                        continue
                    error.located(path)
                    raise
                sought.among(names_of(contents, path))
                if not lenient:
                    found = list(self.subjects(path, source, contents))
                    verify(source, contents, path, (item.piece for item in found if isinstance(item, Subject)))
                    subjects += found
                if source.path != path and path not in self.held:
                    self.held[path] = source
                    stack.push(closing.pop_all())
        sought.check()
        return [item for item in subjects if isinstance(item, Subject)]

    def file(self, path: str, look: Look) -> FileResult:
        """What there is to tell of a file."""
        if is_index(path):
            return index_result(path, "read")
        began = time.perf_counter()
        with self.open(path) as source:
            contents = containers.identify(source).read(source)
            tensors = tuple(self._tensors(path, source, contents, look))
        return FileResult(
            input=path,
            output=None,
            status="read",
            format=contents.container,
            bytes_in=source.size,
            seconds=time.perf_counter() - began,
            tensors=tensors,
        )

    def open(self, path: str) -> AbstractContextManager[Source]:
        """The file, or the copy of a pipe that was read already."""
        return nullcontext(self.held[path]) if path in self.held else tensor_file(path)

    def _tensors(self, path: str, source: Source, contents: Contents, look: Look) -> Iterator[TensorResult]:
        """What there is to tell of each tensor, in the order of the file."""
        if self.strict:
            self.means.selection.check(names_of(contents, path))
        found = list(self.subjects(path, source, contents))
        verify(source, contents, path, (item.piece for item in found if isinstance(item, Subject)))
        for item in found:
            yield look(item) if isinstance(item, Subject) else item

    def subjects(self, path: str, source: Source, contents: Contents) -> Iterator[Subject | TensorResult]:
        """Each tensor to look at; of the others what is told of them."""
        for name, tensor in zip(names_of(contents, path), contents.tensors, strict=True):
            reason = self._refusal(name, tensor)
            if reason is None:
                piece = Piece(path, source.path, source.fingerprint, tensor.view, tensor.dtype)
                yield Subject(name, tensor, piece, self.desk)
            else:
                yield TensorResult(**about(name, tensor), applied=False, reason=reason)

    def _refusal(self, name: str, tensor: Tensor) -> str | None:
        """Why a tensor is not looked at; None where it is."""
        if not self.means.selection.chosen(name):
            return "not selected"
        if tensor.dtype.is_real or (tensor.dtype.part is not None and self.means.magnitude):
            return None
        return f"{tensor.dtype.name} has no order" + ("; --magnitude looks at abs(x)" if tensor.dtype.part else "")


def names_of(contents: Contents, path: str) -> list[str]:
    """What the tensors of a file are called."""
    return [tensor.name or display_name(path) for tensor in contents.tensors]


def about(name: str, tensor: Tensor) -> dict[str, Any]:
    """The fields that every kind of TensorResult has, from what the header says."""
    dtype = tensor.dtype.name
    return {
        "name": name,
        "shape": tensor.shape,
        "dtype": dtype,
        "out_dtype": dtype,
        "elements": math.prod(tensor.shape),
        "nbytes": tensor.nbytes,
    }


def verify(source: Source, contents: Contents, path: str, pieces: Iterable[Piece]) -> None:
    """Compare the stored CRC-32, where the container has any, of all that will be read: once a file, since reading a
    header again for every tensor of a large one takes longer than the tensors."""
    offsets = sorted(piece.view.offset for piece in pieces)
    try:
        for region in contents.regions:
            at = bisect_left(offsets, region.offset)
            if at < len(offsets) and offsets[at] < region.offset + region.size:
                require(region, crc_of(source.read, region))
    except ThreshError as error:
        error.located(path)
        raise


def attempted(path: str, work: Callable[[], FileResult]) -> FileResult:
    """What comes of the work on a file; where it cannot be done, why."""
    try:
        return work()
    except ThreshError as error:
        return failed(path, error)
    except MemoryError:
        return failed(path, out_of_memory())


def failed(path: str, error: ThreshError) -> FileResult:
    """A file that could not be looked at."""
    return FileResult(input=path, output=None, status="failed", error=Failure.of(error, path))
