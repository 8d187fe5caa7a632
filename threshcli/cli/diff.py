"""`thresh diff`: whether two files hold the same tensors, and if not, what differs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from threshcli.cli import _looking, options
from threshcli.cli.outside import Outside
from threshcli.errors import ConditionFalse, UsageError
from threshcli.plan.inputs import Search, gather
from threshcli.spec import Number
from threshcli.storage.spool import STDIN
from threshcli.verdicts import FileDiff

if TYPE_CHECKING:
    from threshcli.executors.diff import Pair

_PANEL = "Comparison"


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_PANEL, show_default=False, **more)


_A = Annotated[str, typer.Argument(metavar="A", help="A tensor file, a folder, or - for standard input.")]
_B = Annotated[str, typer.Argument(metavar="B", help="What to compare it with.")]
_Rtol = Annotated[
    str | None, _option("--rtol", metavar="NUMBER", help="Equal is |a-b| <= atol + rtol |b|. Default: 0.")
]
_Atol = Annotated[str | None, _option("--atol", metavar="NUMBER", help="The same. Default: 0.")]
_NanDiffers = Annotated[bool, _option("--nan-differs", help="NaN does not equal NaN.")]
_Bits = Annotated[bool, _option("--bits", help="Equal is what has the same bits: -0.0 is not 0.0, NaN have payloads.")]
_IgnoreDtype = Annotated[bool, _option("--ignore-dtype", help="Another dtype of the same values is no difference.")]
_Metadata = Annotated[bool, _option("--metadata", help="Compare the metadata of .safetensors, too.")]
_Max = Annotated[
    int,
    typer.Option(
        "--max",
        metavar="N",
        min=0,
        help="Rows that are shown at most; -v shows all. Default: 100.",
        rich_help_panel=options.REPORT,
        show_default=False,
    ),
]


def command(outside: Outside) -> Callable[..., int]:
    """The function behind the command."""

    def diff(
        a: _A,
        b: _B,
        rtol: _Rtol = None,
        atol: _Atol = None,
        nan_differs: _NanDiffers = False,
        bits: _Bits = False,
        ignore_dtype: _IgnoreDtype = False,
        metadata: _Metadata = False,
        recursive: options.Recursive = False,
        glob: options.Glob = None,
        tensor: _looking.Tensor = None,
        exclude: _looking.Exclude = None,
        jobs: options.Jobs = "auto",
        max_memory: options.MaxMemory = "64MiB",
        json: _looking.Json = False,
        max: _Max = 100,
        quiet: options.Quiet = False,
        verbose: options.Verbose = False,
        color: options.Color = "auto",
        debug: options.Debug = False,
    ) -> int:
        return _run(locals(), outside)

    diff.__doc__ = """Compare two files: tensors, shapes, dtypes, values. Of any formats; exit status 1 if they differ.

    Values are compared exactly, whatever the dtypes: a bfloat16 equals the float32 of its value, and 2^53 + 1 in int64
    no float64. NaN equals NaN, and -0.0 equals 0.0. Another dtype is a difference by itself. A tensor without a name
    (.npy) is compared with the only one of the other file. Order in memory and byte order do not count. Shown is what
    differs; with -v every tensor. Of two folders the files with the same names are compared.

    Example: thresh diff weights.safetensors pruned.safetensors --atol 1e-6
    """
    return diff


def _run(given: Mapping[str, Any], outside: Outside) -> int:
    limits = {name: _limit(name, given[name]) for name in ("rtol", "atol")}
    for name in ("rtol", "atol", "nan_differs", "ignore_dtype"):
        if given["bits"] and given[name]:
            raise UsageError(f"--bits and --{name.replace('_', '-')} exclude each other", hint="choose one of them")
    means = _looking.means_of({**given, "magnitude": True})
    from threshcli.engine.differing import Tolerance
    from threshcli.executors.diff import Asked, compare

    pairs = _pairs(given["a"], given["b"], Search(recursive=given["recursive"], patterns=tuple(given["glob"] or ())))
    tolerance = Tolerance(**limits, nan_equal=not given["nan_differs"], bits=given["bits"])
    asked = Asked(tolerance=tolerance, ignore_dtype=given["ignore_dtype"], metadata=given["metadata"])
    names = ("nan_differs", "bits", "ignore_dtype", "metadata", "max")
    params = {**limits, **{name: given[name] for name in names}}
    seen = _looking.Seen(compare(pairs, means, asked), lambda file: isinstance(file, FileDiff) and not file.same)
    status = _looking.told(seen, _looking.looked("diff", params), given, outside)
    return status or (ConditionFalse.exit_code if seen.any else 0)


def _limit(name: str, text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        number = Number.parse(text.removeprefix("="))
    except UsageError as error:
        raise UsageError(f"--{name}: {error.what}", hint=error.hint) from error
    if not number.value >= 0:
        raise UsageError(f"--{name} {text} is not a number from 0", hint="write it as 1e-6")
    return float(number.plain)


def _pairs(a: str, b: str, search: Search) -> Sequence[Pair]:
    """The two files, or those of two folders; raises UsageError."""
    from threshcli.executors.diff import Pair, paired

    if a in STDIN and b in STDIN:
        raise UsageError("standard input can be read once", hint="name a file to compare it with")
    folders = tuple(bool(name) and os.path.isdir(name) for name in (a, b))  # noqa: PTH112 - as elsewhere
    if folders == (True, True):
        return paired(*(gather([name], search).files for name in (a, b)))
    if any(folders):
        folder, other = (a, b) if folders[0] else (b, a)
        raise UsageError(f"{folder} is a folder, and {other} is none", hint="name two files, or two folders")
    if search.recursive or search.patterns:
        raise UsageError("--recursive and --glob are for two folders", hint="leave them out")
    return [Pair(a, b)]
