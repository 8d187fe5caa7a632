"""Whether a rule and its thresholds fit one tensor, as far as can be said before any element is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise

from threshcli.containers.base import Tensor
from threshcli.dtypes import DType, Real
from threshcli.errors import UsageError
from threshcli.plan.request import Step
from threshcli.rules.base import Rule, Slot, crossed, slot_of
from threshcli.thresholds.base import Bound, Fixed, Spread, Worked

_Cut = tuple[Real, float]


@lru_cache(maxsize=64)  # asked of each tensor
def check_dtypes(rule: Rule, dtype: DType, out: DType) -> None:
    """UsageError where the rule's constants, or the values that it keeps, have no place in the output's dtype."""
    for option, number in rule.constants():
        number.code(out, option)
    policy = rule.nan_policy
    if policy.action == "keep" and rule.decides and dtype.is_float and not out.is_float:
        hint = "use --nan below, above or fill=V" if rule.levels else "leave it out, or use --nan fill=V"
        raise UsageError(f"--nan keep cannot keep NaN in {out.name}", hint=hint)
    if out is dtype or out.compared.is_float or rule.decides:
        return
    fits = not dtype.is_float and dtype.is_real and out.kind in ("int", "uint")
    if not fits or not (out.keys.low <= dtype.keys.low and dtype.keys.high <= out.keys.high):
        raise UsageError(
            f"values of {dtype.name} do not all fit in {out.name}",
            hint="use the rule binary for masks, or a floating-point --out-dtype",
        )


def check_source(step: Step, source: Worked, slot: Slot, tensor: Tensor) -> None:
    """UsageError where a source that is worked out from data cannot serve this rule or this tensor."""
    rule, scope = step.rule, step.fit.scope
    source.check({tensor.dtype})
    if source.several and not slot.many:
        raise UsageError(f"{source.text} gives several cuts, and {step.name} takes one", hint="use otsu")
    if source.keeps_largest and getattr(rule, "compare", None) in ("lt", "le"):
        raise UsageError(
            f"{source.text} keeps the largest, --compare {getattr(rule, 'compare', '')} the smallest",
            hint="use --compare gt or ge, or a percentile such as p10",
        )
    rank = len(tensor.shape)
    if scope.kind == "axis" and not -rank <= scope.axis < rank:
        raise UsageError(f"has {rank} axes, and --scope is {scope}", hint="choose tensors with --tensor GLOB")


def each_cut(bound: Bound, cuts: int) -> Iterator[Bound]:
    """The single cuts of a source that gives so many."""
    if isinstance(bound, Fixed) and bound.found is not None:
        for value in bound.found.values:
            yield bound._replace(value=value, found=bound.found._replace(values=(value,)))
    elif isinstance(bound, Spread):
        for place in range(cuts):
            own = (answer._replace(values=(answer.values[place],)) for answer in bound.found)
            yield bound._replace(found=tuple(own))
    else:
        yield bound


def check_ranks(rule: Rule, bounds: Mapping[str, Bound], elements: int) -> None:
    """UsageError where of two equal cuts of one slot, in a tensor of so many elements, the first leaves more of those
    that are equal to it below."""
    reached = getattr(rule, "compare", None) == "ge"
    for (first, low), (second, high) in pairwise(bounds.items()):
        pairs = (
            _matched(*(_places(bound, elements, reached) for bound in (low, high)))
            if slot_of(first) == slot_of(second)
            else []
        )
        if any(a[0] == b[0] and a[1] < b[1] for a, b in pairs):
            raise crossed(first, second)


def _places(bound: Bound, elements: int, reached: bool) -> list[_Cut]:
    """A number, or those along an axis, with the position before which elements equal to it are above it."""
    found = [(bound.value, bound.above)] if isinstance(bound, Fixed) else []
    if isinstance(bound, Spread):
        found = [(answer.values[0], answer.above) for answer in bound.found]
    everywhere = elements // max(1, len(found))
    return [
        (value, (math.inf if reached else 0) if above is None else math.inf if above == everywhere else above)
        for value, above in found
    ]


def _matched(a: list[_Cut], b: list[_Cut]) -> Iterator[tuple[_Cut, _Cut]]:
    """What meets each other of two lists, of which one may stand for the whole axis."""
    for index in range(max(len(a), len(b)) if a and b else 0):
        yield a[index % len(a)], b[index % len(b)]


def combinations(bounds: Mapping[str, Bound]) -> Iterator[dict[str, Real]]:
    """The numbers that are compared with together: those of all slots, for each index along an axis."""
    numbers = {key: bound for key, bound in bounds.items() if isinstance(bound, Fixed | Spread)}
    lengths = [len(bound.found) for bound in numbers.values() if isinstance(bound, Spread)]
    for index in range(max(lengths, default=1)):
        yield {
            key: bound.value if isinstance(bound, Fixed) else bound.found[index].values[0]
            for key, bound in numbers.items()
        }
