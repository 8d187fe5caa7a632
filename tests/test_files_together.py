"""Small files alike that go side by side are worked on as one, and told of as if each had gone by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.harness import listed, thresh
from threshcli.engine import tensor
from threshcli.engine.tensor import TensorWork

RNG = np.random.default_rng(3)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the tensors that were worked on at once, time after time."""
    found: list[list[str]] = []

    class Noting(TensorWork):
        def tile(self, *arguments: Any) -> Any:
            found.append(list(arguments[-1]))
            return super().tile(*arguments)

    monkeypatch.setattr(tensor, "TensorWork", Noting)
    return found


def files(folder: Path, count: int, elements: int = 50) -> list[Path]:
    """Some .npy alike, with zeros and NaN in some of them."""
    folder.mkdir()
    for number in range(count):
        data = RNG.standard_normal(elements).astype("f4")
        data[: number % 3] = 0
        data[5 : 5 + number % 2] = np.nan
        np.save(folder / f"x{number:02}.npy", data)
    return sorted(folder.iterdir())


def told(ran: Any) -> Any:
    """What is told of each file, but for the time it took."""
    found = ran.json["files"]
    for file in found:
        del file["seconds"]
    return found


@pytest.mark.parametrize("words", ["binary -t 0.5", "gradient -t 0.5 --residual {out}/{{stem}}-left.npy", "soft -t 1"])
def test_each_gives_what_it_gives_alone(words: str, tmp_path: Path, seen: list[list[str]]) -> None:
    """Bytes and counts; up to sixteen go side by side."""
    given = files(tmp_path / "in", 20)
    out, alone = tmp_path / "out", tmp_path / "alone"
    ran = thresh(*words.format(out=out).split(), *given, "-O", out, "--json")
    assert ran.status == 0, ran.err
    assert seen == [[path.stem for path in given[:16]], [path.stem for path in given[16:]]]
    single = [thresh(*words.format(out=alone).split(), path, "-O", alone, "--json") for path in given]
    text = json.dumps(told(ran)).replace(str(out), str(alone))
    assert json.loads(text) == [file for one in single for file in told(one)]
    assert listed(out) == listed(alone)
    assert all((out / name).read_bytes() == (alone / name).read_bytes() for name in listed(out))


def test_files_of_several_small_tensors_go_together_with_all_of_them(tmp_path: Path, seen: list[list[str]]) -> None:
    """Where these go together themselves."""
    for number in range(3):
        tensors = {name: RNG.standard_normal(9).astype("f4") for name in "abc"}
        save_file(tensors, tmp_path / f"{number}.safetensors")
    given = sorted(tmp_path.iterdir())
    ran = thresh("gradient", "-t", 1, *given, "-O", tmp_path / "out", "--json")
    assert seen == [["a", "b", "c"] * 3]
    single = [thresh("gradient", "-t", 1, path, "-O", tmp_path / "alone", "--json") for path in given]
    text = json.dumps(told(ran)).replace(str(tmp_path / "out"), str(tmp_path / "alone"))
    assert json.loads(text) == [file for one in single for file in told(one)]
    assert all(
        (tmp_path / "out" / path.name).read_bytes() == (tmp_path / "alone" / path.name).read_bytes() for path in given
    )


def test_others_go_by_themselves(tmp_path: Path, seen: list[list[str]]) -> None:
    """Of another shape or dtype, those that have maps or thresholds of their own, and more than stay in the cache."""
    given = files(tmp_path / "in", 4)
    np.save(given[1], np.ones((5, 10), "f4"))
    np.save(given[3], np.ones(50, "f8"))
    assert thresh("binary", *given, "-t", 0.5, "-O", tmp_path / "a").status == 0
    assert seen == [["x00", "x02"], ["x01"], ["x03"]]
    seen.clear()
    np.save(tmp_path / "map.npy", np.ones(50, "f4"))
    assert thresh("binary", *given[::2], "-t", f"@{tmp_path}/map.npy", "-O", tmp_path / "b").status == 0
    assert thresh("binary", *given[::2], "-t", "p50", "-O", tmp_path / "c").status == 0
    beside = ("hysteresis", "--low", 0.2, "--high", 0.9)
    assert thresh(*beside, *given[::2], "-O", tmp_path / "f").status == 0
    assert seen == [["x00"], ["x02"]] * 3
    seen.clear()
    assert thresh("binary", *files(tmp_path / "large", 5, 3500), "-t", 0.5, "-O", tmp_path / "d").status == 0
    assert [len(names) for names in seen] == [5]
    seen.clear()
    assert thresh("binary", *files(tmp_path / "larger", 12, 4000), "-t", 0.5, "-O", tmp_path / "e").status == 0
    assert [len(names) for names in seen] == [8, 4]


def test_an_error_costs_its_own_file_only(tmp_path: Path, seen: list[list[str]]) -> None:
    """What it went with is worked on once more, and counted once."""
    given = files(tmp_path / "in", 6)
    ran = thresh("binary", *given, "-t", 0.5, "--nan", "error", "-O", tmp_path / "out", "--json")
    assert ran.status == 3
    assert [line.partition("in/")[2] for line in ran.lines[::2]] == [
        f"{path.name}: tensor {path.stem!r} holds NaN" for path in given[1::2]
    ]
    assert listed(tmp_path / "out") == [path.name for path in given[::2]]
    assert len(seen) == 7
    for path, file in zip(given, told(ran), strict=True):
        one = thresh("binary", path, "-t", 0.5, "--nan", "error", "-O", tmp_path / "out", "--overwrite", "--json")
        assert told(one) == [file]


def test_memory_that_does_not_do_for_all_may_do_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was counted of them together is not counted twice."""

    class Wanting(TensorWork):
        def tile(self, *arguments: Any) -> Any:
            made = super().tile(*arguments)
            if len(arguments[-1]) > 1:
                raise MemoryError
            return made

    given, out = files(tmp_path / "in", 6), tmp_path / "out"
    roomy = thresh("gradient", *given, "-t", 0.5, "-O", out, "--json")
    monkeypatch.setattr(tensor, "TensorWork", Wanting)
    ran = thresh("gradient", *given, "-t", 0.5, "-O", out, "--overwrite", "--json")
    assert ran.status == 0, ran.err
    assert told(ran) == told(roomy)
