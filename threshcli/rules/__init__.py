"""The rules: one file each, found by their file names (`base` holds their contract)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from threshcli.rules.base import Rule


def names() -> list[str]:
    """The names of all rules, without importing them; modules whose names begin with an underscore hold none."""
    return [item.name for item in pkgutil.iter_modules(__path__) if item.name != "base" and item.name[0] != "_"]


@cache
def find(name: str) -> type[Rule]:
    """The rule of this name, which is its file's; a file without a rule, or with two, is a fault."""
    module = importlib.import_module(f"{__name__}.{name}")
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Rule) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise TypeError(f"{module.__name__} must define one rule, not {len(classes)}")
    return classes[0]


def registered() -> dict[str, type[Rule]]:
    """Every rule by its name."""
    return {name: find(name) for name in names()}
