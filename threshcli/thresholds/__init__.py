"""The threshold sources: one file each, found by themselves (`base` holds their contract)."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache

from threshcli.errors import UsageError
from threshcli.thresholds.base import Threshold

_N_OF_M = re.compile(r"\d+:\d+")
_WORD = re.compile(r"[a-z]+")


@cache
def _modules() -> tuple[str, ...]:
    """The modules that hold sources: numbers first, since most thresholds are some."""
    found = [item.name for item in pkgutil.iter_modules(__path__) if item.name != "base" and item.name[0] != "_"]
    return tuple(sorted(found, key=lambda name: (name != "number", name)))


@cache
def _sources(module_name: str) -> tuple[type[Threshold], ...]:
    module = importlib.import_module(f"{__name__}.{module_name}")
    return tuple(
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Threshold) and value.__module__ == module.__name__
    )


def registered() -> tuple[type[Threshold], ...]:
    """Every source."""
    return tuple(source for name in _modules() for source in _sources(name))


def _likely(text: str) -> Iterator[type[Threshold]]:
    """Every source, those first that save loading the others: numbers, then the file named as the text begins."""
    word = _WORD.match(text)
    names = _modules()
    first = [name for name in names if name == "number" or (word and name == word[0])]
    for name in dict.fromkeys((*first, *names)):
        yield from _sources(name)


def parse_list(text: str) -> list[tuple[str, Threshold]]:
    """The thresholds that are written with commas between, each with its text. Where a source has commas of its own,
    the longest text that it takes is one threshold."""
    words = [word.strip() for word in text.split(",")]
    found: list[tuple[str, Threshold]] = []
    while words:
        for count in range(len(words), 1, -1):
            longest = ",".join(words[:count])
            threshold = _with_commas(longest)
            if threshold is not None:
                break
        else:
            count, longest = 1, words[0]
            threshold = parse(longest)
        found.append((longest, threshold))
        del words[:count]
    return found


def _with_commas(text: str) -> Threshold | None:
    """The threshold that is written so, if its source may have commas in it."""
    for source in _likely(text):
        if source.commas:
            try:
                threshold = source.parse(text)
            except UsageError:
                continue  # a shorter text may be right
            if threshold is not None:
                return threshold
    return None


def parse(text: str) -> Threshold:
    """The threshold that is written so; UsageError where no source takes it, listing what can be written."""
    for source in _likely(text):
        threshold = source.parse(text)
        if threshold is not None:
            return threshold
    if _N_OF_M.fullmatch(text):
        raise UsageError(f"{text!r} is not a threshold", hint="N:M, so many of M neighbours, is what the rule nm takes")
    forms = [form for source in registered() for form in source.form.split(", ")]
    near = difflib.get_close_matches(text, forms, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"{text!r} is not a threshold", hint=f"{meant}there are {', '.join(forms)}")
