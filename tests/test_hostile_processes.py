"""Hostile files in processes of their own: bounded memory and time, no death, and no torch where none is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.case import Case
from tests.test_hostile import CASES, LIGHT, named

SPACE = 2 << 30
"""Bytes of addresses that a process may have: less than what any of the bombs would take."""
RESIDENT = 600 << 10
"""Kilobytes that it may use: 300 MB above what importing torch takes."""
SECONDS = 120
_LAUNCHER = f"""
import resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_AS, ({SPACE}, {SPACE}))
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, timeout={SECONDS})
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Measures what it starts: a peak is inherited from whoever starts a process, and who runs these tests is large."""
_THRESH = "import sys; sys.modules['torch'] = None; from threshcli.cli import main; main()"
"""The command line where to import torch is an error: no file on the CPU needs it, whatever is wrong with it."""
_QUIET = {"PYTHONWARNINGS": "error", "OPENBLAS_NUM_THREADS": "1"}


def limited(*arguments: object, cwd: Path) -> tuple[int, str, int]:
    """The exit status, standard error and the peak of memory, in kilobytes, of `thresh` with bounded resources and
    without torch."""
    command = [sys.executable, "-c", _LAUNCHER, sys.executable, "-c", _THRESH, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **_QUIET}, capture_output=True, text=True, timeout=2 * SECONDS, check=False
    )
    status, peak = map(int, done.stdout.split())
    return status, done.stderr, peak


@pytest.mark.parametrize("command", ["info", "stats", "check", "hard"])
def test_one_process_survives_all_of_them(command: str, tmp_path: Path) -> None:
    """A line for each file that is refused, and the rest is done; none of them takes more memory than all together."""
    (tmp_path / "in").mkdir()
    paths = [case.write(tmp_path / "in").relative_to(tmp_path) for case in LIGHT]
    more = ["-t", 0, "-O", "out", "--report", "none"] if command == "hard" else []
    status, said, peak = limited(command, *paths, *more, cwd=tmp_path)
    errors = [line for line in said.splitlines() if line.startswith("thresh: error: ")]
    assert "Traceback" not in said
    assert status == (1 if command == "check" else 3)
    assert peak < RESIDENT
    if command == "check":
        assert errors == []
    elif command == "info":
        assert len(errors) == sum(case.said is not None and case.fault is None for case in LIGHT)
    else:
        assert len(errors) >= sum(case.said is not None for case in LIGHT)
    assert not [path for path in tmp_path.rglob("*") if path.name == "owned" or path.name.startswith(".thresh-")]


def within_limits(case: Case, place: str, folder: Path, damaged: set[int], refused: set[int]) -> None:
    """A bomb through commands that read, with the statuses of `check` and of the others where it is refused; `place`
    is the option that says where the output goes."""
    case.write(folder)
    for command, *more in (["info"], ["check"], ["hard", "-t", 0, place, "out", "-q"]):
        status, said, peak = limited(command, case.name, *more, cwd=folder)
        assert "Traceback" not in said
        assert peak < RESIDENT
        if case.said is None:
            assert (status, said) == (0, "")
        else:
            assert status in (damaged if command == "check" else refused)
            assert command == "check" or case.said in said


@pytest.mark.parametrize("case", [case for case in CASES if case.heavy], ids=named)
def test_a_bomb_takes_neither_memory_nor_time(case: Case, tmp_path: Path) -> None:
    within_limits(case, "-o", tmp_path, damaged={1}, refused={4})


def test_refusals_come_without_what_takes_long_to_import(tmp_path: Path) -> None:
    """Torch, which nothing here can import, and rich."""
    paths = [str(case.write(tmp_path)) for case in LIGHT if case.said and case.fault is None]
    probe = (
        "import sys; sys.modules['torch'] = None; from threshcli.cli.app import run;"
        "status = run(['info', *sys.argv[1:]]); assert 'rich' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", probe, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.count("thresh: error: ") == len(paths)


def test_a_hundred_thousand_tensors_are_listed_and_planned(tmp_path: Path) -> None:
    """In seconds and bounded memory."""
    entries = {
        f"t{number}": {"dtype": "U8", "shape": [1], "data_offsets": [number, number + 1]} for number in range(100_000)
    }
    header = json.dumps(entries).encode()
    data = bytes(100_000)
    (tmp_path / "many.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    for words in (("info", "many.safetensors"), ("binary", "many.safetensors", "-t", "0", "-n", "-q")):
        status, said, peak = limited(*words, cwd=tmp_path)
        assert (status, said) == (0, "")
        assert peak < RESIDENT
