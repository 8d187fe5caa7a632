"""A recipe over files, from a program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from threshcli.errors import UsageError
from threshcli.functional.files import WORKING, Path, carried_out
from threshcli.functional.wording import in_python
from threshcli.plan.asking import request_with
from threshcli.plan.entries import recipe_of
from threshcli.plan.inputs import Search
from threshcli.plan.recipes import read_recipe
from threshcli.plan.request import Request
from threshcli.results import FileResult, RunResult

__all__ = ["run"]

_PLACES = {"output", "out_dir", "in_place", "dry_run"}


def run(
    recipe: Path | Mapping[str, Any],
    inputs: Path | Iterable[Path],
    *,
    variables: Mapping[str, object] | None = None,
    output: Path | None = None,
    out_dir: Path | None = None,
    in_place: bool = False,
    dry_run: bool = False,
    recursive: bool = False,
    glob: str | Iterable[str] = (),
    check: bool = True,
    done: Callable[[FileResult], None] | None = None,
    **options: Any,
) -> RunResult:
    """Do over files what a recipe says, as `thresh run` does: rules by tensor name, several steps in one pass.

    Args:
        recipe: A file (a recipe in TOML, or an output, a sidecar or a report of thresh), or what stands in one: a
            mapping with `rules`, a list of entries, or one entry by itself. Files that a mapping names are looked for
            from the current folder.
        inputs: A path, or several; a folder stands for the tensor files in it.
        variables: Values for the variables of the recipe.
        output: Path of the output, or a template with {dir} {stem} {ext} {name} {rel} {rule} {i}.
        out_dir: Folder for outputs under their inputs' names.
        in_place: Replace the inputs.
        dry_run: Only say what would be done, from the headers.
        recursive: Look for files in the folders within folders, too.
        glob: Patterns: take files of folders whose names match, whatever their extensions.
        check: Raise the first error of a file when all others are done; else it is in the report alone.
        done: Told of each file as it ends.
        **options: How the work is done, as the command has it: `overwrite`, `sidecar`, `device`, `jobs`, ...

    Regular expressions that take more than some seconds to match are refused in the main thread only: do not let
    another one run recipes that you do not trust.

    Returns:
        The report: `files`, each with its `tensors`, the `steps` of these and their counts.

    Raises:
        UsageError: (a ValueError) of what cannot be meant, before any file is touched.
        ThreshError: with `check`, what went wrong with the first file that failed; `file` names it.

    Example:
        >>> import numpy as np, os, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> np.save(os.path.join(folder, "x.npy"), np.array([-3.0, 0.5, 2.0]))
        >>> steps = [{"rule": "clamp", "low": -1}, {"rule": "soft", "threshold": "{t}"}]
        >>> report = run({"steps": steps}, f"{folder}/x.npy", variables={"t": 0.25}, output=f"{folder}/y.npy")
        >>> np.load(f"{folder}/y.npy").tolist(), report.files[0].tensors[0].steps
        ([-0.75, 0.25, 1.75], ('clamp', 'soft'))
    """
    paths = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    with in_python():
        places = {"output": output, "out_dir": out_dir, "in_place": in_place, "dry_run": dry_run}
        request = _request(recipe, dict(variables or {}), {**places, **options})
        patterns = (glob,) if isinstance(glob, str) else tuple(glob)
        search = Search(recursive=recursive, patterns=patterns, besides=request.names.out_dir)
        return carried_out(request, paths, search, done, check=check)


def _request(recipe: Path | Mapping[str, Any], variables: Mapping[str, object], given: Mapping[str, Any]) -> Request:
    """The request that a recipe and the arguments of `run` make."""
    known = {**WORKING, "pack": None, **dict.fromkeys(_PLACES)}
    strange = sorted(set(given) - set(known))
    if strange:
        raise UsageError(f"run has no option {strange[0]!r}", hint=f"it has {', '.join(sorted(set(known) - _PLACES))}")
    if isinstance(recipe, Mapping):
        said = recipe_of(recipe, variables, lambda text: text)
    else:
        said = read_recipe(os.fspath(recipe), variables)
    asked = {**known, **given}
    asked |= {name: None if asked[name] is None else os.fspath(asked[name]) for name in ("output", "out_dir")}
    asked |= {name: str(asked[name]) for name in ("jobs", "max_memory")}
    asked["pack"] = asked["pack"] or said.pack
    return replace(request_with(said.entries, "run", asked, moments=True), noted=said.noted)
