"""From a rule's class to its command, and from a command's arguments to a run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from threshcli.cli import options
from threshcli.cli._inputs import INPUTS, inputs_of, parameters, with_parameters
from threshcli.cli._rules import rule_parameters
from threshcli.cli.batch import Reporting, calling
from threshcli.cli.outside import Outside
from threshcli.errors import UsageError
from threshcli.packings.base import Given
from threshcli.plan.asking import DECIDING, request_of
from threshcli.plan.index import members
from threshcli.plan.names import Job, Names
from threshcli.plan.request import Request
from threshcli.rules.base import Rule


def _deciding(**kinds: Any) -> tuple[tuple[str, Any, Any], ...]:
    """Options that decide what is written, with the defaults that they have in recipes."""
    return tuple((name, kind, DECIDING[name]) for name, kind in kinds.items())


_DECIDING = _deciding(
    scope=options.Scope,
    ties=options.Ties,
    scale=options.Scale,
    offset=options.Offset,
    at_least=options.AtLeast,
    at_most=options.AtMost,
    ignore_zero=options.IgnoreZero,
    estimate_mask=options.EstimateMask,
    bins=options.Bins,
    axes=options.Axes,
    broadcast=options.Broadcast,
)


OUTPUTS: tuple[tuple[str, Any, Any], ...] = (
    ("output", options.Output, None),
    ("out_dir", options.OutDir, None),
    ("keep_tree", options.KeepTree, False),
    ("in_place", options.InPlace, False),
    ("overwrite", options.Overwrite, False),
    ("skip_existing", options.SkipExisting, False),
    ("dry_run", options.DryRun, False),
    ("to", options.To, None),
    ("fsync", options.Fsync, None),
)
"""Where outputs go, whatever is in them."""

REPORTING: tuple[tuple[str, Any, Any], ...] = (
    ("jobs", options.Jobs, "auto"),
    ("max_memory", options.MaxMemory, "64MiB"),
    ("report", options.Report, None),
    ("json", options.Json, False),
    ("report_file", options.ReportFile, None),
    ("fail_if", options.FailIf, None),
    ("fail_fast", options.FailFast, False),
    ("progress", options.Progress, None),
    ("quiet", options.Quiet, False),
    ("verbose", options.VerboseCall, False),
    ("color", options.Color, "auto"),
    ("debug", options.Debug, False),
)
"""How the work is done, and told of."""

_SHARED: tuple[tuple[str, Any, Any], ...] = (
    *_DECIDING,
    ("tensor", options.Tensor, None),
    ("exclude", options.Exclude, None),
    *OUTPUTS,
    ("residual", options.Residual, None),
    *_deciding(out_dtype=options.OutDtype),
    ("pack", options.Pack, None),
    ("no_provenance", options.NoProvenance, False),
    ("sidecar", options.Sidecar, False),
    ("device", options.Device, "cpu"),
    *REPORTING,
)

WORKING = tuple(item for item in _SHARED if item[0] not in {*DECIDING, "tensor", "exclude", "residual"})
"""Those that say where outputs go and how the work is done, and do not decide what is written."""


def rule_command(name: str, rule: type[Rule], outside: Outside) -> Callable[..., int]:
    """The function behind a rule's command; its signature, which typer reads, is made from the rule's class."""

    def command(**given: Any) -> int:
        return _run(name, rule, given, outside)

    shared = [item for item in _SHARED if item[0] != "residual" or rule.residual]
    return with_parameters(command, parameters([*INPUTS, *rule_parameters(rule), *shared]))


def _run(name: str, rule: type[Rule], given: Mapping[str, Any], outside: Outside) -> int:
    return carry_out(given, outside, lambda moments: request_of(name, rule, given, moments=moments))


def carry_out(
    given: Mapping[str, Any], outside: Outside, make: Callable[[bool], Request], unpack: Given | None = None
) -> int:
    """Make a request, told whether its report tells means and norms, do it over the inputs (or `unpack` them), and
    report; returns the exit status."""
    reporting = Reporting.of(given)
    inputs = inputs_of(given, outside)
    request = make(reporting.moments)
    reporting.check_rules(request)
    for step in request.steps:
        inputs.check_scope(str(step.fit.scope))
    jobs, told = request.names.jobs(inputs), telling(outside, request.names)
    reporting.check_place(jobs, request.sidecar)
    from threshcli.executors.local import Executor

    began = time.perf_counter()
    with outside.progress(given["color"], enabled=_wants_progress(given)) as bar:
        bar.start(_total(jobs) * request.passes if bar.is_drawn else 0)
        common: dict[str, Any] = {"progress": bar, "copies": outside.alone, "part": inputs.is_part}
        common |= {"fail_fast": given["fail_fast"], "stdout": outside.write}
        if unpack is None:
            executor = Executor(request, **common)
        else:
            from threshcli.executors.unpack import Unpacker

            executor = Unpacker(request, **common, given=unpack)
        with calling(reporting, executor.about(), replace(told, aside=bar.aside), given) as call:
            for one in executor.each(jobs, call.tell):
                call.take(one)
            bar.hide()
            return call.end(executor.about(time.perf_counter() - began))


def telling(outside: Outside, names: Names) -> Outside:
    """Where the report goes: to standard error where standard output carries a tensor file. UsageError where that would
    go to a terminal."""
    if not names.to_stdout:
        return outside
    if outside.out.isatty():
        raise UsageError("standard output is a terminal, and a tensor file is no text", hint="send it on: > FILE")
    return replace(outside, out=outside.err)


def _wants_progress(given: Mapping[str, Any]) -> bool:
    """A bar, unless there are lines in its place."""
    return bool(not (given["quiet"] or given["verbose"]) if given["progress"] is None else given["progress"])


def _total(jobs: Sequence[Job]) -> int:
    total = 0
    for path in (path for job in jobs for path in members(job.input)):
        try:
            total += os.stat(path).st_size  # noqa: PTH116 - a name that is no path is told later, by its own turn
        except (OSError, ValueError):
            continue
    return total
