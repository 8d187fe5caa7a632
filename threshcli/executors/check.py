"""What `check` tells of files: damage, NaN, infinities, conditions that hold. A file with a fault is no file that
failed: it was looked at, and the fault is what was found. Only what cannot be opened or read has failed."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from threshcli import containers
from threshcli.conditions import Condition
from threshcli.containers.base import Contents
from threshcli.dtypes import DTYPES
from threshcli.engine.ledger import crc_of
from threshcli.engine.population import Piece, Population
from threshcli.errors import InputError
from threshcli.executors.examine import Examiner, Means, Subject, names_of, over_files
from threshcli.executors.index import index_result
from threshcli.executors.stats import numbers_of
from threshcli.plan.index import is_index
from threshcli.results import FileResult, Scalar, TensorResult
from threshcli.storage.local import Source
from threshcli.studies.base import VALUE
from threshcli.studies.summary import summary
from threshcli.studies.unsound import Found, Unsound, above, unsound
from threshcli.tiles import index_of
from threshcli.verdicts import VALUES, FileCheck, TensorCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is no fault (`nan`, `inf`, `trailing`), and the conditions that are."""

    allowed: frozenset[str] = field(default_factory=frozenset)
    conditions: tuple[Condition, ...] = ()


def look_for_faults(paths: Sequence[str], means: Means, asked: Asked) -> Iterator[FileResult]:
    """What is wrong with each file. UsageError as from `examine`."""
    return over_files(paths, means, lambda examiner, path: _Checker(examiner, asked).file(path))


@dataclass(frozen=True, slots=True)
class _Checker:
    examiner: Examiner
    asked: Asked

    def file(self, path: str) -> FileResult:
        """All that is wrong with a file."""
        if is_index(path):
            return _index_checked(path)
        began = time.perf_counter()
        with self.examiner.open(path) as source:
            try:
                contents = containers.identify(source).read(source)
            except InputError as error:
                if _of_the_system(error):
                    raise
                return FileCheck(input=path, output=None, status="read", bytes_in=source.size, faults=(error.what,))
            if self.examiner.strict:
                self.examiner.means.selection.check(names_of(contents, path))
            items = list(self.examiner.subjects(path, source, contents))
            damaged, faults = self._damage(source, contents, items)
            tensors = tuple(self._tensor(item, index in damaged) for index, item in enumerate(items))
            source.check_unchanged()
        return FileCheck(
            input=path,
            output=None,
            status="read",
            format=contents.container,
            bytes_in=source.size,
            seconds=time.perf_counter() - began,
            tensors=tensors,
            notes=contents.notes,
            faults=faults,
        )

    def _damage(
        self, source: Source, contents: Contents, items: Sequence[TensorResult | Subject]
    ) -> tuple[set[int], tuple[str, ...]]:
        """The tensors whose bytes lack the CRC-32 that is stored for them, and what is wrong with all else: bytes that
        belong to no tensor are looked at only where no patterns choose some."""
        selection = self.examiner.means.selection
        everything = not (selection.keep or selection.exclude)
        chosen = [selection.chosen(item.name) for item in items]
        places = sorted((tensor.view.offset, i) for i, tensor in enumerate(contents.tensors))
        damaged: set[int] = set()
        faults = []
        for region in contents.regions:
            ends = (bisect_left(places, (end, 0)) for end in (region.offset, region.offset + region.size))
            inside = {i for _, i in places[slice(*ends)]}
            wanted = everything or any(chosen[i] for i in inside)
            if wanted and crc_of(source.read, region) != region.crc:
                damaged |= inside
                if not inside:
                    faults.append(f"the bytes at {region.offset:,} do not have their CRC-32")
        if contents.trailing and "trailing" not in self.asked.allowed:
            plural = "s" if contents.trailing > 1 else ""
            faults.append(f"has {contents.trailing:,} byte{plural} behind its end, which nothing reads")
        return damaged, tuple(faults)

    def _tensor(self, item: TensorResult | Subject, damaged: bool) -> TensorResult:
        """What is wrong with a tensor; of one that is not looked at, only that its bytes are not what they were."""
        if not isinstance(item, Subject):
            if not damaged:
                return replace(item, reason=self._reason(item))
            return TensorCheck(**_common(item), damaged=True, bad=True)
        found, invalid = _unsound(item)
        values = self._values(item, found)
        held = tuple(_holding(self.asked.conditions, values, item.tensor.view.elements))
        shape, allowed = item.tensor.shape, self.asked.allowed
        counts = {"nan": found.nan.count, "inf": found.inf.count}
        bad = any(count and kind not in allowed for kind, count in counts.items())
        return TensorCheck(
            **item.about(),
            nan=found.nan.count,
            inf=found.inf.count,
            first_nan=index_of(found.nan.first, shape),
            first_inf=index_of(found.inf.first, shape),
            invalid=invalid.count,
            first_invalid=index_of(invalid.first, shape),
            damaged=damaged,
            conditions=held,
            bad=bad or damaged or bool(invalid.count or held),
        )

    def _reason(self, item: TensorResult) -> str | None:
        chosen = self.examiner.means.selection.chosen(item.name)
        return f"the values of {item.dtype} are not looked at" if chosen else item.reason

    def _values(self, item: Subject, found: Unsound) -> Mapping[str, Scalar | None]:
        """What the conditions are about; the elements are read again only for what was not counted yet."""
        known: dict[str, Scalar | None] = {"nan": found.nan.count, "inf": found.inf.count}
        if all(condition.name in known for condition in self.asked.conditions):
            return known
        answer = item.answers(summary(VALUE))[0]
        stats = numbers_of(item.about(), answer, VALUE.dtype(item.tensor.dtype))
        return {name: getattr(stats, name) for name in (*VALUES, "zeros")} | known


def _index_checked(path: str) -> FileResult:
    """Whether the index of a checkpoint and its shards are what they say of each other."""
    try:
        found = index_result(path, "read")
    except InputError as error:
        if _of_the_system(error):
            raise
        said = error.what if error.file == path else str(error)
        return FileCheck(input=path, output=None, status="read", format="index", faults=(said,))
    known = {item.name: getattr(found, item.name) for item in fields(found)}
    return FileCheck(**known)


def _of_the_system(error: InputError) -> bool:
    """Whether it is not the file's contents that are at fault, but the reading of them."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno is not None


def _unsound(item: Subject) -> tuple[Unsound, Found]:
    """The NaN and infinities of a tensor, and the bytes of bool that are neither 0 nor 1."""
    piece, dtype = item.piece, item.tensor.dtype
    if dtype.kind == "bool":
        bits = Population([piece._replace(dtype=DTYPES["uint8"])])
        return Unsound(), item.desk.answers(bits, [above(1)], f"tensor {item.name!r}")[0]
    if not dtype.compared.is_float:
        return Unsound(), Found()
    values, parts = (piece, 1) if dtype.part is None else (_parts(piece), 2)
    found: Unsound = item.desk.answers(Population([values]), [unsound(parts)], f"tensor {item.name!r}")[0]
    return found, Found()


def _parts(piece: Piece) -> Piece:
    """Complex elements as the real ones that they are made of, along one more axis."""
    view, half = piece.view, piece.dtype.compared
    strides = (*(2 * step for step in view.strides), 1)
    halves = view._replace(shape=(*view.shape, 2), strides=strides, itemsize=half.itemsize)
    return piece._replace(dtype=half, view=halves)


def _holding(
    conditions: Sequence[Condition], values: Mapping[str, Scalar | None], elements: int
) -> Iterator[tuple[str, Scalar]]:
    for condition in conditions:
        value = values[condition.name]
        if value is not None and condition.holds(value, elements):
            yield condition.text, value


def _common(item: TensorResult) -> dict[str, Any]:
    """The fields of a result that say what the header does."""
    return {name: getattr(item, name) for name in ("name", "shape", "dtype", "out_dtype", "elements", "nbytes")} | {
        "applied": False,
        "reason": item.reason,
    }
