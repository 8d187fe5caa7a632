"""What is counted of each tile, in the cheapest way that is exact.

Where a rule leaves zeros in place of what it drops, or writes two constants, most counts follow from others; the
general way compares input and output. A test holds both to the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from threshcli.dtypes import DType, Real
from threshcli.kernels.base import Block, Cut, Kernels, Mask, Scalar
from threshcli.rules.base import Outcome, Rule
from threshcli.spec import Number
from threshcli.stats import Counts, Measure

_PRECISE = 1 << 22  # tensors under this many elements have their squares taken in float64
_MOST_CONSTANTS = 8  # to look for more of them costs more than to compare input and output


class _Facts(NamedTuple):
    """What certain cuts mean: whether they are numbers, and if so, whether zeros are selected, and the values that a
    decision leaves as they are (None: not known)."""

    numbers: bool = False
    zero_selected: bool = False
    kept: tuple[_Kept, ...] | None = None


class _Kept(NamedTuple):
    """A value that a decision leaves as it is: as a cut, and as a number of the kind that extremes are."""

    cut: Scalar
    value: float | int


def _unchanged(k: Kernels, x: Block, found: Measure, kept: tuple[_Kept, ...]) -> int:
    """How many elements have a value that a decision leaves as it is."""
    many, low, high = 0, found.low, found.high
    for cut, value in kept:
        if value == 0:
            many += found.zeros
        elif low is not None and high is not None and low <= value <= high:
            many += k.count(k.between(x, ("ge", cut), ("le", cut)))
    return many


class Counting:
    """Counts for one tensor: its rule, its dtypes, whether norms and means are wanted."""

    def __init__(self, rule: Rule, dtype: DType, out: DType, elements: int, *, norms: bool, means: bool) -> None:
        self._rule, self._dtype, self._out = rule, dtype, out
        self._norms, self._means = norms or means, means
        self._precise = elements < _PRECISE
        self._zero_filled = rule.filler is not None and rule.filler.value == 0 and out is dtype and dtype.signed
        self._stays_finite = rule.stays_finite(dtype, out)
        self._nan_selected = rule.nan_policy.action == "above"
        self._known: dict[tuple[Cut, ...], _Facts] = {}
        self._latest: tuple[Sequence[Cut], _Facts] | None = None

    def tile(
        self,
        k: Kernels,
        x: Block,
        out: Block,
        selected: Mask,
        found: Sequence[Measure],
        cuts: Sequence[Cut],
        counts: Sequence[Counts],
    ) -> None:
        """Add what there is to count of a tile to `counts`; of one that is several tensors, to those of each."""
        many = len(counts)
        if many == 1:
            self._count(k, x, out, selected, found[0], cuts, counts[0])
        else:
            parts = zip(x.parts(many), out.parts(many), selected.reshape(many, -1), found, counts, strict=True)
            for part, made, mask, measure, own in parts:
                with k.scratch():
                    self._count(k, part, made, mask, measure, cuts, own)
        if self._norms:
            self._moments(k, x, out, not any(measure.nan or measure.inf for measure in found), counts)

    def _count(
        self, k: Kernels, x: Block, out: Block, selected: Mask, found: Measure, cuts: Sequence[Cut], counts: Counts
    ) -> None:
        elements, chosen = k.elements(x), k.count(selected)
        counts.elements += elements
        counts.nan += found.nan
        counts.inf += found.inf
        counts.zeros_before += found.zeros
        counts.extremes(found.low, found.high)
        counts.selected += chosen + (found.nan if self._nan_selected else 0)
        facts = self._facts(k, cuts)
        numbers = facts.numbers and not found.nan
        if self._zero_filled and (numbers or not (found.nan or found.zeros)):  # a map may select some zeros
            zeros = 0 if facts.zero_selected else found.zeros
            dropped = elements - chosen - zeros  # of those that are not zero
            counts.changed += dropped
            counts.zeros_after += found.zeros + dropped
        elif not found.nan and self._rule.moves_all(self._dtype, self._out, found, cuts):
            counts.changed += elements - found.zeros
            counts.zeros_after += elements - chosen
        elif numbers and facts.kept is not None:
            counts.changed += elements - _unchanged(k, x, found, facts.kept)
            counts.zeros_after += self._zeros(k, out, elements, chosen, found.nan)
        else:
            counts.changed += k.changed(x, out, found.nan)
            counts.zeros_after += self._zeros(k, out, elements, chosen, found.nan)

    def _apply(self, k: Kernels, value: Real, cuts: Sequence[Cut]) -> Outcome:
        """What the rule does with elements of this value: it is asked, with one."""
        code = self._dtype.encode(value) or 0
        one = k.load(memoryview(bytearray(code.to_bytes(self._dtype.itemsize, "little"))), self._dtype)
        return self._rule.apply(k, one, self._out, *cuts)

    def _facts(self, k: Kernels, cuts: Sequence[Cut]) -> _Facts:
        """What the rule does with zeros, and which values a decision leaves as they are; asked once for the same cuts
        (those by rank may change from tile to tile)."""
        latest = self._latest
        if latest is not None and latest[0] is cuts:
            return latest[1]
        if not all(isinstance(cut, Scalar) for cut in cuts):
            return _Facts()
        known = self._known.get(tuple(cuts)) or self._known.setdefault(tuple(cuts), self._ask(k, cuts))
        self._latest = cuts, known
        return known

    def _ask(self, k: Kernels, cuts: Sequence[Cut]) -> _Facts:
        if self._zero_filled:
            return _Facts(True, k.count(self._apply(k, Fraction(0), cuts).selected) == 1)
        constants = self._rule.written(len(cuts))
        if constants is None or len(constants) > _MOST_CONSTANTS:
            return _Facts(True)
        kept = {}
        for number in constants:
            value = self._same_value(number)
            if value is not None:
                made = int.from_bytes(k.store(self._apply(k, value, cuts).out), "little")
                if made == number.stored(self._out):
                    whole = isinstance(value, Fraction) and value.denominator == 1
                    kept[value] = _Kept(Scalar(value), int(value) if whole else float(value))
        return _Facts(True, kept=tuple(kept.values()))

    def _zeros(self, k: Kernels, out: Block, elements: int, chosen: int, nan: int) -> int:
        levels = self._rule.levels
        if levels is None or nan:
            return k.zeros(out)
        return chosen * (levels[0].value == 0) + (elements - chosen) * (levels[1].value == 0)

    def _same_value(self, number: Number) -> Real | None:
        """The value that the output holds for a constant, if an element of the input can have just that."""
        if number.is_nan:
            return None
        value = self._out.value(self._out.key(number.value)) if self._out.is_float else number.value
        if self._dtype.is_float:
            return value if self._dtype.value(self._dtype.key(value)) == value else None
        return value if self._dtype.encode(value) is not None else None

    def _moments(self, k: Kernels, x: Block, out: Block, clean: bool, counts: Sequence[Counts]) -> None:
        many, precise = len(counts), self._precise
        before = k.moments_of(x, many, clean=clean, precise=precise, sums=self._means)
        # finite elements stay finite unless a constant is infinite or a cast overflows
        after = k.moments_of(out, many, clean=clean and self._stays_finite, precise=precise, sums=False)
        for own, (sums, squares), (_, left) in zip(counts, before, after, strict=True):
            if self._means:
                own.sums.add(sums)
            own.squares.add(squares)
            own.squares_after.add(left)
