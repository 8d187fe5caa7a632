"""The packings: one file each, found by their file names (`base` holds their contract)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from threshcli.errors import UsageError
from threshcli.packings.base import Packing


def names() -> list[str]:
    """The names of all packings, without importing them."""
    return [item.name for item in pkgutil.iter_modules(__path__) if item.name != "base" and item.name[0] != "_"]


@cache
def find(name: str) -> Packing:
    """The packing of this name, which is its file's; UsageError where there is none."""
    if name not in names():
        raise UsageError(f"--pack {name} is no packing", hint=f"there are {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Packing) and value.__module__ == module.__name__:
            return value()
    raise TypeError(f"{module.__name__} must define a packing")


def registered() -> dict[str, Packing]:
    """Every packing by its name."""
    return {name: find(name) for name in names()}
