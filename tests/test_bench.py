"""The benchmark runs, and says what it measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.bench import data, refusals, sideways, windows
from tests.bench.bars import BARS
from tests.bench.lab import Lab
from tests.bench.measure import Command, CommandFailed, Cost, race, run
from tests.bench.peers import PEERS
from tests.bench.table import TITLES, Row, render

ROOT = Path(__file__).parent.parent
_SLOW = {"tiny", "pt", "scripts", "windows", "hysteresis", "training", "refusals", "accelerator"}
"""They import torch or scikit-image, or thresh, again and again; what they run is tested below, or needs a GPU."""


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_every_bar_can_be_measured_on_tiny_inputs(tmp_path: Path) -> None:
    quick = [name for name in BARS if name not in _SLOW]
    done = bench("--size", "128KiB", "--rounds", "1", "--dir", str(tmp_path), *quick)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == " ".join(TITLES).split()
    assert {line.split()[0].rstrip(":") for line in lines[1:]} == set(quick)
    assert list(tmp_path.iterdir()) == [], "inputs are removed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nonsense"], "no bar is called nonsense; there are help, tiny,"), (["--rounds", "0"], "must be 1 or more")],
)
def test_a_bar_that_there_is_not_is_refused(arguments: list[str], said: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


def python(code: str, status: int = 0) -> Command:
    return Command((sys.executable, "-c", code), status=status)


def test_a_process_is_measured_from_outside(tmp_path: Path) -> None:
    cost = run(python("import time; data = bytearray(60_000_000); time.sleep(0.5)"), tmp_path)
    assert cost.wall > 0.5 > cost.cpu
    assert cost.peak > 60_000_000


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="ended with 3:\nwhat went wrong"):
        run(python("print('what went wrong'); raise SystemExit(3)"), tmp_path)
    run(python("raise SystemExit(3)", status=3), tmp_path)


def test_commands_take_turns_and_outputs_are_gone_before_each(tmp_path: Path) -> None:
    log, target = tmp_path / "log", tmp_path / "target"
    code = "import sys, pathlib; open({!r}, 'a').write('{}'); pathlib.Path({!r}).open('x').close()"
    commands = {
        name: Command((sys.executable, "-c", code.format(str(log), name, str(target))), (target,)) for name in "ab"
    }
    assert race(commands, 3, tmp_path).keys() == {"a", "b"}
    assert log.read_text() == "abababab", "one round to warm up, and three"
    assert not target.exists()


def test_the_quickest_round_counts_and_the_largest_peak() -> None:
    assert Cost(2.0, 0.5, 10).best(Cost(1.0, 0.7, 20)) == Cost(1.0, 0.5, 20)


def test_the_table_says_whether_a_bar_is_met() -> None:
    rows = [
        Row("quick", "wall", 1.0, 2.0, 2.25, "1 cp + 0.25 s"),
        Row("large", "peak", 120e6, 10e6, 100e6, "100 MB"),
        Row("asked of nobody", "wall", 1.0, None, None, ""),
    ]
    shown = [" ".join(line.split()) for line in render(rows).splitlines()[1:]]
    assert shown == [
        "quick wall 1.000 s 2.000 s 0.50 2.250 s 1 cp + 0.25 s yes",
        "large peak 120 MB 10 MB 12.00 100 MB 100 MB NO",
        "asked of nobody wall 1.000 s",
    ]


@pytest.mark.parametrize(
    ("peer", "module"),
    [
        ("torch_script", "torch"),
        ("numpy_script", "numpy"),
        ("opencv_without_counts", "cv2"),
        ("numexpr_without_counts", "numexpr"),
    ],
)
def test_those_it_is_compared_with_do_the_same_work(peer: str, module: str, tmp_path: Path) -> None:
    pytest.importorskip(module)
    data.write(tmp_path / "x.npy", "float32", 4096)
    PEERS[peer](str(tmp_path / "x.npy"), str(tmp_path / "y.npy"))
    x, y = np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy")
    assert y.dtype == x.dtype
    assert np.array_equal(y, x > 0.5)


def test_a_checkpoint_is_made_and_saved_again_against_the_clock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.write(tmp_path / "x.npy", "float32", 4096)
    PEERS["make_pt"](str(tmp_path / "x.npy"), str(tmp_path / "x.pt"))
    PEERS["save_pt"](str(tmp_path / "x.pt"), str(tmp_path / "y.pt"))
    assert 0 < float(capsys.readouterr().out) < 60
    loaded = torch.load(tmp_path / "y.pt", weights_only=True)["weight"]
    assert np.array_equal(loaded.numpy(), np.load(tmp_path / "x.npy"))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int8", "uint8"])
def test_inputs_are_what_they_are_called(dtype: str, tmp_path: Path) -> None:
    data.write(tmp_path / "x.safetensors", dtype, 1 << 16)
    tensors = load_file(tmp_path / "x.safetensors")
    assert {str(tensor.dtype) for tensor in tensors.values()} == {f"torch.{dtype}"}
    assert sum(tensor.nbytes for tensor in tensors.values()) == 1 << 16
    assert len({float(value) for value in next(iter(tensors.values())).float()[:100]}) > 20


class Unhurried(Lab):
    """Runs nothing."""

    def race(self, rounds: int | None = None, /, **commands: Command) -> dict[str, Cost]:
        return dict.fromkeys(commands, Cost(1.0, 1.0, 1))


def test_files_are_refused_against_the_clock(tmp_path: Path) -> None:
    rows = refusals.refusals(Unhurried(tmp_path, 1 << 14, 1), "refusals")
    assert [row.met for row in rows] == [False] * 5 + [None] * 5 + [True]
    assert {Path(row.bar).suffix for row in rows[:5]} <= {".npy", ".safetensors"}


def test_windows_are_raced_on_arrays_of_both_kinds(tmp_path: Path) -> None:
    rows = windows.windows(Unhurried(tmp_path, 1 << 14, 1), "windows")
    assert len({row.bar for row in rows}) == 20
    assert [row.met for row in rows[:2]] == [True, None]


@pytest.mark.parametrize("method", ["mean", "gaussian", "median", "niblack", "sauvola"])
def test_windows_are_raced_that_give_the_same(method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage")
    data.write_shaped(tmp_path / "x.npy", "float64", [31, 33])
    x = np.load(tmp_path / "x.npy")
    np.testing.assert_allclose(windows.ours(method, x)(), windows.theirs(method, x)(), rtol=1e-9, atol=1e-9)
    windows.main("ours", method, str(tmp_path / "x.npy"))
    assert 0 < float(capsys.readouterr().out) < 60


def test_hysteresis_is_raced_on_images_of_all_kinds(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    rows = sideways.hysteresis(Unhurried(tmp_path, 1 << 14, 1), "hysteresis")
    assert len({row.bar for row in rows}) == len(sideways.LIMITS)
    assert [row.met for row in rows[:2]] == [True, None]


@pytest.mark.parametrize("kind", sideways.LIMITS)
def test_hysteresis_is_raced_for_masks_that_are_the_same(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skimage")
    sideways.main("make", kind, "96", str(tmp_path / "x.npy"))
    x = np.load(tmp_path / "x.npy")
    mask = sideways.ours(kind, x)()
    assert np.array_equal(mask, sideways.theirs(kind, x)())
    assert 0 < np.count_nonzero(mask) < x.size
    sideways.main("ours", kind, str(tmp_path / "x.npy"))
    assert 0 < float(capsys.readouterr().out) < 60


def test_without_an_accelerator_there_is_nothing_to_measure_there() -> None:
    done = bench("--size", "128KiB", "accelerator")
    assert done.returncode == 0, done.stderr
    assert (len(done.stdout.splitlines()) > 1) == torch.cuda.is_available()
