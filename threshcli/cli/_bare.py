"""`thresh solve -q`: bare numbers, for the shell."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import PurePath

from threshcli.dtypes import DTYPES, FLOAT64, DType
from threshcli.report.sheets import Buffered, Sheet, Write
from threshcli.report.spool import Spool
from threshcli.report.tally import Tally
from threshcli.report.terminal import safe
from threshcli.results import FileResult, RunResult, Scalar, TensorResult, ThresholdUsed
from threshcli.spec import Number


class Bare(Sheet):
    """A line a tensor: its threshold; with its name before it where there are several, and the file's where there are
    several of those. All lines have as many columns: of files that hold a tensor each their names suffice. So they
    wait until all files are known."""

    def __init__(self, write: Write) -> None:
        super().__init__(write)
        self._files = self._found = 0
        self._named = False
        self._waiting = Spool()

    def part(self, number: int, file: FileResult) -> tuple[bool, str, list[tuple[str, str]]]:
        found = [item for item in file.tensors if item.threshold is not None and not _is_map(item)]
        return len(file.tensors) > 1, file.input, [(item.name, ",".join(_texts(item))) for item in found]

    def take(self, part: tuple[bool, str, list[tuple[str, str]]]) -> None:
        named, path, found = part
        self._files += 1
        self._found += len(found)
        self._named |= named
        self._waiting.add(json.dumps((path, found)))

    def end(self, run: RunResult, tally: Tally, warnings: Spool) -> None:
        known = Counter(PurePath(path).name for path, _ in self._all())
        out = Buffered(self._write)
        for path, found in self._all():
            short = PurePath(path).name
            only = short if known[short] == 1 else path
            for name, text in found:
                out.add("\t".join((*map(safe, self._labels(path, only, name)), text)) + "\n")
        out.flush()
        self._waiting.close()

    def _labels(self, path: str, only: str, name: str) -> tuple[str, ...]:
        """What is said of a tensor before its threshold; `only` says which file it is, where it holds one."""
        if self._found == 1:
            return ()
        if self._files == 1:
            return (name,)
        return (path, name) if self._named else (only,)

    def _all(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """The files, and the tensors that have a threshold: names and texts."""
        return map(json.loads, self._waiting)


def _is_map(item: TensorResult) -> bool:
    """Whether the threshold is another for each element."""
    used = item.threshold
    return isinstance(used, ThresholdUsed) and used.value is None and used.values is None and used.min is not None


def _texts(item: TensorResult) -> Iterator[str]:
    used = item.threshold if isinstance(item.threshold, tuple) else (item.threshold,)
    for one in used:
        if isinstance(one, ThresholdUsed):
            values = one.values if one.values is not None else (one.value,)
            yield from ("nan" if value is None else shortest(value, DTYPES[item.dtype].compared) for value in values)


def shortest(value: Scalar, dtype: DType) -> str:
    """The shortest decimal text that is the same threshold for elements of `dtype`."""
    if isinstance(value, int) or value in (float("inf"), float("-inf")):
        return str(value)
    compared = dtype if dtype.is_float and dtype.value(dtype.key(Fraction(value))) == value else FLOAT64
    wanted = compared.key(Fraction(value))
    texts = (f"{value:.{digits}g}" for digits in range(1, 18))
    found = next((text for text in texts if compared.key(Number.parse(text).value) == wanted), repr(value))
    whole = f"{value:.0f}"  # 448 rather than 4.5e+02
    return whole if len(whole) <= len(found) and float(whole) == value else found
