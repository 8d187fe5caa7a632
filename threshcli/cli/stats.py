"""`thresh stats`: how large the elements are, and how many are zero, NaN or infinite."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Annotated

import typer

from threshcli.cli import _looking, options
from threshcli.cli._inputs import takes_files
from threshcli.cli.outside import Outside
from threshcli.errors import UsageError
from threshcli.plan.inputs import Inputs
from threshcli.spec import Number

_Percentiles = Annotated[
    str | None,
    typer.Option(
        "--percentiles",
        metavar="P,P,...",
        help="Percentiles too, exact: 1,5,50,99.9.",
        rich_help_panel=options.SELECTION,
        show_default=False,
    ),
]


def command(outside: Outside) -> Callable[..., int]:
    """The function behind the command."""

    def stats(
        inputs: Inputs,
        percentiles: _Percentiles = None,
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
        given = locals()
        wanted = parse_percentiles(percentiles)
        means = _looking.means_of(given)
        from threshcli.executors.examine import examine
        from threshcli.executors.stats import Stats

        params = {"magnitude": magnitude, "percentiles": [text for text, _ in wanted]}
        files = examine(inputs.paths, means, Stats(wanted, magnitude).look)
        return _looking.told(files, _looking.looked("stats", params), given, outside)

    stats.__doc__ = """Show what elements are like: zeros, NaN, extremes, norms.

    Extremes are over all that is not NaN; mean, standard deviation (of the population) and norms over what is finite.
    A file of any size is read in one pass; exact percentiles take some more.
    """
    return takes_files(stats, outside)


def parse_percentiles(text: str | None) -> tuple[tuple[str, Fraction], ...]:
    """The percentiles that are written with commas between them, each once, as they are written and exact."""
    found: dict[str, Fraction] = {}
    for word in [] if text is None else text.split(","):
        value = _number(word).value
        if isinstance(value, float) or not 0 <= value <= 100:
            raise UsageError(f"--percentiles {word.strip()!r} is not between 0 and 100", hint="write 1,5,50,99.9")
        found[word.strip()] = value
    return tuple(found.items())


def _number(word: str) -> Number:
    try:
        return Number.parse(word)
    except UsageError as error:
        raise UsageError(f"--percentiles: {error.what}", hint="write numbers and commas: 1,5,50,99.9") from error
