"""Outputs that exist, with --skip-existing: left alone where they are what would be written, else told of.

An output belongs to a call if it has the size, the fixed bytes (names, dtypes, shapes, order; in .safetensors also how
it was made) and, as far as that is looked at, the elements that would be written. Times of files say nothing of that: a
tree that was copied has others.
"""

from __future__ import annotations

from dataclasses import dataclass

from threshcli.engine.comparing import Comparing, different, is_pending
from threshcli.engine.reading import Input
from threshcli.engine.sizes import Settings
from threshcli.errors import OutputError, ThreshError
from threshcli.plan.alike import Planner
from threshcli.plan.files import FilePlan, read_header
from threshcli.plan.provenance import KEY, alike, with_thresholds
from threshcli.plan.remembered import remembered
from threshcli.plan.request import Request
from threshcli.storage.local import Source

WORKED_OUT = 1 << 23
"""Bytes of an input up to which thresholds are worked out to compare it, though its output tells of them."""


@dataclass(frozen=True, slots=True)
class Existing:
    """What is there of the outputs of one planned file. `is_shared` says that its thresholds are known before."""

    request: Request
    planner: Planner
    settings: Settings
    is_shared: bool

    def can_wait(self, plan: FilePlan) -> bool:
        """Whether to ask only when thresholds and sizes are worked out: for small files, and where no output tells."""
        if plan.unmeasured or not is_pending(plan):
            return plan.unmeasured
        told = _told(plan)
        return self.is_shared or plan.size <= WORKED_OUT or told is None or remembered(plan, told, above=True) is None

    def is_done(self, plan: FilePlan, source: Source, elements: Input | None = None) -> bool:
        """Whether there is nothing left to do for a file, whose elements come from `elements` if not as they are.
        OutputError where outputs exist that are not those of this call, unless they may be replaced."""
        try:
            self._check(plan, source, elements or source)
        except OutputError:
            if self.request.overwrite:
                return False
            raise
        return plan.output is not None and plan.output.replace

    def _check(self, plan: FilePlan, source: Source, elements: Input) -> None:
        output, residual = plan.output, plan.residual
        if output is not None and output.replace and residual is not None and not residual.replace:
            raise different(f"and its residual {residual.path} does not", output.path)
        _check_sidecar(plan)
        other = None
        told = _told(plan) if plan.unmeasured or is_pending(plan) else None
        if plan.unmeasured:
            if output is not None and told is not None and not alike(plan.recipe[KEY], told):
                raise different("made with another recipe", output.path)
            return
        if told is not None:
            recipe = {KEY: with_thresholds(plan.recipe[KEY], told)}
            low, high = (remembered(plan, told, above=above) for above in (False, True))
            other = None if high is None else self.planner.plan(plan.job, source, high, recipe=recipe)
            plan = self.planner.plan(plan.job, source, low, recipe=recipe)
        try:
            Comparing(self.request, plan, elements, self.settings, other).compare()
        except OutputError as error:
            raise _explained(plan, error) from error


def _check_sidecar(plan: FilePlan) -> None:
    """OutputError where an output is there and the recipe beside it is not, or is another."""
    output, sidecar = plan.output, plan.sidecar
    if output is None or not output.replace or sidecar is None:
        return
    if not sidecar.replace:
        raise different(f"and its recipe {sidecar.path} does not", output.path)
    ((_, wanted),) = sidecar.skeleton.segments
    with Source(sidecar.path) as there:
        found = there.read(0, there.size)
    if not alike(wanted.decode(), found.decode("utf-8", "replace")):
        raise different("made with another recipe", output.path)


def _told(plan: FilePlan) -> str | None:
    """What the output of a plan, if it exists, tells of how it was made; None where it would tell nothing."""
    output = plan.output
    if output is None or not output.replace or KEY not in plan.recipe:
        return None
    try:
        return read_header(output.path)[0].metadata.get(KEY)
    except ThreshError:
        return None


def _explained(plan: FilePlan, error: OutputError) -> OutputError:
    """The error of an output that is not the one wanted, in the terms of its format where these say more."""
    output = plan.output
    if output is None or not output.replace or error.file != output.path:
        return error
    try:
        contents, _ = read_header(output.path)
    except ThreshError as unreadable:
        return different(f"and is not complete: {unreadable.what}", output.path)
    said = contents.metadata.get(KEY)
    if said is not None and plan.recipe and not alike(plan.recipe[KEY], said):
        return different("made with another recipe", output.path)
    return error
