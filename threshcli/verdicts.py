"""What `check` and `diff` have found, as plain values: a module of its own, since classes take time to make."""

from __future__ import annotations

from dataclasses import dataclass

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
