"""Thresholds worked out from files as they come: pipes, many shards, outputs in place, tied and strange tensors."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.files import write_codes
from tests.harness import listed, refused, thresh
from threshcli import containers, thresholds
from threshcli.dtypes import DTYPES
from threshcli.executors.local import Executor
from threshcli.plan.fit import Fit, Scope
from threshcli.plan.names import Names
from threshcli.plan.request import Request
from threshcli.rules.gradient import Gradient


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Forty small files, with many ties across them."""
    monkeypatch.chdir(tmp_path)
    names = [f"{number:02}.npy" for number in range(40)]
    for seed, name in enumerate(names):
        np.save(name, np.random.default_rng(seed).integers(-9, 10, (seed % 4, 5)).astype(np.float32))
    return names


def kept(shards: list[str], count: int) -> list[bytes]:
    """The shards with so many elements left over all of them: the largest, of equal ones the first."""
    parts = [np.load(name) for name in shards]
    whole = np.concatenate([part.ravel() for part in parts])
    left = np.zeros_like(whole)
    first = np.argsort(-abs(whole), kind="stable")[:count]
    left[first] = whole[first]
    cut = np.split(left, np.cumsum([part.size for part in parts])[:-1])
    return [piece.tobytes() for piece in cut]


def found(folder: str, shards: list[str]) -> list[bytes]:
    return [np.load(f"{folder}/{name}").tobytes() for name in shards]


def test_many_shards_share_a_budget(shards: list[str]) -> None:
    """To the element, with the first of those that are equal."""
    for count in (0, 1, 50, 100, 10_000):
        wanted = kept(shards, count)
        assert thresh("gradient", *shards, "-t", f"top{count}", "--scope", "global", "-O", f"{count}").status == 0
        assert found(f"{count}", shards) == wanted


def test_shards_are_replaced_with_one_budget(shards: list[str]) -> None:
    """The threshold is that of the files as they were."""
    wanted = kept(shards, 50)
    assert thresh("gradient", *shards, "-t", "top50", "--scope", "global", "--in-place").status == 0
    assert found(".", shards) == wanted


def test_shards_that_are_done_count_all_the_same(shards: list[str]) -> None:
    """A second run gives what is missing the threshold of the first."""
    wanted = kept(shards, 50)
    for missing in ("out", "out/07.npy", "out/09.npy"):
        Path(missing).unlink() if missing.endswith(".npy") else Path(missing).mkdir()
        ran = thresh("gradient", *shards, "-t", "top50", "--scope", "global", "-O", "out", "--skip-existing")
        assert ran.status == 0, ran.err
        assert found("out", shards) == wanted


def test_a_dry_run_works_nothing_out(shards: list[str]) -> None:
    """From the headers alone: no threshold, no output."""
    ran = thresh("gradient", *shards, "-t", "top50", "--scope", "global", "-O", "out", "-n", "--json")
    assert ran.status == 0
    assert ran.tensor["threshold"]["value"] is None
    assert listed(".") == shards


def test_pipes_are_read_once_and_looked_at_twice(shards: list[str]) -> None:
    """FIFOs among files that share a threshold."""
    wanted = kept(shards, 50)
    raw = {name: Path(name).read_bytes() for name in shards[5:8]}
    for name in raw:
        Path(name).unlink()
        os.mkfifo(name)
    threads = [Thread(target=Path(name).write_bytes, args=[data]) for name, data in raw.items()]
    for thread in threads:
        thread.start()
    ran = thresh("gradient", *shards, "-t", "top50", "--scope", "global", "-O", "out")
    for thread in threads:
        thread.join()
    assert ran.status == 0, ran.err
    assert found("out", shards) == wanted


def test_tied_tensors_are_worked_on_and_counted_once(tmp_path: Path) -> None:
    """Views that overlap count for themselves; what is no tensor stays."""
    weight = torch.arange(-6.0, 6.0).reshape(3, 4)
    stored = {"weight": weight, "tied": weight, "rows": weight[1:], "wide": torch.tensor([3.0]).expand(5), "step": 7}
    torch.save(stored, tmp_path / "x.pt")
    assert thresh("gradient", tmp_path / "x.pt", "-t", "top4", "--scope", "file", "-o", tmp_path / "y.pt").status == 0
    left = torch.load(tmp_path / "y.pt", weights_only=True)
    assert left["weight"].tolist() == [[-6, -5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 5]]
    assert left["tied"].data_ptr() == left["weight"].data_ptr()
    assert left["rows"].tolist() == [[0, 0, 0, 0], [0, 0, 0, 5]]
    assert (left["wide"].tolist(), left["step"]) == ([0] * 5, 7)


@pytest.mark.parametrize("scope", ["tensor", "axis:0", "axis:1", "file", "global"])
def test_what_has_no_elements_needs_no_threshold(scope: str, tmp_path: Path) -> None:
    """Whichever axis is the empty one; a report of it can be used."""
    for shape in ((3, 0), (0, 3)):
        np.save(tmp_path / "x.npy", np.zeros(shape))
        asked = ("gradient", tmp_path / "x.npy", "-t")
        assert thresh(*asked, "p5", "--scope", scope, "-o", tmp_path / "y.npy", "--overwrite").status == 0
        (tmp_path / "p.json").write_text(thresh("solve", *asked[1:], "top1", "--scope", scope, "--json").out)
        ran = thresh(*asked, f"@{tmp_path}/p.json", "-o", tmp_path / "z.npy", "--overwrite")
        assert ran.status == 0, ran.err
        assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "z.npy").read_bytes()


def test_a_tensor_without_elements_may_have_any_number_of_indices(tmp_path: Path) -> None:
    """A file of a hundred bytes claims as many rows as there are numbers for, none of which needs a threshold."""
    np.save(tmp_path / "x.npy", np.zeros((1 << 60, 0), np.int8))
    each = ("-t", "p90", "--scope", "axis:0")
    assert thresh("hard", tmp_path / "x.npy", *each, "-o", tmp_path / "y.npy").status == 0
    assert np.load(tmp_path / "y.npy").shape == (1 << 60, 0)
    assert thresh("solve", tmp_path / "x.npy", *each, "--json").status == 0


def test_a_line_of_solve_is_a_line_whatever_the_name(tmp_path: Path) -> None:
    """Names are escaped: they come from files."""
    save_file({"a\x1b[31m\nb\tc": np.ones(3), "d": np.ones(2)}, tmp_path / "x.safetensors")
    ran = thresh("solve", tmp_path / "x.safetensors", "-t", "p50", "-q")
    assert [line.count("\t") for line in ran.out.splitlines()] == [1, 1]
    assert "\x1b" not in ran.out


def test_several_cuts_are_not_made_one_in_silence(tmp_path: Path) -> None:
    """Neither in a line along an axis nor in a map, which have room for one; a report has room for all."""
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(2, 10))
    several = ("solve", tmp_path / "x.npy", "-t", "multiotsu:3")
    assert thresh(*several, "-q").out.count(",") == 1
    refused(thresh(*several, "--scope", "axis:0", "-q"), 2, "multiotsu:3 gives several cuts")
    told = thresh(*several, "--scope", "axis:0", "--json").tensor["threshold"]
    assert [len(used["values"]) for used in told] == [2, 2]
    refused(thresh(*several, "-o", tmp_path / "map.npy"), 2, "multiotsu:3 gives several cuts")
    assert listed(tmp_path) == ["x.npy"]


def test_positions_in_a_report_lie_in_the_slice(tmp_path: Path) -> None:
    """Along an axis as in a tensor: no larger than the number of its elements."""
    np.save(tmp_path / "x.npy", np.arange(20.0).reshape(2, 10))
    ran = thresh("solve", tmp_path / "x.npy", "-t", "top3", "--scope", "axis:0", "--json")
    assert ran.tensor["threshold"]["above"] == [10, 10]


def test_a_header_is_read_as_often_for_many_tensors_as_for_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a large checkpoint would take hours."""
    reads: list[Any] = []
    identify = containers.identify

    def counted(source: Any) -> Any:
        reads.append(source)
        return identify(source)

    monkeypatch.setattr(containers, "identify", counted)
    taken = []
    for count in (2, 20):
        torch.save({f"{number}": torch.ones(number + 1) for number in range(count)}, tmp_path / "x.pt")
        save_file({f"{number}": np.ones(2) for number in range(count)}, tmp_path / "x.safetensors")
        for name in ("x.pt", "x.safetensors"):
            assert thresh("solve", tmp_path / name, "-t", "top1").status == 0
        taken.append(len(reads))
        reads.clear()
    assert taken[0] == taken[1]


def test_what_is_looked_at_is_checked(tmp_path: Path) -> None:
    """A threshold of bytes that are not those that were stored is none; only of tensors that are looked at."""
    torch.save({"a": torch.ones(100), "b": torch.ones(100) * 2}, tmp_path / "x.pt")
    raw = (tmp_path / "x.pt").read_bytes()
    (tmp_path / "x.pt").write_bytes(raw.replace(torch.full((100,), 2.0).numpy().tobytes(), bytes(400)))
    for scope in ("tensor", "axis:0", "file", "global"):
        refused(thresh("solve", tmp_path / "x.pt", "-t", "p50", "--scope", scope), 4, "x.pt: is damaged")
        assert thresh("solve", tmp_path / "x.pt", "-t", "p50", "--scope", scope, "-k", "a", "-q").status == 0


def test_the_noise_of_one_element_is_not_exceeded_by_luck(tmp_path: Path) -> None:
    """sqrt(2 ln 1) is 0, and so is the threshold, even of an infinite element."""
    for value in (3.0, np.inf):
        np.save(tmp_path / "x.npy", np.array([value]))
        ran = thresh("solve", tmp_path / "x.npy", "-t", "universal", "-q")
        assert (ran.status, ran.out) == (0, "0\n"), ran.err


def test_a_file_that_changes_before_its_turn_is_refused_under_one_threshold_for_all(tmp_path: Path) -> None:
    """The threshold was worked out from what it was."""
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for number, path in enumerate(paths):
        np.save(path, np.arange(5000, dtype=np.float32) + number)  # not side by side
    request = Request.of(
        rule=Gradient(),
        command="gradient",
        thresholds={"threshold": thresholds.parse("top5")},
        specs={"threshold": "top5"},
        names=Names(out_dir=str(tmp_path / "out"), rule="gradient"),
        fit=Fit(scope=Scope("global")),
    )
    executor = Executor(request, done=lambda _: np.save(paths[1], np.arange(5001, dtype=np.float32)))
    first, second = executor.run(request.names.jobs([str(path) for path in paths])).files
    assert (first.status, second.status) == ("written", "failed")
    assert second.error is not None
    assert "has changed since" in second.error.message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.npy"]


def test_too_few_elements_along_an_axis_are_warned_of_once(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.float32).reshape(4, 5))
    asked = ("-t", "top9", "--scope", "axis:0", "-o", tmp_path / "o.npy", "--json")
    (warning,) = thresh("gradient", tmp_path / "x.npy", *asked).json["files"][0]["warnings"]
    assert "top9 asks for more than there are" in warning
    assert "index 0 of axis 0, the first of 4" in warning


def test_a_map_of_a_threshold_beyond_the_format_is_infinite(tmp_path: Path) -> None:
    """448 is the largest of float8_e4m3fn: what compares as infinite must not become 448."""
    dtype = DTYPES["float8_e4m3fn"]
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, [0x7E, 0x01, 0x7E])})
    asked = ("-t", "p50", "--scale", "4")
    assert thresh("solve", tmp_path / "x.safetensors", *asked, "-o", tmp_path / "m.npy").status == 0
    assert np.load(tmp_path / "m.npy").tolist() == [np.inf] * 3


def test_a_mask_that_is_missing_is_told_by_a_dry_run(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(4, dtype=np.float32))
    asked = ("-t", "p50", "--estimate-mask", tmp_path / "m.npy", "-n", "-o", tmp_path / "o.npy")
    refused(thresh("gradient", tmp_path / "x.npy", *asked), 4, "m.npy: no such file")
    np.save(tmp_path / "m.npy", np.ones(5, np.uint8))
    refused(thresh("gradient", tmp_path / "x.npy", *asked), 2, "shape")


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", np.arange(9, dtype=np.float32) + len(folder) + (folder == "b"))
    paths = [str(tmp_path / folder / "x.npy") for folder in ("a", "b")]
    assert [line.split("\t")[0] for line in thresh("solve", *paths, "-t", "top2", "-q").out.splitlines()] == paths
    (tmp_path / "plan.json").write_text(thresh("solve", *paths, "-t", "top3", "--magnitude", "--json").out)
    for path, folder in zip(paths, ("a", "b"), strict=True):
        target = tmp_path / f"{folder}.npy"
        assert thresh("gradient", path, "-t", f"@{tmp_path / 'plan.json'}", "-o", target).status == 0
        assert np.count_nonzero(np.load(target)) == 3
