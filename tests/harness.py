"""The command line in process, with streams of its own; and files as users have them."""

from __future__ import annotations

import compileall
import contextlib
import io
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import threshcli
from threshcli.cli.app import run
from threshcli.cli.outside import Outside


@dataclass(frozen=True)
class Ran:
    """What a command line did: its exit status and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def tensor(self) -> Any:
        """The first tensor of the first file of a JSON report."""
        return self.json["files"][0]["tensors"][0]

    @property
    def lines(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()


def thresh(
    *arguments: object, env: dict[str, str] | None = None, alone: bool = False, given: bytes | None = None
) -> Ran:
    """Run `thresh` with these arguments; `alone` as if this process were its own, so that it may copy it, with what is
    `given` on standard input (None: that is closed)."""
    raw = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(written, encoding="utf-8", write_through=True) for written in raw)
    incoming = None if given is None else io.BytesIO(given)
    outside = Outside(out, err, env or {}, alone=alone, input=incoming)
    status = run([str(argument) for argument in arguments], outside)
    return Ran(status, *(written.getvalue().decode() for written in raw))


def compile_package() -> None:
    """Compile the package, as its installation would: tests start it a thousand times, and one that is installed to be
    edited, where Python writes no bytecode (PYTHONDONTWRITEBYTECODE), compiles itself each time."""
    compileall.compile_dir(Path(threshcli.__file__).parent, quiet=2)


def peak(*arguments: object, status: int = 0) -> int:
    """The most memory, in KiB, of a process that runs `thresh` with these arguments. A process inherits the peak of who
    starts it, so that a small one does that in place of the tests."""
    program = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'threshcli', *sys.argv[1:]], stdout=subprocess.DEVNULL)\n"
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    call = [sys.executable, "-c", program, *(str(argument) for argument in arguments)]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    ended, most = map(int, done.stdout.split())
    assert ended == status, done.stderr
    return most


def listed(folder: Path | str) -> list[str]:
    """The names in a folder, sorted."""
    return sorted(path.name for path in Path(folder).iterdir())


def refused(ran: Ran, status: int, *said: str, hint: bool = True) -> None:
    """One clear line, a hint, the right status."""
    assert ran.status == status, ran.err
    assert ran.lines[0].startswith("thresh: error: "), ran.err
    assert len(ran.lines) == 1 + hint, ran.err
    assert not hint or ran.lines[1].startswith("hint: ")
    for word in said:
        assert word in ran.err
    assert "Traceback" not in ran.err


LISTENING = (
    sys.executable,
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])",
)
"""Runs a command with SIGINT as a terminal's child has it; a test run in the background may have it ignored."""


def wait_for_work(process: subprocess.Popen[Any]) -> None:
    """Until a process has begun an output: that has no name yet, or a temporary one."""
    limit = time.monotonic() + 30
    while not any("(deleted)" in name or ".thresh-" in name for name in _open_files(process.pid)):
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.002)


def _open_files(process: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(link.readlink()))
    return found
