"""Several rules in one pass over the data, each over what the one before has made. No command of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from threshcli.dtypes import DType
from threshcli.errors import InputError
from threshcli.kernels.base import Block, Cut, Kernels, Mask
from threshcli.rules.base import Outcome, Rule, Slot
from threshcli.spec import Number


class Link(NamedTuple):
    """One rule of a chain: its name, the dtypes of what it gets and of what it makes, and how many cuts it takes."""

    name: str
    rule: Rule
    dtype: DType
    out: DType
    cuts: int


@dataclass(frozen=True)
class Chain(Rule):
    """Rule after rule, as if each had written a file that the next one reads.

    What is selected is what every rule selects, or what the last does if that decides. Cuts are those of all rules, one
    after the other.
    """

    slots: ClassVar[tuple[Slot, ...]] = ()
    keeps_nan: ClassVar[bool] = False  # each rule has dealt with it

    links: tuple[Link, ...] = ()

    @property
    def decides(self) -> bool:
        return self.links[-1].rule.decides

    def operator(self) -> str:
        return "; ".join(link.rule.operator() for link in self.links)

    def output(self, dtype: DType) -> DType:
        return self.links[-1].out

    def arithmetic(self, dtype: DType) -> DType:
        """The widest of all that is calculated in."""
        kinds = (kind for link in self.links for kind in (link.rule.arithmetic(link.dtype), link.out))
        return max(kinds, key=lambda kind: kind.itemsize)

    def constants(self) -> list[tuple[str, Number]]:
        return [pair for link in self.links for pair in link.rule.constants()]

    def stays_finite(self, dtype: DType, out: DType) -> bool:
        return all(link.rule.stays_finite(link.dtype, link.out) for link in self.links)

    def apply(self, k: Kernels, x: Block, out: DType, *cuts: Cut) -> Outcome:
        made, selected, left = x, None, iter(cuts)
        for number, link in enumerate(self.links, 1):
            outcome = _linked(k, made, link, number, left)
            made, whole = outcome.out, selected is None or link.rule.decides
            selected = outcome.selected if selected is None or whole else k.both(selected, outcome.selected)
        if selected is None:
            raise ValueError("a chain without rules")
        return Outcome(made, selected)


def _linked(k: Kernels, x: Block, link: Link, number: int, cuts: Iterator[Cut]) -> Outcome:
    """What one rule makes of a block, NaN and all; it takes its cuts from those that are left."""
    rule = link.rule
    made, selected = rule.apply(k, x, link.out, *(next(cuts) for _ in range(link.cuts)))
    if not (rule.keeps_nan and link.dtype.compared.is_float):
        return Outcome(made, selected)
    nan = k.isnan(x)
    if not k.count(nan):
        return Outcome(made, selected)
    policy = rule.nan_policy.action
    if policy == "error":
        raise InputError(
            f"holds NaN where step {number}, {link.name}, begins",
            hint=f'choose what becomes of it: nan = "keep" or "fill=V" in step {number}',
        )
    chosen: Mask = k.mix(nan, nan, selected) if policy == "above" else selected
    return Outcome(rule.with_nan(k, x, made, link.out), chosen)
