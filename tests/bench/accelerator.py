"""Rules on tensors that lie on an accelerator, against a copy there: `python -m tests.bench.accelerator BYTES` times
them in a process of its own, and prints the seconds of each, and of what it has to move at least."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import threshcli
from tests.bench.lab import Lab
from tests.bench.table import Row

_RUNS = 15
_SMALL = 1024


def accelerator(lab: Lab, name: str) -> Sequence[Row]:
    """Each function on a tensor of the full size takes at most as long as its bytes do at 0.8 of the memory's speed."""
    command = [sys.executable, "-m", "tests.bench.accelerator", str(lab.size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = []
    for way, ours, theirs, least in json.loads(done.stdout):
        limit = None if least is None else least / 0.8
        rows.append(Row(f"{name}: {way}", "wall", ours, theirs, limit, "0.8 of a copy" if limit else "to compare"))
    return rows


def _measured(size: int) -> list[tuple[str, float, float, float | None]]:
    """What was measured, its seconds, those of what it is compared with, and the least that its bytes take."""
    import torch

    if not torch.cuda.is_available():
        sys.stderr.write("there is no accelerator\n")
        return []
    rows: list[tuple[str, float, float, float | None]] = []
    for dtype in (torch.float32, torch.bfloat16, torch.int8):
        x = torch.randn(size // dtype.itemsize, device="cuda").mul(20 if dtype is torch.int8 else 1).to(dtype)
        kind = str(dtype).removeprefix("torch.")
        copy = _seconds(partial(torch.empty_like(x).copy_, x), many=5)
        for way, copies, work in _ways(torch.zeros_like(x)):
            rows.append((f"{way} {kind}", _seconds(partial(work, x), many=5), copy, copies * copy))
    small = torch.randn(_SMALL, device="cuda")
    ours, by_hand = (partial(work, small, 0.5) for work in (threshcli.gradient_threshold, _by_hand))
    rows.append((f"gradient of {_SMALL:,}", _seconds(ours, many=200), _seconds(by_hand, many=200), None))
    return rows


def _by_hand(x: Any, number: float) -> Any:
    import torch

    return torch.where(x.abs() > number, x, 0)


def _ways(map: Any) -> Iterator[tuple[str, float, Callable[[Any], Any]]]:
    """Functions of a tensor, and how many copies of it their bytes are worth."""
    yield "binary", 1, lambda x: threshcli.binary_threshold(x, 0.5)
    yield "gradient", 1, lambda x: threshcli.gradient_threshold(x, 0.5)
    yield "hard", 1, lambda x: threshcli.hard_threshold(x, 0.5)
    yield "clamp", 1, lambda x: threshcli.clamp(x, -1, 1)
    yield "variable", 1.5, lambda x: threshcli.variable_threshold(x, map)
    if map.is_floating_point():
        yield "soft", 1, lambda x: threshcli.soft_threshold(x, 0.5)


def _seconds(work: Callable[[], Any], many: int) -> float:
    """Of a call, one of so many in a row (the device works on one while the next is on its way): the median of runs."""
    import torch

    times = []
    for _ in range(_RUNS + 3):
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        began.record()
        for _ in range(many):
            work()
        ended.record()
        ended.synchronize()
        times.append(began.elapsed_time(ended) / 1000 / many)
    return float(sorted(times[3:])[_RUNS // 2])


if __name__ == "__main__":
    print(json.dumps(_measured(int(sys.argv[1]))))  # noqa: T201
