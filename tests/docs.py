"""The README's reference of all options, written from the commands themselves: `python -m tests.docs`.

Between its two markers README.md holds what `reference` returns; `--check` only says whether it does.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from threshcli import containers, rules, thresholds
from threshcli.cli.app import build
from threshcli.cli.outside import Outside

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- reference: written by `python -m tests.docs` from the commands; do not edit -->"
END = "<!-- end of the reference -->"


@dataclass(frozen=True, slots=True)
class Option:
    """An option as the help shows it."""

    names: str
    value: str
    help: str
    panel: str

    def row(self) -> str:
        value = f" `{_cell(self.value)}`" if self.value else ""
        return f"| `{self.names}`{value} | {_cell(self.help)} |"


def _cell(text: str) -> str:
    """Text that cannot break out of a table's cell."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _option(annotation: Any) -> Option | None:
    """An option from its annotation, `Annotated[type, typer.Option(...)]`; None for the files."""
    kind, info = get_args(annotation)
    if not isinstance(info, typer.models.OptionInfo):
        return None
    names = sorted((str(info.default), *(info.param_decls or ())), key=len)  # typer takes the first for a default
    choices = [value for item in (kind, *get_args(kind)) if get_origin(item) is Literal for value in get_args(item)]
    return Option(", ".join(names), info.metavar or "|".join(choices), info.help or "", str(info.rich_help_panel))


def commands() -> dict[str, typer.models.CommandInfo]:
    """Every command by its name, as typer is told of it."""
    return {str(item.name): item for item in build(Outside.process()).registered_commands}


def options(command: typer.models.CommandInfo) -> list[Option]:
    """The options of a command, without --help."""
    hints = get_type_hints(command.callback, include_extras=True)
    found = [_option(annotation) for name, annotation in hints.items() if name != "return"]
    return [item for item in found if item is not None]


def shared(each: Mapping[str, Sequence[Option]]) -> list[Option]:
    """The options that all of them have alike."""
    first, *others = each.values()
    return [item for item in first if all(item in other for other in others)]


def _table(rows: Sequence[Option]) -> Iterator[str]:
    yield from ("", "| option | |", "|---|---|", *(item.row() for item in rows))


def _about(command: typer.models.CommandInfo) -> Iterator[str]:
    """A command's help: its paragraphs, a line each."""
    text = inspect.cleandoc(command.help or getattr(command.callback, "__doc__", None) or "")
    for paragraph in text.replace("\\[", "[").split("\n\n"):
        line = " ".join(paragraph.split())
        label, _, example = line.partition("Example: ")
        yield from ("", line.replace("*", "\\*") if label else f"Example: `{example}`")


def _meaning(source: type[thresholds.base.Threshold]) -> str:
    """A source's docstring in one line, which begins with how it is written."""
    return " ".join((source.__doc__ or source.form).split()).replace(" * ", " \\* ")


def reference() -> str:
    """All commands and options as Markdown."""
    found = commands()
    each = {name: options(found[name]) for name in rules.registered()}
    common = shared(each)
    lines = [BEGIN, "", "### Rules"]
    for name in each:
        own = [item for item in each[name] if item not in common]
        lines += ["", f"#### `thresh {name}`", *_about(found[name]), *(_table(own) if own else ())]
    lines += ["", "### Options of every rule"]
    for panel, rows in groupby(common, key=lambda item: item.panel):
        lines += ["", f"#### {panel}", *_table(list(rows))]
    for name in sorted(set(found) - set(each)):
        lines += ["", f"### `thresh {name}`", *_about(found[name]), *_table(options(found[name]))]
    lines += ["", "### Thresholds", "", *(f"- {_meaning(source)}" for source in thresholds.registered())]
    lines += ["", "### Formats", "", "| format | extensions |", "|---|---|"]
    lines += [f"| {kind.name} | {' '.join(kind.extensions)} |" for kind in containers.registered().values()]
    return "\n".join([*lines, "", END])


def replaced(text: str) -> str:
    """A README with the reference as it is now."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the line {END if begin else BEGIN}")
    return before + reference() + after


def main() -> int:
    """Write the reference, or say that it is not up to date (status 1)."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description="Write the README's reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if it is not up to date")
    check = parser.parse_args().check
    old = README.read_text(encoding="utf-8")
    new = replaced(old)
    if check and new != old:
        sys.stderr.write("README.md is not up to date: run python -m tests.docs\n")
        return 1
    if not check:
        README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
