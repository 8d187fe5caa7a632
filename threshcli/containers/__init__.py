"""The file formats: one file each, found by themselves (`base` holds their contract)."""

from __future__ import annotations

import importlib
import os
import pkgutil
from functools import cache

from threshcli.containers.base import Container, Reader
from threshcli.errors import InputError, UsageError

IDENTIFYING = 64
"""Bytes at the beginning of a file that tell its container."""


@cache
def registered() -> dict[str, Container]:
    """Every container by its name."""
    found: dict[str, Container] = {}
    for module_info in pkgutil.iter_modules(__path__):
        if module_info.name == "base" or module_info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Container) and value.__module__ == module.__name__:
                found[value.name] = value()
    return found


def identify(reader: Reader) -> Container:
    """The container of a file, by its first bytes."""
    if not reader.size:
        raise InputError("is empty (0 bytes)")
    found = _recognised(reader)
    if found is not None:
        return found
    known = ", ".join(registered())
    raise InputError("is in no format that thresh knows", hint=f"it reads {known}, whatever the file's name")


def _recognised(reader: Reader) -> Container | None:
    head = reader.read(0, min(reader.size, IDENTIFYING))
    return next((container for container in registered().values() if container.sniff(head)), None)


def reach(reader: Reader) -> int:
    """How many bytes of a pipe are worth reading, as far as the first ones tell, which have come: none of what is in no
    format, and not many behind the end of what is."""
    if reader.size < IDENTIFYING:
        return IDENTIFYING
    found = _recognised(reader)
    return 0 if found is None else found.reach(reader)


def for_output(path: str, to: str | None, default: str) -> Container:
    """The container of an output: as `--to` says, else by the path's extension, else that of the input."""
    if to is not None:
        if to not in registered():
            raise UsageError(f"--to {to} is not a format", hint=f"use one of {', '.join(registered())}")
        return registered()[to]
    extension = os.path.splitext(path)[1].lower()  # noqa: PTH122 - a path object for each of many small files takes longer
    for container in registered().values():
        if extension in container.extensions:
            return container
    if extension in ("", ".", ".tmp", ".part"):
        return registered()[default]
    known = ", ".join(name for container in registered().values() for name in container.extensions)
    raise UsageError(f"{path}: {extension} is no extension of a tensor file", hint=f"use {known}, or say --to FORMAT")
