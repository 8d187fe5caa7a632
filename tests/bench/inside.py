"""What is timed inside of a process, on what is in memory already."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any


def tell_seconds(work: Callable[[], Any]) -> None:
    """Print the seconds that the better of two runs took: the first pays for imports and pages."""
    best = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    sys.stdout.write(f"{best}\n")
