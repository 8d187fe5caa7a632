"""Regular expressions of somebody else's recipe end, however they are written."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import threshcli
from tests.harness import refused, thresh
from threshcli.errors import UsageError
from threshcli.plan import patience
from threshcli.plan.selection import Selection

ENDLESS = "regex = '(a+)+$'"
NAME = "a" * 40 + "b"
RULE = 'rule = "hard"\nthreshold = 1\n'


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Less patience than people have; and handler and timer as they were, whatever a test does."""
    monkeypatch.setattr(patience, "SECONDS", 0.1)
    before = signal.getsignal(signal.SIGVTALRM)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with two files that have a name which takes long, and one that has none such."""
    monkeypatch.chdir(tmp_path)
    for name in ("x", "x2"):
        save_file({NAME: np.zeros(3, np.float32), "w": np.ones(2, np.float32)}, f"{name}.safetensors")
    save_file({"aa": np.zeros(3, np.float32)}, "harmless.safetensors")
    return tmp_path


def run(text: str, *words: object) -> list[str]:
    Path("r.toml").write_text(text)
    return ["run", "r.toml", *map(str, words)]


def test_a_process_of_its_own_ends_with_an_error(names: Path) -> None:
    """With the patience that people have."""
    command = [sys.executable, "-m", "threshcli", *run(ENDLESS + "\n" + RULE, "x.safetensors", "-o", "y.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"thresh: error: x.safetensors: regex '(a+)+$' takes too long to match tensor '{NAME}'",
        "hint: write it without repetitions in repetitions, such as (a+)+",
    ]
    assert not Path("y.safetensors").exists()


@pytest.mark.parametrize(
    ("text", "files", "said"),
    [
        (f"{ENDLESS}\n{RULE}", ["x.safetensors"], "regex '(a+)+$'"),
        (f"{ENDLESS}\noptional = true\n{RULE}", ["x.safetensors"], "regex '(a+)+$'"),
        (f"{ENDLESS}\n{RULE}", ["x.safetensors", "x2.safetensors"], "regex '(a+)+$'"),
        (f"[[rules]]\n{RULE}tensors = 'w'\n[[rules]]\n{ENDLESS}\n{RULE}", ["x.safetensors"], "entry 2: regex"),
        (f"regex = ['w', '(x|a|aa)*$']\n{RULE}", ["x.safetensors"], "regex '(x|a|aa)*$'"),
    ],
)
@pytest.mark.usefixtures("short")
def test_what_would_match_for_ever_is_told(text: str, files: list[str], said: str, names: Path) -> None:
    """By one file, or by several that are looked through for what matches nothing."""
    ran = thresh(*run(text, *files, "-O", "out"))
    refused(ran, 2, said, "takes too long to match tensor 'aaaa")
    assert list(names.glob("out/*")) == []


@pytest.mark.usefixtures("short")
def test_one_file_that_takes_too_long_costs_no_other(names: Path) -> None:
    recipe = run(f"{ENDLESS}\n{RULE}", "harmless.safetensors", "x.safetensors", "-O", "out")
    ran = thresh(*recipe)
    assert ran.status == 3, ran.err
    assert "x.safetensors: regex '(a+)+$' takes too long" in ran.err
    assert [path.name for path in names.glob("out/*")] == ["harmless.safetensors"]


@pytest.mark.usefixtures("short")
def test_programs_have_the_same_error(names: Path) -> None:
    recipe = {"rule": "hard", "threshold": 1, "regex": "(a+)+$"}
    with pytest.raises(UsageError, match="takes too long"):
        threshcli.run(recipe, "x.safetensors", output="y.safetensors")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("pattern", ["a+b|w", "(a+)+$"])
def test_handler_and_timer_of_the_program_are_put_back(pattern: str) -> None:
    """Whether patience has ended or not."""

    def own(*_: object) -> None:
        raise AssertionError("nothing has taken an hour")

    signal.signal(signal.SIGVTALRM, own)
    signal.setitimer(signal.ITIMER_VIRTUAL, 3600, 7200)
    selection = Selection(regex=(re.compile(pattern),))
    if pattern.endswith("$"):
        with pytest.raises(UsageError):
            selection.idle([NAME])
    else:
        assert selection.idle([NAME]) == []
    assert signal.getsignal(signal.SIGVTALRM) is own
    left, between = signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    assert (round(left, -2), between) == (3600, 7200)


@pytest.mark.usefixtures("short")
def test_patience_ends_between_matches_too_and_not_before_its_time() -> None:
    def wait() -> None:
        with patience.patience(1):
            while True:
                pass

    with pytest.raises(UsageError, match="takes too long"):
        wait()
    with patience.patience(100_000):  # which may take two seconds more
        signal.raise_signal(signal.SIGVTALRM)


def test_other_threads_match_as_long_as_it_takes(names: Path) -> None:
    """They have no timer, and leave that of the main thread alone."""
    before = signal.getsignal(signal.SIGVTALRM), signal.getitimer(signal.ITIMER_VIRTUAL)
    found = []
    recipe = {"rule": "hard", "threshold": 0.5, "regex": "a+b"}

    def work() -> None:
        found.append(threshcli.run(recipe, "x.safetensors", output="y.safetensors"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [tensor.applied for tensor in found[0].files[0].tensors] == [True, False]
    assert (signal.getsignal(signal.SIGVTALRM), signal.getitimer(signal.ITIMER_VIRTUAL)) == before
