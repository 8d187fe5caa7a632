"""From a rule's class to the options of its command, and from their texts to its fields and thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from threshcli.cli import options
from threshcli.errors import UsageError
from threshcli.rules.base import Rule, Slot
from threshcli.spec import Number, Numbers

if TYPE_CHECKING:
    from threshcli.thresholds.base import Threshold


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
    if _parsed(kind) is not None:
        return Annotated[str | None, option], None
    return Annotated[kind, option], item.default


def _decides(rule: type[Rule]) -> bool:
    return rule().decides


def _parsed(kind: Any) -> Any:
    """The type that a field is read as from text, if it has a way of its own."""
    return next((one for one in (kind, *get_args(kind)) if hasattr(one, "parse")), None)


def fields_of(rule: type[Rule], given: Mapping[str, Any]) -> dict[str, Any]:
    """The rule's fields from the command's arguments."""
    hints = get_type_hints(rule)
    values: dict[str, Any] = {}
    for item in rule.options():
        value = given[item.name]
        if value is None:
            continue
        parsed = _parsed(hints[item.name])
        if parsed in (Number, Numbers):
            value = number_of(f"--{item.name}", value, parsed)
        elif parsed is not None:
            value = parsed.parse(value)
        values[item.name] = value
    return values


def number_of(option: str, text: str, kind: Any = Number) -> Any:
    try:
        return kind.parse(text.removeprefix("="))
    except UsageError as error:
        raise UsageError(f"{option}: {error.what}", hint=error.hint) from error


def texts_of(value: str | list[str] | None) -> list[str]:
    """What was given for a slot, once or repeatedly."""
    return [text.removeprefix("=") for text in ([value] if isinstance(value, str) else value or [])]


def thresholds_of(asked: Mapping[Slot, Sequence[str]]) -> tuple[dict[str, str], dict[str, Threshold]]:
    """The thresholds by key: their texts, and what these mean."""
    from threshcli.thresholds import parse, parse_list

    specs: dict[str, str] = {}
    parsed: dict[str, Threshold] = {}
    for slot, texts in asked.items():
        found = [pair for text in texts for pair in (parse_list(text) if slot.many else [(text, parse(text))])]
        for key, (text, source) in zip(slot.keys(len(found)), found, strict=False):
            specs[key], parsed[key] = text, source
    return specs, parsed
