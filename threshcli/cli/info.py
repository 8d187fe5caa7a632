"""`thresh info`: what is in a file, from its header alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from threshcli import containers
from threshcli.cli import _looking, options
from threshcli.cli._inputs import takes_files
from threshcli.cli.outside import Outside
from threshcli.containers.base import Tensor
from threshcli.errors import ThreshError
from threshcli.executors.index import index_result
from threshcli.plan.index import is_index, members
from threshcli.plan.inputs import Inputs
from threshcli.plan.names import display_name
from threshcli.plan.opening import tensor_file
from threshcli.plan.selection import Selection, Sought
from threshcli.results import Failure, FileResult, TensorResult


def command(outside: Outside) -> Callable[..., int]:
    """The function behind the command."""

    def info(
        inputs: Inputs,
        tensor: _looking.Tensor = None,
        exclude: _looking.Exclude = None,
        json: _looking.Json = False,
        quiet: options.Quiet = False,
        verbose: options.Verbose = False,
        color: options.Color = "auto",
        debug: options.Debug = False,
    ) -> int:
        given, selection = locals(), Selection(tuple(tensor or ()), tuple(exclude or ()))
        files = _described(inputs, selection)
        return _looking.told(files, _looking.looked("info", {}), given, outside)

    info.__doc__ = """Show what a header tells: names, shapes, dtypes, metadata.

    Reads headers only, whatever the file's size.
    """
    return takes_files(info, outside)


def _described(inputs: Inputs, selection: Selection) -> Iterator[FileResult]:
    """What the headers of all files say of the tensors that are asked for. UsageError at the end, if there is a pattern
    that matches none of any file."""
    sought, read = Sought(selection), False
    for path in chain.from_iterable(map(members, inputs.paths)):
        result = describe(path)
        if result.error is None and not inputs.is_part:
            read = True
            sought.among([item.name for item in result.tensors])
        yield _chosen(result, selection)
    if read:
        sought.check()


def describe(path: str) -> FileResult:
    """What the header of a file says."""
    began = time.perf_counter()
    try:
        if is_index(path):
            return index_result(path, "dry-run")
        with tensor_file(path) as source:
            size, contents = source.size, containers.identify(source).read(source)
    except ThreshError as error:
        return FileResult(input=path, output=None, status="failed", error=Failure.of(error, path))
    return FileResult(
        input=path,
        output=None,
        status="dry-run",
        format=contents.container,
        bytes_in=size,
        seconds=time.perf_counter() - began,
        tensors=tuple(_tensor(tensor, display_name(path)) for tensor in contents.tensors),
        metadata=tuple(contents.metadata.items()),
        notes=contents.notes,
    )


def _chosen(result: FileResult, selection: Selection) -> FileResult:
    """A file with the tensors that are asked for."""
    return replace(result, tensors=tuple(item for item in result.tensors if selection.chosen(item.name)))


def _tensor(tensor: Tensor, stem: str) -> TensorResult:
    return TensorResult(
        name=tensor.name or stem,
        shape=tensor.shape,
        dtype=tensor.dtype.name,
        out_dtype=tensor.dtype.name,
        applied=False,
        elements=math.prod(tensor.shape),
        nbytes=tensor.nbytes,
        layout=_layout(tensor),
    )


def _layout(tensor: Tensor) -> str:
    plain = tuple(range(len(tensor.view.shape)))
    order = tensor.view.order
    layout = "C" if order == plain else "Fortran" if order == plain[::-1] else "permuted" if order else "strided"
    return f"{layout}, big-endian" if tensor.view.swapped else layout
