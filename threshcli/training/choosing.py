"""Which threshold is for which parameter, at which step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from threshcli import thresholds
from threshcli.dtypes import Real
from threshcli.errors import UsageError
from threshcli.functional.binding import is_number
from threshcli.near import near_names
from threshcli.spec import Number
from threshcli.thresholds.base import Worked
from threshcli.thresholds.number import NumberThreshold

Threshold: TypeAlias = float | Fraction | str | None
"""A number of 0 or more; a spec that is worked out from the gradients, such as "zero90%"; None leaves them alone."""
Thresholds: TypeAlias = Threshold | Mapping[str, Any] | Callable[[int], Any]
"""A threshold; thresholds by globs of parameters' names, of which the first that matches counts; or a schedule, which
is called with the number of the step, from 0, and returns one of these."""


class Choice(NamedTuple):
    """A threshold for a parameter; `group` tells parameters apart that share a pattern, None without patterns."""

    group: str | None
    value: Real | Worked


def check(given: Thresholds, names: Sequence[str] | None) -> None:
    """UsageError of thresholds that cannot be meant, or, where names are known, of patterns that match none of them;
    a schedule is asked later."""
    if isinstance(given, Mapping):
        _check_names(given, names)
        for value in given.values():
            check(value, names)
    elif not callable(given):
        _read(given)


def _check_names(given: Mapping[str, Any], names: Sequence[str] | None) -> None:
    if names is None:
        raise UsageError(
            "thresholds by name need parameters that have names",
            hint="give the module, or make the optimizer with model.named_parameters()",
        )
    if not given:
        raise UsageError("there is no pattern", hint='give thresholds by name, for instance {"*.weight": 0.01}')
    for pattern in given:
        if names and not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"{pattern!r} matches no parameter", hint=f"there is {near_names(pattern, names)[0]}, for instance"
            )


def choose(given: Thresholds, step: int, keys: Sequence[str], *, named: bool) -> list[Choice | None]:
    """A threshold for each parameter at a step, None for those that are left alone."""
    if callable(given):
        return choose(given(step), step, keys, named=named)
    if not isinstance(given, Mapping):
        value = _read(given)
        return [None if value is None else Choice(None, value)] * len(keys)
    _check_names(given, keys if named else None)
    values = {pattern: _read(_at(value, step)) for pattern, value in given.items()}
    return [next(_matching(key, values), None) for key in keys]


def _at(value: Any, step: int) -> Any:
    while callable(value):
        value = value(step)
    return value


def _matching(key: str, values: Mapping[str, Real | Worked | None]) -> Iterator[Choice | None]:
    for pattern, value in values.items():
        if fnmatchcase(key, pattern):
            yield None if value is None else Choice(pattern, value)


def _read(given: Any) -> Real | Worked | None:
    """A threshold as it is worked with; UsageError for what is none."""
    if given is None:
        return None
    if isinstance(given, str):
        return parsed(given)
    if not is_number(given):
        raise UsageError(
            f"a threshold for gradients is a {type(given).__name__}",
            hint='give a number, a spec such as "zero90%", thresholds by name, or a function of the step',
        )
    value = Number.of(given.item() if hasattr(given, "item") else given).value
    return _checked(value, str(given))


@lru_cache(maxsize=256)
def parsed(text: str) -> Real | Worked:
    """A threshold as the command line has it; UsageError for what gradients cannot be compared with."""
    source = thresholds.parse(text)
    if isinstance(source, NumberThreshold):
        return _checked(source.number.value, text)
    if not isinstance(source, Worked) or source.several:
        raise UsageError(
            f"{text!r} is no threshold for gradients", hint="write a number, or zero90%, top1%, p99, 2sigma, ..."
        )
    return source


def _checked(value: Real, text: str) -> Real:
    if (isinstance(value, float) and math.isnan(value)) or value < 0:
        raise UsageError(f"the threshold is {text}, and it is compared with magnitudes", hint="give 0 or more")
    return value
