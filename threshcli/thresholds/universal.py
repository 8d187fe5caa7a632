"""The universal threshold of wavelet shrinkage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from threshcli.thresholds._written import exact
from threshcli.thresholds.base import Answer, Terms, Worked

if TYPE_CHECKING:
    from threshcli.studies.base import Study

_NORMAL = 0.6745  # the median magnitude of a standard normal distribution


@dataclass(frozen=True)
class Universal(Worked):
    """`universal`: what the largest of n values of white noise hardly exceeds.

    Formula: sigma * sqrt(2 ln n), with the noise estimated as sigma = median(abs(x)) / 0.6745, in float64 (Donoho &
    Johnstone 1994, doi:10.1093/biomet/81.3.425). The constant is that of real noise: the deviation of complex noise,
    over both parts, is taken for 1.234 times what it is, which `--scale 0.81` sets right.
    """

    form: ClassVar[str] = "universal"
    meaning: ClassVar[str] = "noise level by sqrt(2 ln n)"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        return cls(text) if text == "universal" else None

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.base import MAGNITUDE
        from threshcli.studies.ranks import median

        found = yield from median(MAGNITUDE)
        if not found.usable:
            raise self.useless("NaN")
        largest = math.sqrt(2 * math.log(found.usable))
        value = found.value / _NORMAL * largest if largest else 0.0
        return Answer(values=(exact(value),), usable=found.usable, unusable=found.unusable)
