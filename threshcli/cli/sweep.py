"""`thresh sweep`: what many thresholds would keep, side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal, Inexact
from typing import Annotated, Any, Literal

import typer

from threshcli import thresholds
from threshcli.cli import _looking, options
from threshcli.cli._inputs import takes_files
from threshcli.cli.outside import Outside
from threshcli.errors import UsageError
from threshcli.plan.inputs import Inputs
from threshcli.spec import Number
from threshcli.thresholds.base import Terms, Worked

METHODS = ("otsu", "li", "yen", "triangle", "isodata", "minimum", "mean", "median")
SHRINKING = ("universal", "bayes")
RANKS = ("p50", "p90", "p99")
MOST = 1000
"""Thresholds of one call at most."""

_RANGE = re.compile(r"([^:]+):([^:]+):([^:]+)")
_EXACT = Context(prec=400, traps=[Inexact])
_Threshold = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold",
        "-t",
        metavar="SPEC,...",
        help="What to try, with commas between: 0.1,p90,otsu; start:stop:step for a range. Repeatable. Default: every "
        "automatic method, and p50,p90,p99.",
        rich_help_panel=options.THRESHOLDS,
        show_default=False,
    ),
]
_Compare = Annotated[
    Literal["gt", "ge"],
    typer.Option(
        "--compare",
        help="With ge, elements equal to the threshold are kept. Default: gt.",
        rich_help_panel=options.THRESHOLDS,
        show_default=False,
    ),
]
_Scope = Annotated[
    Literal["tensor", "global"],
    typer.Option(
        "--scope",
        help="Over what a threshold is worked out: each tensor, or all of them together. Default: tensor.",
        rich_help_panel=options.THRESHOLDS,
        show_default=False,
    ),
]


def command(outside: Outside) -> Callable[..., int]:
    """The function behind the command."""

    def sweep(
        inputs: Inputs,
        threshold: _Threshold = None,
        compare: _Compare = "gt",
        scope: _Scope = "tensor",
        ties: options.Ties = "first",
        bins: options.Bins = 256,
        magnitude: _looking.Magnitude = False,
        tensor: _looking.Tensor = None,
        exclude: _looking.Exclude = None,
        jobs: options.Jobs = "auto",
        max_memory: options.MaxMemory = "64MiB",
        json: _looking.Json = False,
        quiet: options.Quiet = False,
        verbose: options.Verbose = False,
        color: options.Color = "auto",
        debug: options.Debug = False,
    ) -> int:
        return _run(locals(), outside)

    sweep.__doc__ = """Compare thresholds: what each keeps, of how much energy. And what each method would choose.

    Energy is the sum of squares; zeros are those that there would be after a rule that keeps values. All methods share
    their passes over the data, and one more counts for all thresholds. A method that fails says why in its row.

    Example: thresh sweep weights.safetensors --magnitude -t 0:0.1:0.01,zero90%,universal
    """
    return takes_files(sweep, outside)


def _run(given: dict[str, Any], outside: Outside) -> int:
    inputs: Inputs = given["inputs"]
    inputs.check_scope(given["scope"])
    specs, magnitude, compare = specs_of(given["threshold"], given["magnitude"]), given["magnitude"], given["compare"]
    sources = [source_of(spec) for spec in specs]
    terms = Terms(magnitude=magnitude, bins=given["bins"], ties=given["ties"])
    means = _looking.means_of(given)
    from threshcli.executors.examine import examine
    from threshcli.executors.sweep import Sweep

    looking = Sweep(sources, terms, compare)
    survey = looking.survey if given["scope"] == "global" else None
    params = {"thresholds": specs} | {name: given[name] for name in ("compare", "magnitude", "scope", "ties", "bins")}
    files = examine(inputs.paths, means, looking.look, survey)
    return _looking.told(files, _looking.looked("sweep", params), given, outside)


def specs_of(asked: Sequence[str] | None, magnitude: bool) -> list[str]:
    """What is to be tried, each once, ranges spelled out."""
    if not asked:
        return [*METHODS, *(SHRINKING if magnitude else ()), *RANKS]
    words = [word.strip() for text in asked for word in text.removeprefix("=").split(",")]
    found: dict[str, None] = {}
    for word in words:
        for spec in _spelled_out(word):
            found[spec] = None
            if len(found) > MOST:
                raise UsageError(f"these are more than {MOST:,} thresholds", hint="try fewer, or a larger step")
    return list(found)


def source_of(spec: str) -> Number | Worked:
    """A threshold that can be tried: a number, or one that is worked out from data."""
    source: Any = thresholds.parse(spec)
    if isinstance(source, Worked):
        if source.several:
            raise UsageError(f"{spec} gives several cuts, and sweep tries one at a time", hint="use otsu")
        return source
    number = getattr(source, "number", None)
    if isinstance(number, Number):
        return number
    raise UsageError(f"sweep cannot try {spec}", hint="give numbers, or what is worked out from data: p90, otsu")


def _spelled_out(word: str) -> Iterator[str]:
    """The numbers of a range, start:stop:step, the stop among them where it is hit; anything else as it is."""
    match = _RANGE.fullmatch(word)
    if match is None:
        yield word
        return
    start, stop, step = (_decimal(part, word) for part in match.groups())
    if not step or (stop - start) / step < 0:
        raise UsageError(f"{word!r} never gets to its end", hint="write start:stop:step, such as 0:1:0.1")
    at = start
    while at <= stop if step > 0 else at >= stop:
        yield f"{at.normalize():f}" if at else "0"
        at = _EXACT.add(at, step)


def _decimal(text: str, word: str) -> Decimal:
    number = Number.parse(text)
    if isinstance(number.value, float) or len(text) > 40 or not -30 <= Decimal(number.text).adjusted() <= 30:
        raise UsageError(f"{word!r} is not a range of plain numbers", hint="write start:stop:step, such as 0:1:0.1")
    return Decimal(number.text)
