"""What becomes of a file of which nothing was made."""

from __future__ import annotations

from threshcli.errors import ThreshError
from threshcli.plan.names import Job
from threshcli.results import Failure, FileResult


def is_out_of_memory(error: Exception) -> bool:
    """Python's own error, or that of an accelerator's library, which is not imported here to be named."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def skipped(job: Job) -> FileResult:
    """A job whose outputs are there."""
    return FileResult(input=job.input, output=job.output, status="skipped", residual=job.residual)


def not_done(job: Job) -> FileResult:
    """A job that was not begun."""
    return FileResult(input=job.input, output=job.output, status="not-done")


def failed(job: Job, error: ThreshError) -> FileResult:
    """A job that came to nothing."""
    return FileResult(input=job.input, output=job.output, status="failed", error=Failure.of(error, job.input))
