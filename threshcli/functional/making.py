"""From the arguments of a call to a rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from threshcli import rules
from threshcli.errors import UsageError
from threshcli.functional.binding import is_number
from threshcli.plan.asking import parsed_as
from threshcli.rules.base import Rule
from threshcli.spec import Number, Numbers

_PLAIN = (str, int, float, type(None))


def make(name: str, options: Mapping[str, object]) -> Rule:
    """A rule with these options, those that are None as they are by default; UsageError, naming the option, where a
    value is none that it takes."""
    if all(isinstance(value, _PLAIN) for value in options.values()):
        return _made(name, tuple((option, value, repr(value)) for option, value in options.items()))
    return _make(name, options)


@lru_cache(maxsize=256)
def _made(name: str, options: tuple[tuple[str, object, str], ...]) -> Rule:
    """The same, made once; values are told apart by how they are written, as 0.0 and -0.0, or 1 and True."""
    return _make(name, {option: value for option, value, _ in options})


def _make(name: str, options: Mapping[str, object]) -> Rule:
    kind = rules.find(name)
    hints = _hints(kind)
    known = {item.name for item in kind.options()}
    strange = sorted(set(options) - known)
    if strange:
        raise UsageError(f"{name} has no option {strange[0]!r}", hint=f"it has {', '.join(sorted(known))}")
    given = {option: value for option, value in options.items() if value is not None}
    values: dict[str, Any] = {option: _value(option, value, hints[option]) for option, value in given.items()}
    return kind(**values)


def rule_named(name: str) -> type[Rule]:
    """The rule of this name; UsageError where there is none."""
    if name not in rules.names():
        raise UsageError(f"there is no rule {name!r}", hint=f"there are {', '.join(sorted(rules.names()))}")
    return rules.find(name)


@cache
def _hints(kind: type[Rule]) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(option: str, value: object, hint: Any) -> object:
    if isinstance(value, str) and parsed_as(hint) is not None:
        return parsed_as(hint).parse(value)
    if hint is Numbers or Numbers in get_args(hint):
        several = value if isinstance(value, list | tuple) else [value]
        return Numbers(tuple(number(option, one) for one in several))
    if hint is Number or Number in get_args(hint):
        return number(option, value)
    kinds = [hint, *get_args(hint)]
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if choices and value not in choices:
        raise UsageError(f"{option} is {value!r}", hint=f"it is one of {', '.join(map(repr, choices))}")
    if parsed_as(hint) is not None and not isinstance(value, parsed_as(hint)):
        raise UsageError(f"{option} is a {type(value).__name__}", hint="give it as a text, as the command line has it")
    return value


def digits(value: object) -> Decimal | None:
    """A finite number of Python's or NumPy's, as the decimal that it is written as; None of anything else."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not math.isfinite(plain):
        return None
    return Decimal(repr(plain))


def number(option: str, value: object) -> Number:
    """A number as rules write it: a Python number, or digits in a text, exactly; UsageError for anything else."""
    if isinstance(value, Number):
        return value
    if isinstance(value, str):
        return Number.parse(value)
    if isinstance(value, bool):
        return Number.of(int(value))
    if is_number(value):
        return Number.of(value.item() if hasattr(value, "item") else value)  # type: ignore[arg-type]  # a number
    raise UsageError(f"{option} is a {type(value).__name__}, not a number", hint="give a number such as 0 or 1.5")
