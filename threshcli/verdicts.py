"""What `check` and `diff` have found, as plain values: a module of its own, since classes take time to make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from threshcli.results import FileResult, Scalar, TensorResult

Index = tuple[int, ...]

COUNTS = ("nan", "inf", "zeros")
VALUES = ("min", "max", "mean", "std", "norm1", "norm2", "norm_max", "density", "elements")
"""What the conditions of `check` may be about; of complex elements, but for `nan` and `inf`, their magnitudes."""
ALLOWANCES = ("nan", "inf", "trailing")
"""What `check` may be told to be no fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCheck(TensorResult):
    """What `check` tells of a tensor that was looked at: its NaN and infinities (complex elements have them in either
    part), bytes of bool that are neither 0 nor 1, the index of the first of each kind, whether its bytes lack the
    CRC-32 that is stored for them, and the conditions that hold, each with the value that it holds of."""

    first_nan: Index | None = None
    first_inf: Index | None = None
    invalid: int = 0
    first_invalid: Index | None = None
    damaged: bool = False
    conditions: tuple[tuple[str, Scalar], ...] = ()
    bad: bool = False
    """Whether any of that was not allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck(FileResult):
    """What `check` tells of a file that could be opened: its tensors, and what is wrong with it as a whole."""

    faults: tuple[str, ...] = ()

    @property
    def bad(self) -> bool:
        return bool(self.faults) or any(isinstance(item, TensorCheck) and item.bad for item in self.tensors)


Difference = Literal["only in a", "only in b", "shape", "dtype", "values"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorDiff(TensorResult):
    """What `diff` tells of a tensor of either file: how its two versions differ. The fields of the header are those of
    the first file that has it; `other_shape` and `other_dtype` those of the second, where it is in both.

    `differing` elements do beyond the tolerance, `first` is the index of the first; of `one_nan` just one is NaN. The
    largest distance and the largest share of it in |b| are over all that are unequal. None where no values were
    compared.
    """

    differs: tuple[Difference, ...] = ()
    other_shape: Index | None = None
    other_dtype: str | None = None
    differing: int | None = None
    first: Index | None = None
    one_nan: int | None = None
    max_abs: Scalar | None = None
    max_abs_at: Index | None = None
    max_rel: float | None = None
    max_rel_at: Index | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff(FileResult):
    """What `diff` tells of two files, of which the second is `other`: their tensors, and the keys of the metadata that
    differ with the values of both. Of a file of only one folder, there is nothing but that."""

    other: str | None = None
    other_format: str | None = None
    other_bytes: int = 0
    keys: tuple[tuple[str, str | None, str | None], ...] = ()
    only: Literal["a", "b"] | None = None

    @property
    def same(self) -> bool:
        return not (
            self.only or self.keys or any(isinstance(item, TensorDiff) and item.differs for item in self.tensors)
        )
