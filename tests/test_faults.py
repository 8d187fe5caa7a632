"""What comes from outside in the midst of the work: kills, signals, limits, files that change, several runs at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.harness import listed, refused, thresh, wait_for_work

THRESH = (sys.executable, "-m", "threshcli")
SHELL = " ".join(THRESH)
LARGE = 1 << 22  # elements: enough for workers of their own, and for many moments to be killed in


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a large file and what `binary -t 0` makes of it beside it."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).standard_normal(LARGE).astype(np.float32)
    np.save("x.npy", x)
    (tmp_path / "right").mkdir()
    np.save("right/x.npy", (x > 0).astype(np.float32))
    return tmp_path


LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20,) * 2);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def start(*arguments: str, limited: bool = False) -> subprocess.Popen[bytes]:
    """A run; `limited` to files of a megabyte."""
    before = (sys.executable, "-c", LIMITED) if limited else ()
    return subprocess.Popen([*before, *THRESH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """How it ended, and what it said on standard error; never a traceback."""
    _, err = process.communicate(timeout=60)
    text = err.decode()
    assert "Traceback" not in text
    return process.returncode, text


def leftovers() -> list[str]:
    return [str(path) for path in Path().rglob(".thresh-*")]


def has_nameless_files() -> bool:
    """Whether this file system can make a file before it has a name."""
    try:
        os.close(os.open(".", os.O_TMPFILE | os.O_RDWR))
    except (AttributeError, OSError):
        return False
    return True


@pytest.mark.parametrize("where", [("-o", "y.npy"), ("-o", "y.npy", "--overwrite"), ("--in-place",)], ids=" ".join)
def test_whenever_it_is_killed_an_output_is_the_old_file_or_the_new(where: Sequence[str], folder: Path) -> None:
    """kill -9, at moments from the first import to the last byte."""
    chance = random.Random(str(where))
    right, before = Path("right/x.npy").read_bytes(), Path("x.npy").read_bytes()
    target = Path("x.npy" if "--in-place" in where else "y.npy")
    old = before if "--in-place" in where else b"old" if "--overwrite" in where else None
    for _ in range(12):
        if old is None:
            target.unlink(missing_ok=True)
        else:
            target.write_bytes(old)
        process = start("binary", "x.npy", "-t", "0", "-q", *where)
        time.sleep(chance.uniform(0.1, 0.45))
        process.kill()
        ended(process)
        found = target.read_bytes() if target.exists() else None
        assert found in (old, right)
        if old is None and has_nameless_files():
            assert leftovers() == []
    last = ["--in-place"] if "--in-place" in where else ["-o", "y.npy", "--overwrite"]
    assert ended(start("binary", "x.npy", "-t", "0", "-q", *last)) == (0, "")
    assert leftovers() == []
    assert Path("right/x.npy").read_bytes() == right


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=["TERM", "INT", "HUP"])
def test_a_signal_at_any_moment_ends_it_with_its_status_and_nothing_else(number: signal.Signals, folder: Path) -> None:
    """During imports too; the work may also have been done before."""
    listening = (
        "import signal, sys; [signal.signal(one, signal.SIG_DFL) for one in (2, 15, 1)];"
        "import threshcli.cli as cli; run = cli._run;"
        "cli._run = lambda words: (sys.stderr.write('.'), sys.stderr.flush(), run(words))[2];"
        "sys.argv = ['thresh', 'binary', 'x.npy', '-t', '0', '-o', 'y.npy', '-q']; cli.main()"
    )
    for wait in (0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3):
        Path("y.npy").unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", listening], stderr=subprocess.PIPE)
        assert process.stderr is not None
        assert process.stderr.read(1) == b"."
        time.sleep(wait)
        process.send_signal(number)
        began = time.monotonic()
        status, said = ended(process)
        assert time.monotonic() - began < 5
        assert status in (128 + number, 0)
        assert said == ""
        assert leftovers() == []
        assert not Path("y.npy").exists() or Path("y.npy").read_bytes() == Path("right/x.npy").read_bytes()


def test_a_signal_while_a_module_is_imported_ends_it_all_the_same() -> None:
    """What it is to clean up is not there yet."""
    half = (
        "import signal, sys, types; import threshcli.cli as cli;"
        "sys.modules['threshcli.storage._temporary'] = types.ModuleType('half');"
        "cli._end(signal.SIGTERM, None)"
    )
    done = subprocess.run([sys.executable, "-c", half], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (143, "")


def test_an_error_of_the_system_that_nobody_expects_names_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is none of standard output's."""

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error", "odd.npy")

    monkeypatch.setattr("threshcli.plan.names.Names.jobs", broken)
    refused(thresh("hard", "x.npy", "-t", 0, "-n"), 4, "error: odd.npy: cannot be used: Input/output error", hint=False)


def test_a_file_may_be_too_large_for_a_limit(folder: Path) -> None:
    """RLIMIT_FSIZE, which stands for quotas: one line, nothing left, the old file as it was."""
    Path("old.npy").write_bytes(b"old")
    names = listed(folder)
    for where in (("-o", "y.npy"), ("-o", "old.npy", "--overwrite"), ("--in-place",)):
        status, said = ended(start("binary", "x.npy", "-t", "0", *where, limited=True))
        assert status == 5
        assert said.startswith(f"thresh: error: {where[1] if len(where) > 1 else 'x.npy'}: cannot be written: ")
        assert listed(folder) == names
    assert Path("old.npy").read_bytes() == b"old"


def test_a_full_disk_is_told_before_the_work(folder: Path) -> None:
    """A small file system of its own, where this user may mount one."""
    Path("disk").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", "disk"], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        status, said = ended(start("binary", "x.npy", "-t", "0", "-o", "disk/y.npy"))
        assert (status, listed("disk")) == (5, [])
        assert said.startswith("thresh: error: disk/y.npy: needs ")
        assert "hint: free some space" in said
    finally:
        subprocess.run(["umount", "disk"], check=True)


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/sys").is_dir(), reason="nothing is read-only for this user")
def test_a_folder_that_cannot_be_written_to(folder: Path) -> None:
    """One line that names the output."""
    place = "/sys" if os.geteuid() == 0 else "locked"
    if place == "locked":
        Path(place).mkdir(mode=0o555)
    status, said = ended(start("binary", "x.npy", "-t", "0", "-o", f"{place}/y.npy"))
    assert status == 5
    assert said.startswith(f"thresh: error: {place}/y.npy: cannot be written: ")


@pytest.mark.parametrize("change", ["cut", "written"])
def test_an_input_that_changes_meanwhile_gives_no_output(change: str, folder: Path) -> None:
    """Neither a bus error nor half of each: it is said, and a run later works."""
    with Path("big.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 29,)})
        start_of_data = file.tell()
        file.truncate(start_of_data + (4 << 29))
    process = start("binary", "big.npy", "-t", "0", "--out-dtype", "bool", "-o", "y.npy", "-q")
    wait_for_work(process)
    if change == "cut":
        os.truncate("big.npy", start_of_data + 1000)
    else:
        with Path("big.npy").open("r+b") as file:
            file.seek(start_of_data)
            file.write(b"abcd")
    status, said = ended(process)
    assert status == 4
    assert said.startswith("thresh: error: big.npy: ")
    assert "truncated while" in said or "changed while" in said
    assert not Path("y.npy").exists()
    assert leftovers() == []


def test_of_two_runs_on_one_output_one_makes_it(folder: Path) -> None:
    """The other says that it exists; with --overwrite both may, and the file is whole whoever was last."""
    for more in ((), ("--overwrite",)):
        both = [start("binary", "x.npy", "-t", "0", "-o", "y.npy", "-q", *more) for _ in range(2)]
        found = sorted(ended(process) for process in both)
        assert [status for status, _ in found] == [0, 0 if more else 5]
        assert more or "y.npy: exists already" in found[1][1]
        assert Path("y.npy").read_bytes() == Path("right/x.npy").read_bytes()
        assert leftovers() == []


def test_four_jobs_share_a_folder(folder: Path) -> None:
    """Each makes its own part, and --skip-existing leaves the rest to the others."""
    x = np.load("x.npy")[:1000]
    Path("in").mkdir()
    for number in range(40):
        np.save(f"in/{number}.npy", x + number)
    names = [f"in/{number}.npy" for number in range(40)]
    jobs = [start("binary", *names, "-t", "0", "-O", "out", "--shard", f"{part}/4", "-q") for part in range(4)]
    assert [ended(process) for process in jobs] == [(0, "")] * 4
    assert listed("out") == sorted(path.removeprefix("in/") for path in names)
    for number in range(40):
        assert np.load(f"out/{number}.npy").tolist() == (x + number > 0).tolist()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_files(closed: str, folder: Path) -> None:
    """The next file that is opened must not be taken for one of them; what cannot be printed is an error, and what was
    not to be printed none."""
    for quiet, status in (("-q", 0), ("", 5 if ">&-" in closed.split() else 0)):
        Path("y.npy").unlink(missing_ok=True)
        command = f"{SHELL} binary x.npy -t 0 -o y.npy {quiet} {closed}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status
        assert Path("y.npy").read_bytes() == Path("right/x.npy").read_bytes()
        assert "Traceback" not in done.stderr
    command = f"{SHELL} binary no.npy -t 0 -o z.npy {closed}"
    assert subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False).returncode == 4


def test_standard_input_that_is_closed_cannot_be_read(folder: Path) -> None:
    done = subprocess.run(["sh", "-c", f"{SHELL} info - <&-"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("thresh: error: -: cannot be read: ")


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"},
        {"PYTHONUNBUFFERED": "1"},
        {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        {"COLUMNS": "20", "TERM": "dumb"},
        {"FORCE_COLOR": "0", "TERM": "xterm"},
    ],
    ids=str,
)
def test_no_environment_makes_a_difference(env: dict[str, str], folder: Path) -> None:
    """Without HOME, without a folder for temporary files, without buffers, without UTF-8: the same output, and a table
    that can be read."""
    name = "données [b]x[red].npy"
    Path("x.npy").rename(name)
    with Path(name).open("rb") as pipe:
        done = subprocess.run(
            [*THRESH, "binary", "-", name, "-t", "0", "-O", "out"],
            stdin=pipe,
            env=env | {key: os.environ[key] for key in ("PYTHONPATH", "PATH") if key in os.environ},
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    lines = done.stdout.decode("ascii" if env.get("LC_ALL") else "utf-8").splitlines()
    assert "[b]x[red].npy" in done.stdout.decode()
    assert lines[0].startswith("FILE / TENSOR")
    assert Path("out", name).read_bytes() == Path("right/x.npy").read_bytes()


def test_the_longest_names_that_a_folder_holds(folder: Path) -> None:
    """255 bytes go; 256 are refused in one line that names the file."""
    longest = "n" * 251 + ".npy"
    status, said = ended(start("binary", "x.npy", "-t", "0", "-o", longest))
    assert (status, said) == (0, "")
    assert Path(longest).read_bytes() == Path("right/x.npy").read_bytes()
    assert ended(start("binary", "x.npy", "-t", "0", "-o", longest, "--overwrite")) == (0, "")
    status, said = ended(start("binary", "x.npy", "-t", "0", "-o", "n" + longest))
    assert status == 5
    assert said.startswith(f"thresh: error: n{longest}: cannot be written: ")
    status, said = ended(start("binary", "n" + longest, "-t", "0", "-o", "y.npy"))
    assert status == 4
    assert said.startswith(f"thresh: error: n{longest}: ")
