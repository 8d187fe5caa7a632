"""What failed of a call, said last, and the exit status that it comes to."""

from __future__ import annotations

from collections.abc import Sequence

from threshcli.cli.outside import Outside
from threshcli.errors import SomeFailed, ThreshError
from threshcli.results import Failure


def tell_failures(failures: Sequence[tuple[str, Failure]], files: int, outside: Outside) -> int:
    """Say what failed of so many files, each fault once: a shard's is its index's, too. Returns the exit status, 0
    where nothing failed."""
    told = set()
    for path, failure in failures:
        error = ThreshError(failure.message, hint=failure.hint, file=None if failure.elsewhere else path)
        if str(error) not in told:
            outside.complain(error)
            told.add(str(error))
    codes = {failure.exit_code for _, failure in failures}
    if not codes:
        return 0
    return SomeFailed.exit_code if len(failures) < files or len(codes) > 1 else codes.pop()
