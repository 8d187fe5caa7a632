"""Thresholds as the table shows them: the comparison, and the number that was used in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from threshcli.report import figures
from threshcli.results import Scalar, TensorResult, ThresholdUsed

_MOST = 4
"""With more cuts, the first and the last stand for all."""

_PLACE = re.compile(r"\b(?!(x|not)\b)[A-Za-z]\w*")
"""Any word of an operator but `x` and `not` is the place of a threshold: `T`, `low`, `high`."""


def describe(operator: str, tensors: Sequence[TensorResult], *, specs: bool = True) -> str:
    """The thresholds of these tensors within `operator`: `> 0.5`, `|x| > 0.01 .. 0.3 (zero90%)`; the specification
    of one that varies can be left out.
    """
    if len(tensors) == 1 and tensors[0].applied:
        return _of_one(operator, slots_of(tensors[0]), specs)
    return _described(operator, tensors, specs)


@lru_cache(maxsize=64)
def _of_one(operator: str, used: tuple[ThresholdUsed, ...], specs: bool) -> str:
    """Those of a tensor that the rule was applied to; in a batch they are the same again and again."""
    return _filled(operator, [used], specs) if used else _placeless(operator, applied=True)


def _described(operator: str, tensors: Sequence[TensorResult], specs: bool) -> str:
    used = [slots_of(item) for item in tensors if item.applied and item.threshold is not None]
    if not used:  # an operator without a place for thresholds says all there is to say
        return _placeless(operator, applied=any(item.applied for item in tensors))
    return _filled(operator, used, specs)


def _placeless(operator: str, *, applied: bool) -> str:
    return operator if applied and operator and not _PLACE.search(operator) else figures.NOTHING


def _filled(operator: str, used: Sequence[tuple[ThresholdUsed, ...]], specs: bool) -> str:
    """The operator with the thresholds of several tensors in its places."""
    if len({len(slots) for slots in used}) > 1:
        return "varies"
    texts = [_text(slot, specs) for slot in zip(*used, strict=True)]
    places = len(_PLACE.findall(operator))
    if len(texts) > max(_MOST, places):
        texts = [f"{texts[0]}, ... {texts[-1]} ({len(texts)} cuts)"]
    elif places == 1:
        texts = [", ".join(texts)]
    if places != len(texts):
        return ", ".join(texts)
    filled = iter(texts)
    return _PLACE.sub(lambda _: next(filled), operator).removeprefix("x ")


def slots_of(tensor: TensorResult) -> tuple[ThresholdUsed, ...]:
    """The thresholds of a tensor, one a slot."""
    used = tensor.threshold
    return () if used is None else used if isinstance(used, tuple) else (used,)


def _text(slot: Sequence[ThresholdUsed], specs: bool) -> str:
    """What one slot was, over several tensors: a number, a range, or what was asked where no number is known."""
    ends = [end for used in slot for end in _ends(used)]
    if not ends:
        return slot[0].spec
    low, high = figures.number(min(ends)), figures.number(max(ends))
    if min(ends) == max(ends):
        return f"{low} ({slot[0].spec})" if specs and slot[0].worked_out else low
    return f"{low} .. {high} ({slot[0].spec})" if specs else f"{low} .. {high}"


def _ends(used: ThresholdUsed) -> list[Scalar]:
    return [value for value in (used.value, used.min, used.max) if value is not None]
