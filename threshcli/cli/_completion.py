"""What a shell may complete: names of tensors, from the headers of the files that are named already, and devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

_MOST_FILES = 16
_DEVICES = ("auto", "cpu", "cuda", "mps")


def tensors(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of tensors that begin like this. Files that cannot be read have none: the command will tell of them."""
    named = [ctx.params.get(item.name or "") for item in ctx.command.params if item.param_type_name == "argument"]
    files = [path for one in named for path in ([one] if isinstance(one, str) else one or ())]
    files += ctx.args  # what is incomplete is not parsed to the end
    found = {name: None for path in files[:_MOST_FILES] for name in _names(path) if name.startswith(incomplete)}
    return list(found)


def devices(incomplete: str) -> list[str]:
    """The devices that begin like this."""
    return [name for name in _DEVICES if name.startswith(incomplete)]


def _names(path: str) -> Iterator[str]:
    from pathlib import Path

    from threshcli.errors import ThreshError
    from threshcli.plan.files import read_header
    from threshcli.plan.index import members

    with contextlib.suppress(ThreshError, OSError, ValueError):
        for member in members(path):
            if Path(member).is_file():  # a pipe would wait, and be read once
                yield from (tensor.name for tensor in read_header(member)[0].tensors if tensor.name)
