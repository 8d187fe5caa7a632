"""`thresh solve`: the threshold alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer

from threshcli.cli import _looking, options
from threshcli.cli._bare import Bare
from threshcli.cli._inputs import takes_files
from threshcli.cli.batch import Call, Reporting
from threshcli.cli.command import telling
from threshcli.cli.outside import Outside
from threshcli.dtypes import FLOAT64
from threshcli.errors import UsageError
from threshcli.plan.asking import axes_of, fitting, jobs_of
from threshcli.plan.inputs import Inputs
from threshcli.plan.names import Names
from threshcli.plan.request import Request
from threshcli.plan.selection import Selection
from threshcli.report import Kind
from threshcli.report.sheets import sheet
from threshcli.spec import parse_size

_Threshold = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        "-t",
        metavar="SPEC",
        help="What to work out: p90, top1000, zero90%, otsu, ...",
        rich_help_panel=options.THRESHOLDS,
        show_default=False,
    ),
]
_Map = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="MAP",
        help="Write a map: the threshold of each element, in float64.",
        rich_help_panel=options.OUTPUT,
        show_default=False,
    ),
]
_Bare = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="The bare number; of several tensors a line each: name, tab, number.",
        rich_help_panel=options.REPORT,
        show_default=False,
    ),
]


def command(outside: Outside) -> Callable[..., int]:
    """The function behind the command."""

    def solve(
        inputs: Inputs,
        threshold: _Threshold = None,
        magnitude: _looking.Magnitude = False,
        scope: options.Scope = "tensor",
        ties: options.Ties = "first",
        scale: options.Scale = None,
        offset: options.Offset = None,
        at_least: options.AtLeast = None,
        at_most: options.AtMost = None,
        ignore_zero: options.IgnoreZero = False,
        estimate_mask: options.EstimateMask = None,
        bins: options.Bins = 256,
        axes: options.Axes = None,
        broadcast: options.Broadcast = False,
        tensor: _looking.Tensor = None,
        exclude: _looking.Exclude = None,
        output: _Map = None,
        overwrite: options.Overwrite = False,
        jobs: options.Jobs = "auto",
        max_memory: options.MaxMemory = "64MiB",
        json: options.Json = False,
        quiet: _Bare = False,
        verbose: options.Verbose = False,
        color: options.Color = "auto",
        debug: options.Debug = False,
    ) -> int:
        return _run(locals(), outside)

    solve.__doc__ = """Print the threshold that would be used, and do nothing else.

    With -q the bare number, in the shortest form that reads back the same, so that it composes:
    thresh binary x.npy -t $(thresh solve ref.npy -t otsu -q) -o mask.npy. With --json a report that -t @report.json
    takes, so that a threshold is worked out once and used many times.
    """
    return takes_files(solve, outside)


def _run(given: dict[str, Any], outside: Outside) -> int:
    request = _request(given)
    inputs: Inputs = given["inputs"]
    inputs.check_scope(given["scope"])
    jobs, told = request.names.jobs(inputs), telling(outside, request.names)
    from threshcli.executors.local import Executor

    executor = Executor(request, solve_only=given["output"] is None, part=inputs.is_part, stdout=outside.write)
    began, run = time.perf_counter(), executor.about()
    if given["magnitude"]:
        run = replace(run, params={**run.params, "magnitude": True})
    kind: Kind = "json" if given["json"] else _looking.kind_of(given)  # -q asks for bare numbers
    shown = sheet(kind, told.print, run, told.terminal(given["color"]), verbose=given["verbose"])
    call = Call(Reporting(printed=kind), told, [shown or Bare(told.print)])
    for one in executor.each(jobs, call.tell):
        call.take(one)
    return call.end(replace(run, seconds=time.perf_counter() - began))


def _request(given: dict[str, Any]) -> Request:
    from threshcli import thresholds
    from threshcli.rules._solved import Solved, SolvedMagnitude

    if given["threshold"] is None:
        raise UsageError("--threshold is missing", hint="say what to work out: -t p90, -t otsu, -t zero90%")
    spec = given["threshold"].removeprefix("=")
    source, fit = thresholds.parse(spec), fitting(given)
    (key,) = Solved.slots[0].keys(1)
    fit.check({key: source})
    output = given["output"]
    if output is None and given["quiet"] and not given["json"] and source.spatial:
        raise UsageError(f"{spec} gives one threshold for each element", hint="write them to a map: -o map.npy")
    if given["quiet"] and not given["json"] and fit.scope.kind == "axis" and getattr(source, "several", False):
        raise UsageError(f"{spec} gives several cuts for each index, too many for a line", hint="use --json")
    if output is not None and getattr(source, "several", False):
        raise UsageError(f"{spec} gives several cuts, and a map holds one an element", hint="leave --output out")
    return Request.of(
        rule=SolvedMagnitude() if given["magnitude"] else Solved(),
        command="solve",
        thresholds={key: source},
        specs={key: spec},
        fit=fit,
        axes=axes_of(given["axes"]),
        names=Names(output=output, rule="solve", dry_run=output is None),
        selection=Selection(tuple(given["tensor"] or ()), tuple(given["exclude"] or ())),
        out_dtype=FLOAT64,
        broadcast=given["broadcast"],
        overwrite=given["overwrite"],
        jobs=jobs_of(given["jobs"]),
        max_memory=parse_size(given["max_memory"]),
    )
