"""The threshold sources: one file each, found by themselves (`base` holds their contract)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from threshcli.errors import UsageError
from threshcli.thresholds.base import Threshold


@cache
def registered() -> tuple[type[Threshold], ...]:
    """Every source."""
    found = []
    for module_info in pkgutil.iter_modules(__path__):
        if module_info.name == "base":
            continue
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        found += [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, Threshold) and value.__module__ == module.__name__
        ]
    return tuple(found)


def parse(text: str) -> Threshold:
    """The threshold that is written so; UsageError where no source takes it, listing what can be written."""
    for source in registered():
        threshold = source.parse(text)
        if threshold is not None:
            return threshold
    forms = "; ".join(f"{source.form}: {source.meaning}" for source in registered())
    raise UsageError(f"{text!r} is not a threshold", hint=f"write {forms}")
