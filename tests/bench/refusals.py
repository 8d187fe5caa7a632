"""Files that are refused: how long that takes, whatever is wrong with them, and how much memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.lab import Lab
from tests.bench.table import Row

_SECONDS, _BYTES = 0.5, 300_000_000
_LIGHT = (".npy", ".safetensors")
"""Files that are refused without what takes long to import."""
_SHOWN = 5


def refusals(lab: Lab, name: str) -> Sequence[Row]:
    """The slowest refusals of all hostile files, each by a process of its own, and the one that takes most memory."""
    folder = lab.made("hostile", "-m", "tests.bench.refusals")
    files: dict[str, int] = json.loads((folder / "refused.json").read_bytes())
    commands = {file: lab.thresh("info", folder / file, status=status) for file, status in files.items()}
    costs = lab.race(1, **commands)
    rows = []
    for endings, limit, rule in ((_LIGHT, _SECONDS, "0.5 s"), ((".pt", ".json"), None, "to compare")):
        found = sorted((file for file in costs if file.endswith(endings)), key=lambda file: -costs[file].wall)
        again = lab.race(**{file: commands[file] for file in found[:_SHOWN]})  # once may be by chance
        rows += [Row(f"{name}: {file}", "wall", cost.wall, None, limit, rule) for file, cost in again.items()]
    torch = lab.race(1, torch=lab.python("import torch"))["torch"].peak
    file = max(costs, key=lambda file: costs[file].peak)
    return [*rows, Row(f"{name}: {file}", "peak", costs[file].peak, torch, torch + _BYTES, "import torch + 300 MB")]


def main(target: str) -> None:
    """Make all hostile files, and tell which of them `info` refuses, with which exit status."""
    from tests.harness import thresh
    from tests.hostile import index, npy, pt, safetensors

    folder = Path(target)
    folder.mkdir()
    refused: dict[str, int] = {}
    for case in (case for kind in (npy, safetensors, pt, index) for case in kind.cases() if case.said):
        status = thresh("info", case.write(folder), "-q").status
        if status:
            refused[case.name] = status
    (folder / "refused.json").write_text(json.dumps(refused), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
