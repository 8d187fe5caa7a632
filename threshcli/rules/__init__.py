"""The rules: one file each, found by their file names (`base` holds their contract)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from threshcli.rules.base import Rule


@cache
def registered() -> dict[str, type[Rule]]:
    """Every rule by its name, which is its file's; a file without a rule, or with two, is a fault."""
    found: dict[str, type[Rule]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        if module_info.name == "base":
            continue
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        classes = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, Rule) and value.__module__ == module.__name__
        ]
        if len(classes) != 1:
            raise TypeError(f"{module.__name__} must define one rule, not {len(classes)}")
        found[module_info.name] = classes[0]
    return found
