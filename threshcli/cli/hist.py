"""`thresh hist`: how the elements are spread, and what a threshold would keep of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import typer

from threshcli.cli import _looking, options
from threshcli.cli._inputs import takes_files
from threshcli.cli.outside import Outside
from threshcli.errors import UsageError
from threshcli.plan.inputs import Inputs
from threshcli.results import FileResult
from threshcli.thresholds.base import Terms, Threshold
from threshcli.thresholds.map import MapThreshold

_FIRST = 8
"""So many tensors are drawn unless all are asked for."""


def _option(*names: str, help: str, panel: str = options.REPORT, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def _slot(*names: str, help: str) -> Any:
    return _option(*names, help=help, panel=options.THRESHOLDS, metavar="SPEC")


_Threshold = Annotated[str | None, _slot("--threshold", "-t", help="Mark this cut: a number, or p90, top1000, otsu...")]
_Low = Annotated[str | None, _slot("--low", help="Mark the lower end of a band that is kept.")]
_High = Annotated[str | None, _slot("--high", help="Mark the upper end of a band that is kept.")]
_Compare = Annotated[
    Literal["gt", "ge"],
    _option(
        "--compare", help="With ge, elements equal to the threshold are kept. Default: gt.", panel=options.THRESHOLDS
    ),
]
_Rows = Annotated[
    int, _option("--rows", metavar="N", help="Rows of a histogram, at most. Default: 20.", min=1, max=200)
]
_Log = Annotated[bool, _option("--log", help="Bars by the logarithm of the counts, so that small ones are seen.")]
_Ascii = Annotated[bool, _option("--ascii", help="Draw with ASCII only; the default where the charset has no blocks.")]
_All = Annotated[bool, _option("--verbose", "-v", help="Every tensor, not the first 8.")]


def command(outside: Outside) -> Callable[..., int]:
    """The function behind the command."""

    def hist(
        inputs: Inputs,
        threshold: _Threshold = None,
        low: _Low = None,
        high: _High = None,
        compare: _Compare = "gt",
        bins: options.Bins = 256,
        magnitude: _looking.Magnitude = False,
        tensor: _looking.Tensor = None,
        exclude: _looking.Exclude = None,
        rows: _Rows = 20,
        log: _Log = False,
        ascii: _Ascii = False,
        jobs: options.Jobs = "auto",
        max_memory: options.MaxMemory = "64MiB",
        json: _looking.Json = False,
        quiet: options.Quiet = False,
        verbose: _All = False,
        color: options.Color = "auto",
        debug: options.Debug = False,
    ) -> int:
        return _run(locals(), outside)

    hist.__doc__ = """Draw a histogram of each tensor, with a threshold's cut.

    What would be removed is drawn in another character (and dimmed), and the counts are exact. With --low and --high
    what lies between them is kept, both ends included. Infinities and NaN are in no row, and told beside the shape.

    Example: thresh hist weights.safetensors -k '*.weight' --magnitude -t zero90% --log
    """
    return takes_files(hist, outside)


def _run(given: Mapping[str, Any], outside: Outside) -> int:
    thresholds = _thresholds(given)
    means = _looking.means_of(given)
    from threshcli.executors.examine import examine
    from threshcli.executors.hist import Hist

    hist = Hist(
        thresholds,
        rows=given["rows"],
        terms=Terms(magnitude=given["magnitude"], bins=given["bins"]),
        compare=given["compare"],
        most=None if given["json"] or given["verbose"] else _FIRST,
    )
    inputs: Inputs = given["inputs"]
    files = _warned(examine(inputs.paths, means, hist.look), hist.warnings)
    return _looking.told(files, _looking.looked("hist", _params(given)), given, outside)


def _thresholds(given: Mapping[str, Any]) -> dict[str, Threshold]:
    from threshcli import thresholds

    specs = {slot: given[slot].removeprefix("=") for slot in ("threshold", "low", "high") if given[slot] is not None}
    if "threshold" in specs and len(specs) > 1:
        raise UsageError("--threshold excludes --low and --high", hint="a cut, or a band: choose one")
    if "threshold" not in specs and given["compare"] != "gt":
        raise UsageError("--compare is for --threshold", hint="a band includes both of its ends")
    parsed = {slot: thresholds.parse(spec) for slot, spec in specs.items()}
    for slot, source in parsed.items():
        if isinstance(source, MapThreshold):
            raise UsageError(
                f"--{slot} {source.text} has a threshold for each element, and a histogram is cut by one",
                hint="give a number, or what is worked out from the data: p90, otsu",
            )
    return parsed


def _params(given: Mapping[str, Any]) -> dict[str, object]:
    """The options that decide what is counted and drawn, where they are not as they are by default."""
    defaults = {"compare": "gt", "bins": 256, "magnitude": False, "rows": 20, "log": False, "ascii": False}
    slots = {slot: given[slot].removeprefix("=") for slot in ("threshold", "low", "high") if given[slot] is not None}
    return slots | {name: given[name] for name, usual in defaults.items() if given[name] != usual}


def _warned(files: Iterable[FileResult], warnings: dict[str, list[str]]) -> Iterator[FileResult]:
    """Files with what there is to say of their thresholds."""
    for file in files:
        said = warnings.pop(file.input, None)
        yield file if said is None else replace(file, warnings=tuple(said))
