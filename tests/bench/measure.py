"""Processes, run and measured from outside."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024 if sys.platform != "darwin" else 1  # the unit of ru_maxrss


@dataclass(frozen=True, slots=True)
class Command:
    """A process to run: what it writes is removed before each run, and `status` is the exit status it must have.

    `inside` takes the wall time from the command's own last line of output, for a part of what it does.
    """

    argv: tuple[str, ...]
    writes: tuple[Path, ...] = ()
    status: int = 0
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the wall, seconds of processors, and the most bytes in memory."""

    wall: float
    cpu: float
    peak: int

    def best(self, other: Cost) -> Cost:
        """The least of the times, the largest of the peaks."""
        return Cost(min(self.wall, other.wall), min(self.cpu, other.cpu), max(self.peak, other.peak))


class CommandFailed(Exception):
    """A command did not end as it should have."""


def run(command: Command, folder: Path) -> Cost:
    """Run a command once; its output goes to a file in `folder`."""
    for path in command.writes:
        remove(path)
    shown = folder / "shown.txt"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(shown), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    began = time.perf_counter()
    process = os.posix_spawn(command.argv[0], command.argv, os.environ, file_actions=actions)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - began
    text = shown.read_text(encoding="utf-8", errors="replace")
    if os.waitstatus_to_exitcode(status) != command.status:
        words = " ".join(command.argv[:12])
        raise CommandFailed(f"{words} ended with {os.waitstatus_to_exitcode(status)}:\n{text[-2000:]}")
    if command.inside:
        wall = float(text.split()[-1])
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _KIB)


def race(commands: Mapping[str, Command], rounds: int, folder: Path) -> dict[str, Cost]:
    """The costs of commands run in turn, `rounds` times each after one that only warms the cache (a single round, for
    trying things, is not warmed)."""
    if rounds > 1:
        for command in commands.values():
            run(command, folder)
    costs = {name: run(command, folder) for name, command in commands.items()}
    for _ in range(rounds - 1):
        for name, command in commands.items():
            costs[name] = costs[name].best(run(command, folder))
    for command in commands.values():
        for path in command.writes:
            remove(path)
    return costs


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
