"""`python -m tests.bench [--size SIZE] [--rounds N] [--dir FOLDER] [NAME...]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.bars import BARS
from tests.bench.lab import Lab
from tests.bench.measure import CommandFailed
from tests.bench.table import Row, render
from tests.harness import compile_package
from threshcli.spec import parse_size


def main() -> int:
    """Measure, then print the table; the status is 1 where a command failed, whether or not bars are met."""
    options = _options()
    names = options.names or list(BARS)
    compile_package()
    rows: list[Row] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="thresh-bench-", dir=options.dir) as folder:
        lab = Lab(Path(folder), parse_size(options.size), options.rounds)
        for name in names:
            began = time.perf_counter()
            try:
                rows += BARS[name](lab, name)
            except CommandFailed as failure:
                failures.append(f"{name}: {failure}")
            finally:
                lab.clear()
            sys.stderr.write(f"{name}: {time.perf_counter() - began:.0f} s\n")
    sys.stdout.write(render(rows))
    sys.stderr.writelines(f"{failure}\n" for failure in failures)
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure thresh against its bars.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"bars to measure, of: {', '.join(BARS)}; default all")
    parser.add_argument("--size", default="1GiB", help="bytes of an input; default 1GiB, which takes 11 GB of disk")
    parser.add_argument("--rounds", type=int, default=5, help="times that each command is run; default 5")
    parser.add_argument("--dir", type=Path, help="where to put the inputs, which are removed afterwards")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BARS]
    if unknown:
        parser.error(f"no bar is called {unknown[0]}; there are {', '.join(BARS)}")
    if options.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
