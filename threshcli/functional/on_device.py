"""Looks at what lies on a device that are carried out there, so that little of it has to be copied."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from threshcli.dtypes import DType, Real
from threshcli.functional.held import Away, Given
from threshcli.studies._gather import Order
from threshcli.studies._ordered import Found, shift
from threshcli.studies.base import Array, Fold, Lens
from threshcli.studies.ties import CountEqual, FindEqual, Pieces

if TYPE_CHECKING:
    from threshcli.kernels.torch_ranks import Ranks, Row, Seen

LEAST = 1 << 17
"""Elements under which they are copied: the dozens of operations that a device is told take longer than NumPy then."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """What a study is sent that asked for elements in order, which stay where they are."""

    dtype: DType
    """That of the population, before any lens."""
    read: int
    middle: int
    """The place of key 0."""
    ranks: Ranks

    @property
    def usable(self) -> int:
        return self.ranks.usable

    @property
    def nan(self) -> int:
        return self.ranks.nan

    def find(self, ranks: list[int]) -> list[Found]:
        """The order statistics of these ranks."""
        return [Found(key + self.middle, below, equal) for key, below, equal in self.ranks.find(ranks)]


class OnDevice:
    """Inputs on one device that are looked at as one population."""

    def __init__(self, parts: Sequence[Away], dtype: DType, *, ignore_zero: bool) -> None:
        self._parts, self._dtype, self._ignore_zero = parts, dtype, ignore_zero

    @classmethod
    def of(cls, parts: Sequence[tuple[Given, Array | None]], dtype: DType, *, ignore_zero: bool) -> OnDevice | None:
        """Inputs that all lie on one device, are real and not few, and have no masks; None of others."""
        found = [part for part, mask in parts if isinstance(part, Away) and part.dtype.is_real and mask is None]
        if len(found) < len(parts) or len({part.tensor.device for part in found}) > 1:
            return None
        many = sum(part.elements for part in found) >= LEAST
        return cls(found, dtype, ignore_zero=ignore_zero) if many else None

    def look(self, fold: Fold[Any]) -> Any:
        """The state of a fold over the population; None of a fold that is not known here, for which elements have to be
        copied."""
        match fold:
            case Order():
                return self._ordered(fold.lens)
            case CountEqual() if fold.lens.centre is None:
                found = self._seen(fold.lens).equal(self._key(fold.lens, fold.value))
                return Pieces(array("q", itertools.chain.from_iterable(found)))
            case FindEqual() if fold.lens.centre is None:
                key = self._key(fold.lens, fold.value)
                return self._seen(fold.lens).positions(key, fold.piece.start, fold.piece.stop)
        return None

    def _ordered(self, lens: Lens) -> Ordered:
        from threshcli.kernels.torch_ranks import Ranks

        ranks = Ranks(self._seen(lens), ignore_zero=self._ignore_zero)
        return Ordered(self._dtype, self._row.elements, shift(lens.dtype(self._dtype)), ranks)

    def _seen(self, lens: Lens) -> Seen:
        from threshcli.kernels.torch_ranks import Seen

        return Seen(self._row, lens.magnitude, lens.centre)

    @cached_property
    def _row(self) -> Row:
        from threshcli.kernels.torch_ranks import Row

        return Row.of([part.tensor for part in self._parts], [part.dtype for part in self._parts], self._dtype)

    def _key(self, lens: Lens, value: Real) -> int:
        """The key of a value that some element has, so never that of zeros that are left out."""
        seen = lens.dtype(self._dtype)
        return seen.key(value) if seen.is_float else int(value)
