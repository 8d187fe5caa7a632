"""From a rule's class to the options of its command, and from their texts to its fields and thresholds."""

from __future__ import annotations

from dataclasses import Field
from typing import Annotated, Any, get_type_hints

import typer

from threshcli.cli import options
from threshcli.plan.asking import parsed_as
from threshcli.rules.base import Rule


def rule_parameters(rule: type[Rule]) -> list[tuple[str, Any, Any]]:
    """The rule's slots and fields as typer's parameters."""
    found: list[tuple[str, Any, Any]] = []
    for slot in rule.slots:
        names = [f"--{slot.name}"] + ([slot.short] if slot.short else [])
        option = typer.Option(
            *names,
            metavar="SPEC,..." if slot.many else "SPEC",
            help=slot.help,
            rich_help_panel=options.THRESHOLDS,
            show_default=False,
        )
        kind: Any = list[str] | None if slot.many else str | None
        found.append((slot.name, Annotated[kind, option], None))
    hints = get_type_hints(rule)
    found += [(item.name, *_field_parameter(item, hints[item.name], rule)) for item in rule.options()]
    return found


def _field_parameter(item: Field[Any], kind: Any, rule: type[Rule]) -> tuple[Any, Any]:
    names = [f"--{item.name.replace('_', '-')}"] + [short for short in (item.metadata["short"],) if short]
    metavar, text = item.metadata["metavar"], item.metadata["help"]
    if item.name == "nan":
        text = f"{text} Default: {'below' if _decides(rule) else 'keep'}."
    elif item.default is not None and item.default is not False:
        text = f"{text} Default: {item.default}."
    option = typer.Option(*names, metavar=metavar, help=text, rich_help_panel=options.THRESHOLDS, show_default=False)
    if kind is bool:
        return Annotated[bool, option], item.default
    if parsed_as(kind) is not None:
        return Annotated[str | None, option], None
    return Annotated[kind, option], item.default


def _decides(rule: type[Rule]) -> bool:
    return rule().decides
