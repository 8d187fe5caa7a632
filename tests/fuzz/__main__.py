"""`python -m tests.fuzz [--mutations N] [--seed S] [--reader NAME]... [--first N] [--minutes M] [--keep FOLDER]`."""

from __future__ import annotations

import argparse
import itertools
import secrets
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.readers import READERS
from tests.fuzz.running import Failure, fuzz


def main() -> int:
    """Fuzz each reader, and tell of it; the status is 1 where a promise was broken."""
    options = _options()
    names = options.reader or list(READERS)
    failed = False
    for name in names:
        until = None if options.minutes is None else time.monotonic() + options.minutes * 60 / len(names)
        numbers: Iterable[int] = itertools.count(options.first)
        if options.mutations is not None or until is None:
            numbers = itertools.islice(numbers, options.mutations or 10_000)
        tally = fuzz(name, options.seed, numbers, until)
        parts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(tally.outcomes.items()))
        sys.stdout.write(
            f"{name}: {tally.cases:,} mutations of seed {options.seed} in {tally.seconds:.0f} s: {parts}\n"
        )
        sys.stdout.flush()
        failed |= _tell(tally.failures, options.keep)
    return int(failed)


def _tell(failures: list[Failure], keep: Path | None) -> bool:
    """The first failure of each kind in full, and how many there are."""
    kinds: dict[str, list[Failure]] = {}
    for failure in failures:
        kinds.setdefault(failure.kind, []).append(failure)
    for found in kinds.values():
        first = min(found, key=lambda failure: len(failure.data))
        sys.stdout.write(f"\n{len(found)} times: {first.told()}\n")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            extension = READERS[first.reader].extension
            (keep / f"{first.reader}-{first.seed}-{first.number}.{extension}").write_bytes(first.data)
    return bool(kinds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damage files, and read them.")
    parser.add_argument("--mutations", type=int, help="cases for each reader; default 10,000, or what --minutes leaves")
    parser.add_argument("--seed", type=int, default=None, help="what chance is drawn from; default: another each time")
    parser.add_argument("--reader", action="append", choices=list(READERS), help="repeatable; default all")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case; default 0")
    parser.add_argument("--minutes", type=float, help="time for all readers together")
    parser.add_argument("--keep", type=Path, help="a folder for a file of each kind of failure")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = secrets.randbelow(1 << 32)
    return options


if __name__ == "__main__":
    sys.exit(main())
