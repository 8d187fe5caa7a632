"""From what is written in a recipe to entries: which tensors get which steps.

A recipe is a mapping: `rules`, a list of entries, or one entry by itself. An entry says by `tensors`, `exclude` (globs)
and `regex` (of whole names) whose it is, and by `rule` with the options of its command, by `steps` (several of those)
or by `keep = true` what becomes of them. `{name}` in a text stands for a variable.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from threshcli import packings, rules
from threshcli.errors import UsageError
from threshcli.plan.asking import DECIDING, parsed_as, step_of
from threshcli.plan.request import Entry, Step
from threshcli.plan.selection import Selection
from threshcli.plan.variables import Variables, near_name
from threshcli.spec import Number, Numbers

_AROUND = ("variables", "pack", "thresholds", "before")
"""What stands around entries; the last two in provenance, which notes what was found, and what was done before."""
_SELECTING = ("tensors", "exclude", "regex", "optional")
_LONGEST_PATTERN = 1000
_MOST_ENTRIES = 10_000

Found = Callable[[str], str]
"""Where a file that a recipe names is: from its text to that which opens it."""


class Recipe(NamedTuple):
    """What a recipe says: its entries, the name of a packing if there is one, and what it notes beside them, if thresh
    has noted it."""

    entries: tuple[Entry, ...]
    pack: str | None = None
    noted: Mapping[str, Any] | None = None


def recipe_of(
    raw: Mapping[str, Any], given: Mapping[str, object], found: Found, *, noted: bool = False, literal: bool = False
) -> Recipe:
    """The recipe that is written so, `noted` by thresh or by people, with braces that stand for variables unless they
    are `literal`; UsageError, naming entry and key, where it cannot be meant."""
    pack = raw.get("pack")
    if pack is not None and pack not in packings.names():
        raise UsageError(f"pack is {_shown(pack)}", hint=f"it is one of {', '.join(packings.names())}")
    beside = {name: raw[name] for name in ("thresholds", "before") if name in raw}
    return Recipe(entries_of(raw, given, found, literal=literal), pack, beside if noted else None)


def entries_of(
    recipe: Mapping[str, Any], given: Mapping[str, object], found: Found, *, literal: bool = False
) -> tuple[Entry, ...]:
    """The entries of a recipe, variables replaced."""
    variables = Variables.of(recipe.get("variables", {}), given, literal)
    body = {name: value for name, value in recipe.items() if name not in _AROUND}
    if "rules" in body:
        listed = body.pop("rules")
        if body:
            name = next(iter(body))
            hint = near_name(name, _AROUND, "what an entry says stands below its own [[rules]]")
            raise UsageError(f"{name!r} stands beside rules", hint=hint)
        if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
            raise UsageError("rules is no list of entries", hint="write [[rules]] above each")
    else:
        listed = [body] if body else []
    if not 0 < len(listed) <= _MOST_ENTRIES:
        what = "has no rules" if not listed else f"has {len(listed):,} entries, more than anybody reads"
        raise UsageError(what, hint='write: rule = "gradient" and threshold = "zero90%", or several below [[rules]]')
    entries = tuple(_entry(one, number, len(listed), variables, found) for number, one in enumerate(listed, 1))
    variables.check_used()
    return entries


def _entry(raw: Mapping[str, Any], number: int, count: int, variables: Variables, found: Found) -> Entry:
    label = f"entry {number}" if count > 1 else ""
    try:
        values = {name.replace("-", "_"): _in(name, variables.put, value) for name, value in raw.items()}
        keep, exclude, regex = (_texts(values.pop(name, []), name) for name in ("tensors", "exclude", "regex"))
        selection = Selection(keep, exclude, _patterns(regex))
        optional = _checked("optional", values.pop("optional", False), bool)
        steps = tuple(_steps(values, variables, found))
    except UsageError as error:
        raise UsageError(f"{label}: {error.what}" if label else error.what, hint=error.hint) from error
    return Entry.of(selection, steps)._replace(label=label, optional=optional)


def _in(name: str, put: Callable[[Any], Any], value: Any) -> Any:
    try:
        return put(value)
    except UsageError as error:
        raise UsageError(f"{name}: {error.what}", hint=error.hint) from error


def _steps(values: dict[str, Any], variables: Variables, found: Found) -> Iterator[Step]:
    """The steps of an entry."""
    kinds = [name for name in ("rule", "steps", "keep") if name in values]
    if len(kinds) != 1:
        what = f"has {kinds[0]} and {kinds[1]}" if kinds else "says nothing of what is done"
        near = "" if kinds else _near_key(values, ("rule", "steps", "keep"))
        raise UsageError(what, hint=f"{near}give one of rule, steps, or keep = true")
    if kinds == ["rule"]:
        yield _step(values, found)
        return
    listed = values.pop(kinds[0])
    if values:
        name = next(iter(values))
        why = "options stand in the steps" if kinds == ["steps"] else "keep = true leaves tensors as they are"
        raise UsageError(f"{name} stands beside {kinds[0]}", hint=near_name(name, _SELECTING, why))
    if kinds == ["keep"]:
        if listed is not True:
            raise UsageError("keep is not true", hint="write keep = true, or leave it out")
        return
    if not isinstance(listed, list) or not listed or not all(isinstance(one, Mapping) for one in listed):
        raise UsageError("steps is no list of rules", hint='write steps = [{ rule = "hard", threshold = 0.1 }, ...]')
    for number, raw in enumerate(listed, 1):
        try:
            step = {name.replace("-", "_"): _in(name, variables.put, value) for name, value in raw.items()}
            yield _step(step, found)
        except UsageError as error:
            raise UsageError(f"step {number}: {error.what}", hint=error.hint) from error


def _step(values: dict[str, Any], found: Found) -> Step:
    """A rule and its options."""
    name = values.pop("rule", None)
    if name == "solve":
        hint = "solve it again: thresh solve FILE -t SPEC -o MAP"
        raise UsageError("was made by solve, which applies no rule", hint=hint)
    if not isinstance(name, str) or name not in rules.names():
        hint = f"there are {', '.join(sorted(rules.names()))}"
        if isinstance(name, list):
            raise UsageError(
                "rule is a list", hint="write [[rules]] above each entry, or steps = [...] for several rules"
            )
        what = "has no rule" if name is None else f"rule: there is no rule {_shown(name)}"
        raise UsageError(what, hint=near_name(str(name), rules.names(), hint))
    rule = rules.find(name)
    hints = get_type_hints(rule)
    own = {item.name: (hints[item.name], item.default) for item in rule.options()}
    many = {slot.name: slot.many for slot in rule.slots}
    given: dict[str, Any] = dict(DECIDING)
    given |= {option: value if isinstance(value, bool | str) else None for option, (_, value) in own.items()}
    given |= dict.fromkeys(many)
    for option, value in values.items():
        if option in many:
            given[option] = [_with_files(text, found, many=many[option]) for text in _slot(option, value, many[option])]
        elif option in own:
            given[option] = _checked(option, value, own[option][0])
        elif option in DECIDING:
            given[option] = _checked(option, value, _kind(option))
        else:
            known = [*many, *own, *DECIDING]
            hint = near_name(option, [*known, *_SELECTING], f"it has {', '.join(known)}")
            raise UsageError(f"{name} has no option {option!r}", hint=hint)
    if given["estimate_mask"] is not None:
        given["estimate_mask"] = found("@" + given["estimate_mask"])[1:]
    return step_of(name, rule, given)


def _slot(option: str, value: Any, many: bool) -> list[str]:
    """What is given for a threshold: once, or repeatedly where a rule takes many."""
    return [_text(option, one) for one in (value if isinstance(value, list) and many else [value])]


def _with_files(text: str, found: Found, *, many: bool) -> str:
    """A threshold, or several with commas between, with the files where they are."""
    return ",".join(map(found, text.split(","))) if many else found(text)


def _kind(option: str) -> Any:
    """The type of an option that all rules have."""
    default = DECIDING[option]
    if option == "ties":
        return Literal["first", "all", "none"]
    return str if default is None else type(default)


def _checked(option: str, value: Any, kind: Any) -> Any:
    """A value as a command line has it; UsageError where it is none of its type."""
    kinds = [kind, *get_args(kind)]
    choices = [choice for one in kinds if get_origin(one) is Literal for choice in get_args(one)]
    if choices:
        if value not in choices:
            raise UsageError(f"{option} is {value!r}", hint=f"it is one of {', '.join(choices)}")
        return value
    if kind is bool:
        known = {True: True, False: False, "true": True, "false": False}
        if not isinstance(value, bool | str) or value not in known:
            raise UsageError(f"{option} is {_shown(value)}", hint="write true or false, without quotes")
        return known[value]
    if kind is int:
        text = _text(option, value)
        if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
            raise UsageError(f"{option} is {_shown(value)}", hint="give a whole number")
        return int(text)
    if isinstance(value, list) and (parsed_as(kind) is Numbers or option == "axes"):
        return ",".join(_text(option, one) for one in value)
    return _text(option, value)


def _text(option: str, value: Any) -> str:
    """A text or a number as it is written on a command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise UsageError(f"{option} is {_shown(value)}", hint="give a number, or a text as the command line has it")
    return str(value) if isinstance(value, int | Decimal) else Number.of(value).text


def _texts(value: Any, name: str) -> tuple[str, ...]:
    several = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in several):
        raise UsageError(f"{name} is {_shown(value)}", hint=f'give a text or a list of them: {name} = "*.weight"')
    return tuple(several)


def _patterns(texts: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    found = []
    for text in texts:
        try:
            if len(text) > _LONGEST_PATTERN:
                raise re.error("it is too long")
            with warnings.catch_warnings(action="ignore"):  # of what a later Python may take for something else
                found.append(re.compile(text))
        except (re.error, RecursionError, OverflowError) as error:
            hint = "in TOML write it in single quotes: regex = '.*\\.scale'"
            raise UsageError(f"regex {text[:80]!r} is no regular expression: {error}", hint=hint) from error
    return tuple(found)


def _shown(value: Any) -> str:
    """A value for an error message."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)[:40]


def _near_key(values: Mapping[str, Any], known: Iterable[str]) -> str:
    """What one of these keys was meant to be."""
    found = [near_name(name, known) for name in values]
    return next((f"{text} " for text in found if text), "")
