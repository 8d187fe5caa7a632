"""What a process of its own imports, how it ends on a signal, and what it does about a standard output that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib import format as npy_format
from safetensors.numpy import save_file

from tests.harness import LISTENING, wait_for_work

THRESH = (sys.executable, "-m", "threshcli")
HEAVY = {"torch", "numpy", "rich", "safetensors"}


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A folder of tiny inputs."""
    array = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "x.npy", array)
    save_file({"a": array, "b": array.astype(np.float16)}, tmp_path / "x.safetensors")
    torch.save({"a": [torch.from_numpy(array)], "b": 3}, tmp_path / "x.pt")
    return tmp_path


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*THRESH, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def heavy(*arguments: str, cwd: Path, status: int = 0) -> set[str]:
    """Which of the heavy packages a command line imports."""
    command = [sys.executable, "-X", "importtime", "-m", "threshcli", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "threshcli" in names
    return names & HEAVY


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("-V",),
        ("binary", "--help"),
        ("gradient", "-h"),
        ("info", "--help"),
        ("stats", "--help"),
        ("sweep", "-h"),
        ("unpack", "-h"),
    ],
    ids=" ".join,
)
def test_help_imports_neither_torch_nor_numpy(arguments: tuple[str, ...], samples: Path) -> None:
    assert heavy(*arguments, cwd=samples) <= {"rich"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("binary", "x.npy", "--nonsense"),
        ("binary", "x.npy"),
        ("binary", "x.npy", "-t", "0.5"),
        ("binary", "x.npy", "-t", "much", "-o", "y.npy"),
        ("binary", "x.npy", "-t", "local-mean:4", "-o", "y.npy"),
        ("binary", "x.npy", "-t", "0.5", "-o", "y.npy", "--above", "high"),
        ("binary", "x.npy", "-t", "0.5", "-o", "y.npy", "--pack", "zip"),
        ("binary", "x.npy", "-t", "0.5", "-o", "y.npy", "--jobs", "many"),
        ("binary", "x.npy", "-t", "0.5", "-o", "y.npy", "--out-dtype", "float7"),
        ("replace", "x.npy", "-t", "0.5", "-o", "y.npy"),
        ("stats", "x.npy", "--percentiles", "101"),
        ("sweep", "x.npy", "-t", "0:1:0.1,much"),
        ("check", "x.npy", "--allow", "everything"),
        ("diff", "x.npy", "x.npy", "--rtol", "much"),
        ("check", "x.npy", "--fail-if", "much>0"),
    ],
    ids=" ".join,
)
def test_a_mistake_on_the_command_line_is_told_before_anything_heavy_is_imported(
    arguments: tuple[str, ...], samples: Path
) -> None:
    assert heavy(*arguments, cwd=samples, status=2) == set()


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors", "x.pt"])
def test_every_format_does_without_torch_on_the_cpu(name: str, samples: Path) -> None:
    assert "torch" not in heavy("gradient", name, "-t", "0.5", "-O", "out", cwd=samples)
    assert "torch" not in heavy("info", name, cwd=samples)
    assert "torch" not in heavy("check", name, cwd=samples)
    assert "torch" not in heavy("diff", name, name, cwd=samples)


def test_a_numpy_file_does_without_the_parser_of_other_formats(samples: Path) -> None:
    assert heavy("binary", "x.npy", "-t", "0.5", "-o", "y.npy", cwd=samples) <= {"numpy", "rich"}


@pytest.mark.parametrize("option", ["--json", "--quiet", "--report=tsv"])
def test_a_report_for_programs_does_without_rich(option: str, samples: Path) -> None:
    assert heavy("binary", "x.npy", "-t", "0.5", "-o", "y.npy", option, cwd=samples) == {"numpy"}


def test_the_module_runs_as_the_command_does(samples: Path) -> None:
    assert run("-V").stdout.startswith("thresh ")
    done = run("binary", "x.npy", "-t", "0.5", "-o", "y.npy", cwd=samples)
    assert done.returncode == 0
    assert np.load(samples / "y.npy").sum() == 3


@pytest.fixture(params=[1, 3], ids=["alone", "with-copies"])
def working(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of its work, alone or with copies: gigabytes of holes to read, which take no room."""
    with (tmp_path / "big.npy").open("wb") as file:
        npy_format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 29,)})
        file.truncate(file.tell() + (8 << 29))
    work = ["binary", "big.npy", "-t", "0.5", "-o", "out.npy", "--out-dtype", "bool", "-j", str(request.param)]
    process = subprocess.Popen(
        [*LISTENING, *THRESH, *work],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_work(process)
    yield process
    process.kill()
    process.communicate()
    (tmp_path / "big.npy").unlink()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
    ids=["TERM", "INT", "HUP"],
)
def test_a_signal_ends_the_work_within_a_second_and_leaves_nothing(
    number: signal.Signals, status: int, working: subprocess.Popen[str], tmp_path: Path
) -> None:
    began = time.monotonic()
    working.send_signal(number)
    out, err = working.communicate(timeout=30)
    assert time.monotonic() - began < 1
    assert (working.returncode, out, err) == (status, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["big.npy"]


def test_copies_do_not_outlive_a_process_that_is_killed(working: subprocess.Popen[str]) -> None:
    """Its streams, which copies hold too, are closed within a second."""
    began = time.monotonic()
    working.kill()
    assert working.communicate(timeout=30) == ("", "")
    assert time.monotonic() - began < 1


def test_a_signal_that_was_to_be_ignored_is_ignored() -> None:
    """`nohup` must be able to keep a job from ending with its terminal."""
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    hang_up = "lambda _: os.kill(os.getpid(), signal.SIGHUP) or 0"
    probe = f"import os, signal, sys; from threshcli import cli; cli._run = {hang_up}; cli.main()"
    done = subprocess.run([sys.executable, "-c", ignoring, sys.executable, "-c", probe], check=False, timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", "x.npy"),
        ("info", "x.npy", "--json"),
        ("binary", "x.npy", "-t", "0.5", "-n"),
        ("--help",),
        ("binary", "--help"),
        ("-V",),
    ],
    ids=" ".join,
)
def test_a_reader_that_went_away_ends_the_command_without_noise(arguments: tuple[str, ...], samples: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*THRESH, *arguments], cwd=samples, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize(
    "arguments", [("info", "x.npy"), ("info", "x.npy", "--json"), ("--help",), ("-V",)], ids=" ".join
)
def test_a_standard_output_that_is_full_is_no_success(arguments: tuple[str, ...], samples: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*THRESH, *arguments], cwd=samples, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 5
    assert done.stderr.startswith("thresh: error: standard output cannot be written: ")
    assert done.stderr.count("\n") == 1
