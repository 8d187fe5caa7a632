"""A batch that is killed and run again with --skip-existing ends as one that is not, and does nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.harness import listed
from tests.sharded import write_checkpoint

FILES = 24
Marks = dict[str, tuple[int, int]]


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "threshcli", *(str(word) for word in words), "--skip-existing", "-q"]


def done(folder: Path) -> Marks:
    """The outputs that are there, and what tells whether they were written again."""
    if not folder.exists():
        return {}
    found = {path.name: path.stat() for path in folder.iterdir() if not path.name.startswith(".thresh-")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def killed(words: list[str], out: Path, wait: float, more: int) -> None:
    """Run until so many more outputs are there, and a little longer; then kill it, and all that it has started."""
    start = len(done(out))
    process = subprocess.Popen(words, start_new_session=True)
    while process.poll() is None and len(done(out)) < start + more:
        time.sleep(0.001)
    time.sleep(wait)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def killed_and_completed(words: list[str], out: Path, moments: random.Random) -> None:
    """Kill it several times, hold it to what was done before, and let it end."""
    before: Marks = {}
    for more in (0, 1, 3, 6):
        killed(words, out, moments.random() * 0.02, more)
        after = done(out)
        assert {name: after[name] for name in before} == before, "what was done was done again"
        before = after
    subprocess.run(words, check=True, timeout=60)
    after = done(out)
    assert {name: after[name] for name in before} == before, "what was done was done again"


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in listed(folder) if not name.startswith(".thresh-")}


@pytest.mark.parametrize("words", [("-t", "0.5"), ("-t", "p50")])
def test_a_batch_that_is_killed_is_completed(words: tuple[str, ...], tmp_path: Path) -> None:
    """Files of several sizes and formats; what was left over by the kill is in nobody's way."""
    rng = np.random.default_rng(8)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(FILES):
        data = rng.standard_normal(400_000 if number % 4 else 900).astype("f4")
        if number % 3:
            np.save(folder / f"{number:02}.npy", data)
        else:
            torch.save({"w": torch.from_numpy(data)}, folder / f"{number:02}.pt")
    subprocess.run(command("gradient", folder, *words, "-O", tmp_path / "whole"), check=True, timeout=60)
    again = command("gradient", folder, *words, "-O", tmp_path / "out")
    killed_and_completed(again, tmp_path / "out", random.Random(1))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_checkpoint_that_is_killed_is_completed(tmp_path: Path) -> None:
    """The index is never there before all shards are."""
    torch.manual_seed(0)
    parts = [{f"{number}.weight": torch.randn(300_000), f"{number}.norm": torch.ones(30)} for number in range(12)]
    index = write_checkpoint(tmp_path / "in", parts)
    words = ("gradient", index, "-t", "zero50%", "--scope", "file", "-x", "*norm", "-O")
    subprocess.run(command(*words, tmp_path / "whole"), check=True, timeout=60)
    killed_and_completed(command(*words, tmp_path / "out"), tmp_path / "out", random.Random(2))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    (tmp_path / "out" / index.name).unlink()
    killed(command(*words, tmp_path / "out"), tmp_path / "out", 0, 0)
    assert set(listed(tmp_path / "out")) - {index.name} >= set(listed(tmp_path / "in")) - {index.name}
