"""Lines of shell, run with the `thresh` that is tested, as users type them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Shell = Callable[[str], "subprocess.CompletedProcess[str]"]
_PERSONAL = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "THRESH_DEVICE")


def command(name: str, script: str, programs: Path) -> None:
    """A program of this name, a script of the shell, among the `programs`."""
    programs.mkdir(exist_ok=True)
    (programs / name).write_text(f"#!/bin/sh\n{script}\n")
    (programs / name).chmod(0o755)


def shell_in(folder: Path, programs: Path) -> Shell:
    """Runs lines in a folder, with nothing on standard input; a line fails where a part of it does."""
    command("thresh", f'exec "{sys.executable}" -m threshcli "$@"', programs)
    own = {name: value for name, value in os.environ.items() if name not in _PERSONAL}
    env = own | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONUTF8": "1"}

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run
