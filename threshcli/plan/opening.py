"""Tensor files as inputs, open for reading."""

from __future__ import annotations

from threshcli import containers
from threshcli.storage.local import Source


def tensor_file(name: str) -> Source:
    """A tensor file, or the copy of what a pipe says of one: what is none, and what comes behind its end, is not waited
    for. InputError where there is nothing to read."""
    return Source(name, containers.reach)
