"""What reports cost to import: next to nothing, tried in a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("rich", "numpy", "torch", "typer")
SMALL_RUN = """
from threshcli.report.sheets import sheet
from threshcli.report.spool import Spool
from threshcli.report.tally import Tally
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult, TensorResult
tensor = TensorResult(name="w", shape=(3,), dtype="float32", out_dtype="float32", applied=True, elements=3)
file = FileResult(input="a.npy", output="b.npy", status="written", tensors=(tensor,))
run = RunResult(version="1", command="variable", operator="x > T", params={}, device="cpu", files=(file,), seconds=1.0)
for kind in ("table", "json", "ndjson", "tsv"):
    texts = []
    one = sheet(kind, texts.append, run, Terminal(is_terminal=True, width=80, colour=True), verbose=False)
    one.take(one.part(0, file))
    one.end(run, Tally.of_run(run), Spool())
    assert "".join(texts)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import threshcli.report",
        "import threshcli.report.progress, threshcli.report.terminal",
        SMALL_RUN,
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    """Not by the package, nor by a report on names in ASCII; rich comes with the bar and with wide characters."""
    seen = f"import sys\n{code}\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
