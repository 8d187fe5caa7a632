"""Recipes as files: written by people in TOML, or noted by thresh in its outputs, in files beside them, in reports."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from threshcli import containers
from threshcli.errors import ThreshError, UsageError
from threshcli.plan.entries import Recipe, recipe_of
from threshcli.plan.index import Index, read_index
from threshcli.plan.maps import divided
from threshcli.plan.opening import tensor_file
from threshcli.plan.provenance import KEY, sidecar_of
from threshcli.storage import local
from threshcli.storage.spool import up_to
from threshcli.thresholds.report import LINES

_LONGEST = 1 << 28
_REPORT = "thresh.report/1"
_HINT = (
    "name the recipe first, then the files; outputs of thresh in .safetensors have theirs, others get one beside them "
    "with --sidecar"
)


def read_recipe(path: str, variables: Mapping[str, object]) -> Recipe:
    """The recipe in a file; UsageError or InputError, naming it, where there is none."""
    try:
        written = _written(path)
        found = _finder(path, named=written.is_noted)
        return recipe_of(written.raw, variables, found, noted=written.is_noted, literal=written.is_literal)
    except ThreshError as error:
        error.located(path)
        raise


class _Written(NamedTuple):
    """A recipe as it is written; whether thresh has noted it for an output, and whether braces are but braces in it."""

    raw: Mapping[str, Any]
    is_noted: bool = False
    is_literal: bool = False


def _written(path: str) -> _Written:
    """What is written in the file, or about it."""
    suffix = Path(path).suffix.lower()
    known = {extension for kind in containers.registered().values() for extension in kind.extensions}
    if suffix in known:
        return _Written(_noted(path), True, True)
    with local.Source(path, up_to(_LONGEST)) as source:
        if source.size > _LONGEST:
            raise UsageError("is too long for a recipe", hint="name the recipe first, then the files")
        raw = source.read(0, source.size)
    if suffix in LINES:
        raw = raw.rstrip().rpartition(b"\n")[2]  # the event of its end, which has the recipe
    elif suffix != ".json":
        return _Written(_from_toml(raw))
    found = _from_json(raw)
    if "weight_map" in found:
        return _Written(_of_shards(read_index(path)), True, True)
    return _Written(found, path.endswith(sidecar_of("")), "variables" not in found)


def _of_shards(index: Index) -> Mapping[str, Any]:
    """The recipe that a sharded checkpoint was made by: that of a shard, but for those in which nothing was changed."""
    for shard in index.shards:
        try:
            return _noted(shard)
        except UsageError:
            continue
        except ThreshError as error:
            error.located(shard)
            raise
    raise UsageError("has no recipe in its shards, nor beside them", hint=_HINT)


def _noted(path: str) -> Mapping[str, Any]:
    """The recipe that an output was made by: in its metadata, or beside it."""
    with tensor_file(path) as source:
        text = containers.identify(source).read(source).metadata.get(KEY)
    if text is not None:
        return _from_json(text.encode("utf-8", "surrogatepass"))
    beside = sidecar_of(path)
    if _exists(beside):
        return _written(beside).raw
    raise UsageError("has no recipe in it, nor beside it", hint=_HINT)


def _from_toml(raw: bytes) -> Mapping[str, Any]:
    try:
        return tomllib.loads(raw.decode("utf-8-sig"), parse_float=_number)
    except (ValueError, RecursionError) as error:
        hint = "a recipe is TOML, or an output, report or sidecar of thresh; it comes before the files"
        raise UsageError(f"is no recipe: {error}", hint=hint) from error


def _from_json(raw: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(raw, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"holds no recipe: {error}", hint="it has to be of thresh, or like what it writes") from error
    if isinstance(found, dict) and "schema" in found:
        found = found.get("recipe") if found["schema"] == _REPORT else None
    if not isinstance(found, dict):
        raise UsageError("holds no recipe", hint="take a report of a rule or of run, written with --json")
    return found


def _number(text: str) -> Decimal:
    """A number as it is written; ValueError for an exponent that is beyond all of them."""
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise ValueError(f"{text[:40]} is no number that can be used") from error


def _exists(path: str | Path) -> bool:
    """Whether there is such a file; a name that is too long for one is none."""
    return os.path.exists(path)  # noqa: PTH110 - that of a path object raises an error for such a name


def _finder(path: str, *, named: bool) -> Callable[[str], str]:
    """Where the files are that a recipe names: beside it, else from the current folder. Where they can only be `named`,
    a folder is none that thresh has written."""
    folder = Path(path).parent

    def found(text: str) -> str:
        if not text.startswith("@"):
            return text
        name, _ = divided(text[1:], str(folder))
        if named and PurePath(name).name != name:
            raise UsageError(f"names {text[:80]!r}, and notes of thresh name no folders", hint="write a recipe in TOML")
        beside = folder / name
        return f"@{beside}{text[1 + len(name) :]}" if name and _exists(beside) else text

    return found
