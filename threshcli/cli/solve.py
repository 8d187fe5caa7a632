"""`thresh solve`: the threshold alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import PurePath
from typing import Annotated, Any

import typer

from threshcli.cli import _looking, options
from threshcli.cli._inputs import takes_files
from threshcli.cli.command import conclude, telling
from threshcli.cli.outside import Outside
from threshcli.dtypes import DTYPES, FLOAT64, DType
from threshcli.errors import UsageError
from threshcli.plan.asking import axes_of, fitting, jobs_of
from threshcli.plan.inputs import Inputs
from threshcli.plan.names import Names
from threshcli.plan.request import Request
from threshcli.plan.selection import Selection
from threshcli.report import Kind
from threshcli.report.terminal import safe
from threshcli.results import RunResult, Scalar, TensorResult, ThresholdUsed
from threshcli.spec import Number, parse_size

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

    result = Executor(request, solve_only=given["output"] is None, part=inputs.is_part, stdout=outside.write).run(jobs)
    if given["magnitude"]:
        result = replace(result, params={**result.params, "magnitude": True})
    if given["quiet"] and not given["json"]:
        told.print("".join(f"{line}\n" for line in bare(result)))
    kind: Kind = "json" if given["json"] else _looking.kind_of(given)  # -q asks for bare numbers
    return conclude(result, kind, told, given["color"], given["verbose"])


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


def bare(result: RunResult) -> Iterator[str]:
    """A line a tensor: its threshold; with its name before it where there are several, and the file's where there are
    several of those. All lines have as many columns: of files that hold a tensor each their names suffice."""
    told = [(file, item) for file in result.files for item in file.tensors if item.threshold is not None]
    found = [(file, item) for file, item in told if not _is_map(item)]
    alone, one_file = len(found) == 1, len(result.files) == 1
    named = any(len(file.tensors) > 1 for file in result.files)
    known = Counter(PurePath(file.input).name for file in result.files)
    for file, item in found:
        short = PurePath(file.input).name
        only = short if known[short] == 1 else file.input
        labels = () if alone else (item.name,) if one_file else (file.input, item.name) if named else (only,)
        yield "\t".join((*map(safe, labels), ",".join(_texts(item))))


def _is_map(item: TensorResult) -> bool:
    """Whether the threshold is another for each element."""
    used = item.threshold
    return isinstance(used, ThresholdUsed) and used.value is None and used.values is None and used.min is not None


def _texts(item: TensorResult) -> Iterator[str]:
    used = item.threshold if isinstance(item.threshold, tuple) else (item.threshold,)
    for one in used:
        if isinstance(one, ThresholdUsed):
            values = one.values if one.values is not None else (one.value,)
            yield from ("nan" if value is None else shortest(value, DTYPES[item.dtype].compared) for value in values)


def shortest(value: Scalar, dtype: DType) -> str:
    """The shortest decimal text that is the same threshold for elements of `dtype`."""
    if isinstance(value, int) or value in (float("inf"), float("-inf")):
        return str(value)
    compared = dtype if dtype.is_float and dtype.value(dtype.key(Fraction(value))) == value else FLOAT64
    wanted = compared.key(Fraction(value))
    texts = (f"{value:.{digits}g}" for digits in range(1, 18))
    found = next((text for text in texts if compared.key(Number.parse(text).value) == wanted), repr(value))
    whole = f"{value:.0f}"  # 448 rather than 4.5e+02
    return whole if len(whole) <= len(found) and float(whole) == value else found
