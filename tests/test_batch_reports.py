"""Batches are told of file by file: reports, conditions, failures; and small files are shared out to workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import LISTENING, Ran, listed, refused, thresh
from threshcli.engine.copies import possible

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # torch's threads, which no copy touches
RNG = np.random.default_rng(9)


def batch(folder: Path, count: int = 40) -> list[Path]:
    """Small files, one of them damaged, one with NaN."""
    folder.mkdir()
    for number in range(count):
        np.save(folder / f"{number:04}.npy", RNG.standard_normal(50).astype("f4"))
    (folder / "0007.npy").write_bytes(b"no tensor at all")
    np.save(folder / "0011.npy", np.array([np.nan, np.inf, 1], "f4"))
    return sorted(folder.iterdir())


def plain(ran: Ran) -> Any:
    """A report without seconds."""
    report = ran.json
    del report["totals"]["seconds"]
    for item in report["files"]:
        del item["seconds"]
    return report


@pytest.mark.skipif(not possible(), reason="this system cannot copy processes")
@pytest.mark.parametrize("rule", ["binary -t 0.5", "gradient -t top9", "hard -t otsu --scope global", "nm -t 2:4"])
def test_workers_that_share_files_change_nothing(rule: str, tmp_path: Path) -> None:
    """Bytes, report and order do not depend on their number; one error is one file's."""
    files = batch(tmp_path / "in")
    words = rule.replace("nm -t", "nm --threshold").split()
    if "global" in rule:
        files.pop(7)
    seen = []
    for jobs in (1, 2, 3):
        ran = thresh(*words, *files, "-O", tmp_path / "out", "--overwrite", "-j", jobs, "--json", alone=True)
        assert ran.status == (0 if "global" in rule else 3), ran.err
        seen.append((plain(ran), {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}))
    assert [item["input"] for item in seen[0][0]["files"]] == [str(path) for path in files]
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.skipif(not possible(), reason="this system cannot copy processes")
def test_a_worker_that_is_killed_costs_the_files_that_are_not_known_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are told of as ever."""
    from threshcli.storage.local import Source

    files, parent, real = batch(tmp_path / "in"), os.getpid(), Source.check_unchanged

    def check(self: Source) -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.005)
        real(self)

    monkeypatch.setattr(Source, "check_unchanged", check)
    ran = thresh("binary", *files, "-t", "0.5", "-O", tmp_path / "out", "-j", "2", "--json", alone=True)
    assert ran.status == 3
    errors = [item["error"]["message"] for item in ran.json["files"] if item["error"]]
    assert "a worker was ended from outside" in errors
    assert ran.json["totals"]["failed"] == len(errors) < len(files)


def test_events_come_as_files_end_and_failures_last(tmp_path: Path) -> None:
    """Numbered in order."""
    files = batch(tmp_path / "in")
    ran = thresh("binary", *files, "-t", "0.5", "-O", tmp_path / "out", "--report", "ndjson")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event.get("index") for event in events] == [*range(len(files)), None]
    assert events[-1]["totals"]["failed"] == 1
    assert events[-1]["warnings"] == [f"{files[11]}: tensor '0011' holds 1 NaN and 1 infinite values"]
    assert ran.lines[-2].startswith(f"thresh: error: {files[7]}: is in no format")


def test_verbose_tells_of_each_file_as_it_ends(tmp_path: Path) -> None:
    files = batch(tmp_path / "in", 12)[6:9]
    ran = thresh("binary", *files, "-t", "0.5", "-O", tmp_path / "out", "-v")
    assert ran.lines[0] == f"{files[0]} -> {tmp_path}/out/0006.npy: written"
    assert ran.lines[1].startswith(f"{files[1]} -> {tmp_path}/out/0007.npy: failed: is in no format")
    quiet = thresh("binary", files[0], "-t", "0.5", "-O", tmp_path / "out", "-v", "-q", "--overwrite")
    assert quiet == Ran(0, "", "")


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (["nan>0"], ["0011.npy: tensor '0011': nan>0 holds, nan is 1 of 3"]),
        (["nan >= 30%", "inf==1"], ["nan >= 30% holds, nan is 1 of 3", "inf==1 holds, inf is 1 of 3"]),
        (["changed==0", "min>=1"], ["changed==0 holds, changed is 0 of 3", "min>=1 holds, min is 1.0"]),
        (["norm_after<0.5"], []),
        (["elements<3", "kept>100%", "selected==0", "changed>99%"], []),
    ],
)
def test_conditions_that_hold_end_with_status_1(conditions: list[str], said: list[str], tmp_path: Path) -> None:
    """All is written before; a line for each, which names file and tensor."""
    path = batch(tmp_path / "in", 12)[11]
    words = [word for condition in conditions for word in ("--fail-if", condition)]
    ran = thresh("gradient", path, "-t", "0.5", "-o", tmp_path / "y.npy", *words, "-q")
    assert (tmp_path / "y.npy").exists()
    told = [line for line in ran.lines if "error" in line]
    assert (ran.status, len(told)) == (bool(said), len(said)), ran.err
    for line, text in zip(told, said, strict=True):
        assert text in line


def test_a_condition_that_cannot_be_read_is_told_before_any_work(tmp_path: Path) -> None:
    files = batch(tmp_path / "in", 12)
    for condition in ("nan", "colour>1", "min>1%", "kept<1%"):
        ran = thresh("binary", *files, "-t", "0.5", "-O", tmp_path / "out", "--fail-if", condition)
        refused(ran, 2, condition)
    assert not (tmp_path / "out").exists()


def test_a_file_that_fails_is_worse_than_a_condition_that_holds(tmp_path: Path) -> None:
    files = batch(tmp_path / "in", 12)
    ran = thresh("binary", *files, "-t", "0.5", "-O", tmp_path / "out", "--fail-if", "nan>0", "-q")
    assert ran.status == 3
    assert "nan>0 holds" in ran.err
    assert ran.lines[0].startswith(f"thresh: warning: {files[11]}: tensor '0011' holds 1 NaN")


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path) -> None:
    """What was written stays; of the others it is told that they were not done."""
    files = batch(tmp_path / "in")
    words = ("binary", *files, "-t", "0.5", "-O", tmp_path / "out", "--fail-fast", "-j", "2")
    ran = thresh(*words, "--json", alone=True)
    assert ran.status == 3
    assert listed(tmp_path / "out") == [path.name for path in files[:7]]
    states = [item["status"] for item in ran.json["files"]]
    assert states == [*["written"] * 7, "failed", *["not-done"] * (len(files) - 8)]
    shown = thresh(*words, "--overwrite")
    assert f"{len(files)} files: 7 written, 1 failed, {len(files) - 8} not-done" in shown.out


@pytest.mark.parametrize(
    ("name", "words", "begins"),
    [
        ("r.json", (), "{\n"),
        ("r.ndjson", (), '{"event": "file"'),
        ("r.tsv", (), "file\tstatus"),
        ("r.txt", (), "FILE / TENSOR"),
        ("r.txt", ("--json",), "{\n"),
        ("r.json", ("--report", "tsv"), "file\tstatus"),
        ("r.json", ("-q",), "{\n"),
    ],
)
def test_the_report_goes_to_a_file_too(name: str, words: tuple[str, ...], begins: str, tmp_path: Path) -> None:
    """In the form that is asked for, else by its extension; what is printed stays."""
    np.save(tmp_path / "x.npy", np.ones(3))
    common = ("binary", tmp_path / "x.npy", "-t", "0.5", "-o", tmp_path / "y.npy", *words)
    ran = thresh(*common, "--report-file", tmp_path / name)
    assert ran.status == 0, ran.err
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)
    assert bool(ran.out) == ("-q" not in words)
    refused(thresh(*common, "--report-file", tmp_path / name), 5, name, "exists already")
    again = thresh(*common, "--overwrite", "--report-file", tmp_path / name)
    assert again.status == 0, again.err
    assert listed(tmp_path) == sorted({"x.npy", "y.npy", name})


def test_a_report_does_not_take_the_place_of_a_tensor(tmp_path: Path) -> None:
    """Nor is it there where the call could not be made."""
    np.save(tmp_path / "x.npy", np.ones(3))
    common = ("binary", tmp_path / "x.npy", "-t", "0.5", "-o", tmp_path / "y.npy", "--overwrite", "--report-file")
    (tmp_path / "same.npy").symlink_to(tmp_path / "x.npy")
    for path in (tmp_path / "x.npy", tmp_path / "y.npy", tmp_path / "same.npy"):
        refused(thresh(*common, path), 5, path.name, "an input or output")
    refused(thresh(*common, tmp_path / "y.npy.thresh.json", "--sidecar"), 5, "an input or output")
    refused(thresh(*common, tmp_path / "none" / "r.json"), 5, "r.json", "folder")
    refused(thresh(*common, tmp_path), 5, f"{tmp_path}: is a folder")
    refused(thresh(*common, "-"), 2, "--report-file names a file")
    (tmp_path / "same.npy").unlink()
    np.save(tmp_path / "z.npy", np.ones(3))
    several = (*common[:2], tmp_path / "z.npy", "-O", tmp_path / "out", "-k", "nothing", "--report-file")
    refused(thresh(*several, tmp_path / "r.json", "-t", "1"), 2, "no tensor matches")
    assert listed(tmp_path) == ["out", "x.npy", "z.npy"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_finished_files_and_no_others(number: signal.Signals, tmp_path: Path) -> None:
    """Whichever worker it finds at work."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in range(3000):
        np.save(folder / f"{name:04}.npy", np.ones(30_000, "f4"))
    words = ["binary", "--recursive", str(folder), "-t", "0.5", "-O", str(tmp_path / "out"), "-q", "-j", "2"]
    process = subprocess.Popen([*LISTENING, sys.executable, "-m", "threshcli", *words], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and not ((tmp_path / "out").exists() and len(listed(tmp_path / "out")) > 20):
        time.sleep(0.005)
    process.send_signal(number)
    assert process.wait(timeout=60) == 128 + number
    time.sleep(0.1)
    left = listed(tmp_path / "out")
    assert 0 < len(left) < 3000
    assert [name for name in left if not name.endswith(".npy") or name.startswith(".")] == []
    assert {(tmp_path / "out" / name).stat().st_size for name in left} == {120_128}
