"""`thresh run`: what a recipe says, over files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Annotated, Any

import typer

from threshcli.cli import options
from threshcli.cli._inputs import INPUTS, parameters, with_parameters
from threshcli.cli.command import WORKING, carry_out
from threshcli.cli.outside import Outside
from threshcli.errors import UsageError
from threshcli.plan.asking import request_with
from threshcli.plan.recipes import read_recipe
from threshcli.plan.request import Request

DOC = """Do what a recipe says: rules by tensor name, in one pass.

A recipe is a TOML file: a list of entries, each below [[rules]]. The first entry that matches a tensor's name has it;
what none matches is copied unchanged. An entry says tensors = "*.weight" (a pattern or a list of them; exclude
likewise; or regex, for whole names), and rule = "gradient" with the options of that command: threshold = "zero90%".
Several rules one after the other are steps = [{ rule = "clamp", low = 0 }, { rule = "hard", threshold = 0.5 }]; and
keep = true leaves tensors as they are. What matches nothing is an error, but for optional = true. "{name}" is a
variable: from --set, or by default from the table [variables].

What thresh notes is a recipe, too: an output in .safetensors, what --sidecar writes beside any output, a report (.json,
.ndjson). With the same input it gives the same output, byte for byte. Files that a recipe names are looked for beside
it, then in the current folder.

Example: thresh run prune.toml weights.safetensors --set density=zero50% -o pruned.safetensors
"""

_PARAMETERS: tuple[tuple[str, Any, Any], ...] = (
    (
        "recipe",
        Annotated[
            str,
            typer.Argument(
                help="A recipe in TOML; or an output, a sidecar or a report of thresh.",
                metavar="RECIPE",
                show_default=False,
            ),
        ],
        inspect.Parameter.empty,
    ),
    (
        "settings",
        Annotated[
            list[str] | None,
            typer.Option(
                "--set",
                metavar="NAME=VALUE",
                help="The value of a variable of the recipe. Repeatable.",
                rich_help_panel=options.THRESHOLDS,
                show_default=False,
            ),
        ],
        None,
    ),
)


def command(outside: Outside) -> Callable[..., int]:
    """The function behind the command."""

    def run(**given: Any) -> int:
        recipe = read_recipe(given["recipe"], settings_of(given["settings"] or ()))
        asked = {**given, "pack": given["pack"] or recipe.pack}

        def make(moments: bool) -> Request:
            return replace(request_with(recipe.entries, "run", asked, moments=moments), noted=recipe.noted)

        return carry_out(given, outside, make)

    return with_parameters(run, parameters([*_PARAMETERS, *INPUTS, *WORKING]), DOC)


def settings_of(texts: Iterable[str]) -> dict[str, str]:
    """The variables that --set names."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {text!r} sets no variable", hint="write --set NAME=VALUE")
        if name in found:
            raise UsageError(f"--set {name} is given twice", hint="give it once")
        found[name] = value
    return found
