"""`thresh check`: whether files are sound: no damage, no NaN, no infinities, no condition that must not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from threshcli.cli import _looking, options
from threshcli.cli._inputs import takes_files
from threshcli.cli.outside import Outside
from threshcli.conditions import Condition
from threshcli.errors import ConditionFalse, UsageError
from threshcli.plan.inputs import Inputs
from threshcli.verdicts import ALLOWANCES, COUNTS, VALUES, FileCheck

_CHECK = "Check"
_Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="|".join(ALLOWANCES),
        help="No fault: NaN, infinities, bytes behind the end of a file. With commas between, or repeatable.",
        rich_help_panel=_CHECK,
        show_default=False,
    ),
]
_FailIf = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        metavar="CONDITION",
        help="A fault, too, where this holds of a tensor: 'zeros>90%', 'norm_max>1e4'. Repeatable.",
        rich_help_panel=_CHECK,
        show_default=False,
    ),
]


def command(outside: Outside) -> Callable[..., int]:
    """The function behind the command."""

    def check(
        inputs: Inputs,
        allow: _Allow = None,
        fail_if: _FailIf = None,
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
        given, allowed = locals(), allowances(allow or ())
        conditions = tuple(Condition.parse(text, COUNTS, VALUES) for text in fail_if or ())
        means = _looking.means_of(given | {"magnitude": True})
        from threshcli.executors.check import Asked, look_for_faults

        params = {"allow": sorted(allowed), "fail_if": [str(condition) for condition in conditions]}
        files = look_for_faults(inputs.paths, means, Asked(allowed=allowed, conditions=conditions))
        seen = _looking.Seen(files, lambda file: isinstance(file, FileCheck) and file.bad)
        status = _looking.told(seen, _looking.looked("check", params), given, outside)
        return status or (ConditionFalse.exit_code if seen.any else 0)

    check.__doc__ = """Find what is wrong with files: damage, NaN, infinities. Exit status 1 if there is any.

    Damage is what a header promises and the file does not hold, a CRC-32 that is not that of its bytes (.pt), bytes
    behind the end, bools that are neither 0 nor 1. Conditions (NAME OP NUMBER, counts as a share with %) are about
    nan, inf, zeros, min, max, mean, std, norm1, norm2, norm_max, density and elements of each tensor, as stats shows
    them; of complex x about abs(x). Shown is what is wrong; with -v every tensor.

    Example: thresh check weights.safetensors --allow inf --fail-if 'norm_max>1e4'
    """
    return takes_files(check, outside)


def allowances(texts: Sequence[str]) -> frozenset[str]:
    """What is allowed, from words with commas between; raises UsageError."""
    words = [word.strip().lower() for text in texts for word in text.split(",")]
    strange = next((word for word in words if word not in ALLOWANCES), None)
    if strange is not None:
        raise UsageError(f"--allow {strange!r} is nothing to allow", hint=f"there are {', '.join(ALLOWANCES)}")
    return frozenset(words)
