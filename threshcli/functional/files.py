"""A rule over files, from a program: the command line's engine, and its report as an object."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_type_hints

from threshcli import rules
from threshcli.errors import UsageError
from threshcli.executors.local import Executor
from threshcli.functional.binding import is_number
from threshcli.functional.making import number, rule_named
from threshcli.functional.wording import in_python
from threshcli.plan.asking import DECIDING, parsed_as, request_of
from threshcli.plan.inputs import Search, gather
from threshcli.plan.request import Request
from threshcli.results import FileResult, RunResult

__all__ = ["apply"]

Path = str | os.PathLike[str]

WORKING: Mapping[str, Any] = {
    "overwrite": False,
    "skip_existing": False,
    "to": None,
    "pack": None,
    "fsync": None,
    "no_provenance": False,
    "sidecar": False,
    "keep_tree": False,
    "device": "cpu",
    "jobs": "auto",
    "max_memory": "64MiB",
}
"""The options that say how the work is done, as they are when they are not given."""
_DEFAULTS: Mapping[str, Any] = {**DECIDING, "tensor": None, "exclude": None, "residual": None, **WORKING}
"""Those that every rule's command has."""
_PLAIN = ("bins",)
_REPEATED = ("tensor", "exclude")


def apply(
    rule: str,
    inputs: Path | Iterable[Path],
    *,
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
    """Run a rule over files, as the command of its name does: tile by tile, with all workers, in bounded memory.

    Args:
        rule: Name of the rule: "binary", "gradient", "soft", ...
        inputs: A path, or several; a folder stands for the tensor files in it.
        output: Path of the output, or a template with {dir} {stem} {ext} {name} {rel} {rule} {i}.
        out_dir: Folder for outputs under their inputs' names.
        in_place: Replace the inputs.
        dry_run: Only say what would be done, from the headers.
        recursive: Look for files in the folders within folders, too.
        glob: Patterns: take files of folders whose names match, whatever their extensions.
        check: Raise the first error of a file when all others are done; else it is in the report alone.
        done: Told of each file as it ends.
        **options: What the command takes, under the same names with underscores: `threshold` (`low`, `high`) as a
            number or as the command line has it ("p90", "@map.npy"), the rule's own options, and `scope`, `tensor`,
            `exclude`, `overwrite`, `out_dtype`, `pack`, `device`, `jobs`, `max_memory`, ...

    Returns:
        The report: `files`, each with its `tensors` and their counts; its fields are those of --json.

    Raises:
        UsageError: (a ValueError) of what cannot be meant, before any file is touched.
        ThreshError: with `check`, what went wrong with the first file that failed; `file` names it.

    Example:
        >>> import numpy as np, os, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> np.save(os.path.join(folder, "x.npy"), np.array([-3.0, 0.5, 2.0]))
        >>> report = apply("soft", f"{folder}/x.npy", threshold=1, output=f"{folder}/y.npy")
        >>> np.load(f"{folder}/y.npy").tolist(), report.files[0].tensors[0].selected
        ([-2.0, 0.0, 1.0], 2)
    """
    paths = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    places = {"output": output, "out_dir": out_dir}
    with in_python():
        given = _arguments(rule, options)
        given |= {name: None if path is None else os.fspath(path) for name, path in places.items()}
        given |= {"in_place": in_place, "dry_run": dry_run}
        request = request_of(rule, rules.find(rule), given, moments=True)
        patterns = (glob,) if isinstance(glob, str) else tuple(glob)
        search = Search(recursive=recursive, patterns=patterns, besides=given["out_dir"])
        return carried_out(request, paths, search, done, check=check)


def carried_out(
    request: Request,
    paths: Iterable[Path],
    search: Search,
    done: Callable[[FileResult], None] | None,
    *,
    check: bool,
) -> RunResult:
    """What comes of a request over these files; with `check` the first error is raised."""
    jobs = request.names.jobs(gather([os.fspath(path) for path in paths], search))
    result = Executor(request, done=done).run(jobs)
    failed = next((file for file in result.files if file.error is not None), None)
    if check and failed is not None and failed.error is not None:
        raise failed.error.error(failed.input)
    return result


def _arguments(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The command's arguments from those of a call; UsageError of options that it does not have."""
    kind = rule_named(name)
    slots = [slot.name for slot in kind.slots]
    own = {item.name: item.default if isinstance(item.default, bool | str) else None for item in kind.options()}
    known = {**dict.fromkeys(slots), **own, **_DEFAULTS}
    if not kind.residual:
        del known["residual"]
    strange = sorted(set(options) - set(known))
    if strange:
        raise UsageError(f"{name} has no option {strange[0]!r}", hint=f"it has {', '.join(sorted(known))}")
    given, hints = dict(known), get_type_hints(kind)
    for option, value in options.items():
        if value is not None:
            plain = option in own and parsed_as(hints[option]) is None
            given[option] = value if plain else _written(option, value)
    return given


def _written(option: str, value: Any) -> Any:
    """A value as it stands on a command line."""
    if option in _REPEATED:
        return [value] if isinstance(value, str) else list(value)
    if isinstance(value, bool | str) or option in _PLAIN:
        return value
    if isinstance(value, list | tuple):
        texts = [str(_written(option, one)) for one in value]
        return ",".join(texts)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "shape") and value.shape:
        raise UsageError(f"{option} is a {type(value).__name__}", hint='save it, and give "@FILE"')
    return str(number(option, value)) if is_number(value) else str(value).removeprefix("torch.")
