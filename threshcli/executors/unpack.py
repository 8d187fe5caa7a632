"""Packed tensors as they were before, file by file."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from threshcli.engine.abreast import Steps
from threshcli.engine.files import FileRun
from threshcli.engine.unfolding import Unfolded
from threshcli.errors import ThreshError
from threshcli.executors.endings import skipped
from threshcli.executors.local import Executor
from threshcli.packings.base import Given
from threshcli.plan.files import read_header
from threshcli.plan.names import Job
from threshcli.plan.opening import tensor_file
from threshcli.plan.unpacking import plan_unpacking
from threshcli.results import FileResult


@dataclass(frozen=True, slots=True)
class Unpacker(Executor):
    """An executor that applies no rule and unpacks what is packed."""

    given: Given = field(default_factory=Given)
    """What the user says of tensors that do not tell."""

    @property
    def _renames(self) -> bool:
        return True

    def _file(self, job: Job, work: Any, number: Any) -> Steps[FileResult]:
        began = time.perf_counter()
        with tensor_file(job.input) as source:
            job = self.request.names.known(job, source)
            plan, folded = plan_unpacking(self.request, job, source, self.given)
            existing = self._existing(plan, work, number)
            if existing is not None and existing.is_done(plan, source, Unfolded(source, folded)):
                return skipped(job)
            if self.request.names.dry_run:
                return self._planned(plan, began, "dry-run")
            unfolded = Unfolded(source, folded)
            self._make_folders(plan, work)
            return (yield from FileRun(self.request, plan, unfolded, work.settings).steps(began))


def shapes_of(path: str) -> dict[str, Any]:
    """Dtypes and shapes of the tensors in a file, by their names."""
    try:
        contents, _ = read_header(path)
    except ThreshError as error:
        error.located(path)
        raise
    return {tensor.name: (tensor.dtype, tensor.shape) for tensor in contents.tensors}
