"""What a run has to tell, as plain values: the fields are those of `--json` (see report/schema.json)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Self

from threshcli.errors import InternalError, ThreshError

Scalar = float | int
FileStatus = Literal["written", "skipped", "dry-run", "read", "failed", "not-done"]
RunStatus = Literal["ok", "partial", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdUsed:
    """One slot's threshold: as asked, the number used, or the extremes of one that varies.

    One that was worked out also tells of how many elements it was (`usable`; `unusable` were left out), how many were
    `asked` to stay and how many are `tied` at a cut by rank: of those the ones at flat positions before `above` are
    above it. One for each index of an `axis` has `values`, and their `places` in place of `above`.
    """

    spec: str
    slot: str = "threshold"
    value: Scalar | None = None
    min: Scalar | None = None
    max: Scalar | None = None
    worked_out: bool = False
    usable: int | None = None
    unusable: int | None = None
    asked: int | None = None
    tied: int | None = None
    above: int | None = None
    axis: int | None = None
    values: tuple[Scalar, ...] | None = None
    places: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorResult:
    """One tensor of a file. Counts are None where the tensor was only copied, or nothing has run (dry run, info)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    out_dtype: str
    applied: bool
    reason: str | None = None
    """Why the rule was not applied: "not selected", "float4 is only copied"..."""
    steps: tuple[str, ...] = ()
    """The rules that are applied, one after the other."""
    operator: str = ""
    """Their comparisons in words for people."""
    threshold: ThresholdUsed | tuple[ThresholdUsed, ...] | None = None
    elements: int = 0
    selected: int | None = None
    kept: int | None = None
    changed: int | None = None
    zeros_before: int | None = None
    zeros_after: int | None = None
    nan: int | None = None
    inf: int | None = None
    min: Scalar | None = None
    max: Scalar | None = None
    mean: float | None = None
    norm_before: float | None = None
    norm_after: float | None = None
    nbytes: int = 0
    """Elements times their size, for `info`."""
    packing: str | None = None
    """How the elements are packed in the output, if they are ("bits", "bitmask"); of a tensor that no rule was applied
    to, how they were in the input."""
    layout: str | None = None
    """How the elements lie in the file, for `info`: "C", "Fortran", "strided", "big-endian"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as data: what happened, a hint, and the exit status it stands for. It speaks of the input unless it is
    told `elsewhere`: then the message names the file itself."""

    message: str
    hint: str | None
    exit_code: int
    elsewhere: bool = False

    @classmethod
    def of(cls, error: ThreshError, path: str) -> Self:
        """An error in the work on the input `path`."""
        elsewhere = error.file not in (None, path)
        message = str(error) if elsewhere else error.what
        return cls(message=message, hint=error.hint, exit_code=error.exit_code, elsewhere=elsewhere)

    def error(self, path: str) -> ThreshError:
        """The error again, said of the input `path`."""
        kinds = (kind for kind in ThreshError.__subclasses__() if kind.exit_code == self.exit_code)
        kind: type[ThreshError] = next(kinds, InternalError)
        return kind(self.message, hint=self.hint, file=None if self.elsewhere else path)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """One input file and what became of it."""

    input: str
    output: str | None
    status: FileStatus
    format: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    residual: str | None = None
    sidecar: str | None = None
    error: Failure | None = None
    tensors: tuple[TensorResult, ...] = ()
    warnings: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    """What a container says about itself, for `info`."""
    notes: tuple[str, ...] = ()
    """What else `info` should tell, a sentence each."""
    whole: str | None = None
    """The index of the checkpoint that it is a shard of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A whole call."""

    version: str
    command: str
    operator: str
    """The comparison in words for people, e.g. `x > T`."""
    params: dict[str, object]
    device: str
    files: tuple[FileResult, ...]
    seconds: float
    warnings: tuple[str, ...] = field(default=())
    recipe: dict[str, object] | None = None
    """What does the same again, where that can be said."""
    decides: bool = False
    """Whether the rule writes constants in place of what it compares: elements are selected, and none is kept."""

    @property
    def failed(self) -> int:
        return sum(item.status == "failed" for item in self.files)

    @property
    def status(self) -> RunStatus:
        if not self.failed:
            return "ok"
        return "failed" if self.failed == len(self.files) else "partial"
