"""What the commands that look at elements and write nothing have in common: their options, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from threshcli.cli import _completion, options
from threshcli.plan.asking import jobs_of
from threshcli.plan.selection import Selection
from threshcli.report import Kind
from threshcli.spec import parse_size

if TYPE_CHECKING:
    from threshcli.executors.examine import Means

Tensor = Annotated[
    list[str] | None,
    typer.Option(
        "--tensor",
        "-k",
        metavar="GLOB",
        help="Look at tensors whose names match. Repeatable. Default: all.",
        rich_help_panel=options.SELECTION,
        show_default=False,
        autocompletion=_completion.tensors,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        "-x",
        metavar="GLOB",
        help="Leave matching tensors out. Repeatable.",
        rich_help_panel=options.SELECTION,
        show_default=False,
        autocompletion=_completion.tensors,
    ),
]
Magnitude = Annotated[
    bool,
    typer.Option("--magnitude", help="Look at abs(x).", rich_help_panel=options.SELECTION, show_default=False),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="A report for programs on standard output.", rich_help_panel=options.REPORT, show_default=False
    ),
]


def kind_of(given: Mapping[str, Any]) -> Kind:
    """How is told what was found."""
    return "none" if given["quiet"] else "json" if given["json"] else "table"


def means_of(given: Mapping[str, Any]) -> Means:
    """Which tensors are looked at and with what, from the command's arguments."""
    selection = Selection(tuple(given["tensor"] or ()), tuple(given["exclude"] or ()))
    workers, memory = jobs_of(given["jobs"]), parse_size(given["max_memory"])
    from threshcli.executors.examine import Means  # late: mistakes are told before NumPy is loaded

    return Means(
        selection=selection,
        magnitude=given["magnitude"],
        jobs=workers,
        max_memory=memory,
        part="inputs" in given and given["inputs"].is_part,
    )
