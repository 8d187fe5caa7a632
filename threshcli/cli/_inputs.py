"""The files that a command takes: their options, once for all commands, and what is made of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from threshcli.cli import options
from threshcli.cli.outside import Outside
from threshcli.errors import InputError, UsageError
from threshcli.plan.inputs import Inputs, Search, Shard, check_stdin, chunks_of, gather, listed
from threshcli.storage.spool import STDIN

INPUTS: tuple[tuple[str, Any, Any], ...] = (
    ("files", options.Files, None),
    ("recursive", options.Recursive, False),
    ("glob", options.Glob, None),
    ("files_from", options.FilesFrom, None),
    ("null", options.Null, False),
    ("shard", options.Shard, None),
)
"""What every command that takes FILE... has to say which files they are."""

_CHUNK = 1 << 16


def takes_files(function: Callable[..., int], outside: Outside) -> Callable[..., int]:
    """A command from a function of `inputs` and the command's own options: with the options of the inputs, which come
    gathered."""

    def command(**given: Any) -> int:
        asked = {name: given.pop(name) for name, _, _ in INPUTS}
        return function(inputs=inputs_of(asked, outside), **given)

    own = [item for item in inspect.signature(function, eval_str=True).parameters.values() if item.name != "inputs"]
    return with_parameters(command, [*parameters(INPUTS), *own], function.__doc__)


def with_parameters(
    command: Callable[..., int], found: Iterable[inspect.Parameter], doc: str | None = None
) -> Callable[..., int]:
    """A function that shows typer these parameters."""
    keywords = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in found]
    command.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in keywords}
    command.__doc__ = doc
    return command


def parameters(items: Iterable[tuple[str, Any, Any]]) -> list[inspect.Parameter]:
    """Parameters from their names, annotations and defaults."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, kind, annotation=annotation, default=default) for name, annotation, default in items
    ]


def inputs_of(given: Mapping[str, Any], outside: Outside) -> Inputs:
    """The inputs that a command's arguments mean, its outputs' folder left out; raises UsageError."""
    files, listing = given["files"] or (), given["files_from"]
    check_stdin(files, listing)
    if given["null"] and listing is None:
        raise UsageError("--null is for --files-from", hint="add --files-from LIST, or - for standard input")
    shard = None if given["shard"] is None else Shard.parse(given["shard"])
    search = Search(recursive=given["recursive"], patterns=tuple(given["glob"] or ()), besides=given.get("out_dir"))
    return gather(_names(files, listing, given["null"], outside), search, shard)


def _names(files: Iterable[str], listing: str | None, null: bool, outside: Outside) -> Iterator[str]:
    yield from files
    if listing in STDIN:
        yield from listed("standard input", _chunks(outside.input), null=null)
    elif listing is not None:
        yield from listed(listing, chunks_of(listing), null=null)


def _chunks(stream: BinaryIO | None) -> Iterator[bytes]:
    """The bytes of standard input."""
    hint = "send names into it, or name a file: --files-from LIST"
    if stream is None:
        raise InputError("standard input is closed", hint=hint)
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except OSError as error:
        raise InputError(f"standard input cannot be read: {error.strerror}", hint=hint) from error
