"""The threshold of BayesShrink."""

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
class Bayes(Worked):
    """`bayes`: the noise's variance over the signal's standard deviation.

    Formula: sigma^2 / sigma_x, with sigma = median(abs(x)) / 0.6745 and sigma_x = sqrt(mean(x^2) - sigma^2), in
    float64; the largest magnitude where the variance does not exceed the noise (Chang, Yu & Vetterli 2000,
    doi:10.1109/83.862633).
    """

    form: ClassVar[str] = "bayes"
    meaning: ClassVar[str] = "BayesShrink"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        return cls(text) if text == "bayes" else None

    def work(self, terms: Terms) -> Study[Answer]:
        from threshcli.studies.base import MAGNITUDE
        from threshcli.studies.ranks import median
        from threshcli.studies.summary import summary

        whole = yield from summary(MAGNITUDE)
        if whole.high is None:
            raise self.useless("NaN or infinite")
        if math.isinf(whole.norm2):
            raise self.overflows()
        sigma = (yield from median(MAGNITUDE)).value / _NORMAL
        size = whole.norm2 / math.sqrt(whole.finite)
        share = sigma / size if size else 1.0  # squares of these would overflow, or vanish
        value = exact(sigma * share / math.sqrt((1 - share) * (1 + share))) if share < 1 else whole.high
        return Answer(values=(value,), usable=whole.finite, unusable=whole.nan + whole.inf)
