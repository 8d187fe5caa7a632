"""A number as a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from threshcli.errors import UsageError
from threshcli.spec import Number
from threshcli.thresholds.base import Fitted, Fixed, Maps, Threshold


@dataclass(frozen=True)
class NumberThreshold(Threshold):
    """`0.5`, `-1e-3`, `inf`: read exactly, with up to 4,000 characters."""

    form: ClassVar[str] = "0.5"
    meaning: ClassVar[str] = "a number"
    by_header: ClassVar[bool] = True

    number: Number

    @classmethod
    def parse(cls, text: str) -> Self | None:
        try:
            number = Number.parse(text)
        except UsageError:
            return None
        if number.is_nan:
            raise UsageError("a threshold cannot be NaN", hint="nothing compares with NaN; give a number")
        return cls(number)

    def bind(self, tensor: Fitted, maps: Maps) -> Fixed:
        return Fixed(self.number.text, self.number.value)
