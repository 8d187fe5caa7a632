"""The variables of recipes: what stands for `{name}` in a text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from threshcli.errors import UsageError

_VARIABLE = re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)


@dataclass(slots=True)
class Variables:
    """The values that stand for names in braces: those of the recipe, over which goes what is set by the user."""

    values: Mapping[str, Any]
    literal: bool = False
    """Whether braces are but braces."""
    _used: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, defaults: Any, given: Mapping[str, object], literal: bool) -> Variables:
        """These defaults and settings; UsageError where they are none."""
        if not isinstance(defaults, Mapping):
            raise UsageError("variables is no table", hint='write [variables], and below it: density = "10%"')
        for name, value in defaults.items():
            if not _VARIABLE.fullmatch("{" + name + "}"):
                raise UsageError(f"{name!r} cannot be a variable", hint="use letters, digits and _: t, density, low_1")
            if isinstance(value, Mapping | list):
                raise UsageError(f"variable {name} is a list or a table", hint="give a number, a text, true or false")
        return cls({**defaults, **given}, literal)

    def put(self, value: Any) -> Any:
        """A value with its variables replaced; a text that is nothing but one becomes what that is."""
        if isinstance(value, list):
            if any(isinstance(one, list) for one in value):
                raise UsageError("a list is within another one, which no option has", hint="write one list: [0.1, 0.2]")
            return [self.put(one) for one in value]
        if self.literal or not isinstance(value, str):
            return value
        whole = _VARIABLE.fullmatch(value)
        return self._value(whole[1]) if whole else _VARIABLE.sub(lambda match: str(self._value(match[1])), value)

    def _value(self, name: str) -> Any:
        if name not in self.values:
            raise UsageError(f"the variable {name} is not set", hint=f"set it: --set {name}=VALUE, or in [variables]")
        self._used.add(name)
        return self.values[name]

    def check_used(self) -> None:
        """UsageError where one stands for nothing."""
        idle = [name for name in self.values if name not in self._used]
        if idle:
            raise UsageError(f"the variable {idle[0]} is not used", hint=near_name(idle[0], self._used, "write {NAME}"))


def near_name(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint at the known name that was meant, if one is near."""
    near = difflib.get_close_matches(name.replace("-", "_"), list(known), 1)
    return f"did you mean {near[0]}?" if near else otherwise
