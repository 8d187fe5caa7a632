"""`thresh unpack`: the way back from --pack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from threshcli.cli import options
from threshcli.cli._inputs import INPUTS, parameters, with_parameters
from threshcli.cli.command import OUTPUTS, REPORTING, carry_out
from threshcli.cli.outside import Outside
from threshcli.errors import UsageError
from threshcli.packings.base import Given
from threshcli.plan.asking import dtype_of, jobs_of
from threshcli.plan.names import Names
from threshcli.plan.request import Request
from threshcli.plan.unpacking import parse_shape
from threshcli.spec import parse_size

_PACKED = "Packed"
_Shape = Annotated[
    str | None,
    typer.Option(
        "--shape",
        metavar="N,N,...",
        help="Shape of a mask in bits that does not tell its own: in .npy and .pt.",
        rich_help_panel=_PACKED,
        show_default=False,
    ),
]
_Like = Annotated[
    str | None,
    typer.Option(
        "--like",
        metavar="FILE",
        help="A file whose tensors have the shapes and dtypes that masks are to have, by name.",
        rich_help_panel=_PACKED,
        show_default=False,
    ),
]
_OutDtype = Annotated[
    str | None,
    typer.Option(
        "--out-dtype",
        metavar="DTYPE",
        help="Dtype of masks. Default: the one that was packed; bool where that is not known.",
        rich_help_panel=options.OUTPUT,
        show_default=False,
    ),
]
_OPTIONS: tuple[tuple[str, Any, Any], ...] = (
    *INPUTS,
    ("shape", _Shape, None),
    ("like", _Like, None),
    *OUTPUTS,
    ("out_dtype", _OutDtype, None),
    *(item for item in REPORTING if item[0] != "fail_if"),  # nothing is counted of what is unpacked
)
_HELP = """Unpack what --pack has packed: masks and sparse weights.

The result is what the rule would have written without --pack, bit for bit; all else in a file stays as it is. In
.safetensors what is packed is told by the file, also by one that compressed-tensors has written in its sparse-bitmask
layout. Parts that do not fit each other are refused.

Example: thresh unpack mask.npy --shape 480,640 -o plain.npy
"""


def command(outside: Outside) -> Callable[..., int]:
    """The function behind the command."""

    def unpack(**given: Any) -> int:
        return carry_out(given, outside, lambda moments: _request(given), _given(given))

    return with_parameters(unpack, parameters(_OPTIONS), _HELP)


def _request(given: dict[str, Any]) -> Request:
    """No rule, and where the outputs go."""
    places = {name: given[name] for name in ("output", "out_dir", "keep_tree", "in_place", "to", "dry_run")}
    return Request(
        entries=(),
        command="unpack",
        names=Names(**places, rule="unpack"),
        overwrite=given["overwrite"],
        skip_existing=given["skip_existing"],
        fsync=given["fsync"],
        jobs=jobs_of(given["jobs"]),
        max_memory=parse_size(given["max_memory"]),
    )


def _given(given: dict[str, Any]) -> Given:
    """What is said of masks that say nothing of themselves."""
    shape, like = given["shape"], given["like"]
    if shape is not None and like is not None:
        raise UsageError("--shape and --like exclude each other", hint="say once what shape a mask has")
    found = Given(shape=None if shape is None else parse_shape(shape), dtype=dtype_of(given["out_dtype"]))
    if like is None:
        return found
    from threshcli.executors.unpack import shapes_of

    return Given(like=shapes_of(like), dtype=found.dtype)
