"""--skip-existing over more than small plain files: residuals, large files, checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.harness import listed, refused, thresh
from tests.sharded import index, shards
from tests.test_skip_existing import HINT, inputs, marks

__all__ = ["index", "inputs"]


# Residuals


def test_a_residual_belongs_to_its_output(inputs: Path, tmp_path: Path) -> None:
    """Without it the output is not done; one that was left by a run that was killed is made again; another is told."""
    left = tmp_path / "left.npy"
    call = ("gradient", inputs / "a.npy", "-t", 0.5, "-o", tmp_path / "y.npy", "--residual", left, "--skip-existing")
    assert thresh(*call, "-q").status == 0
    both = {path: path.read_bytes() for path in (left, tmp_path / "y.npy")}
    left.unlink()
    refused(thresh(*call), 5, f"its residual {left} does not")
    assert thresh(*call, "--overwrite", "-q").status == 0
    (tmp_path / "y.npy").unlink()
    assert thresh(*call, "-q").status == 0
    assert {path: path.read_bytes() for path in both} == both
    (tmp_path / "y.npy").unlink()
    left.write_bytes(b"mine")
    refused(thresh(*call), 5, f"{left}: exists already")
    assert listed(tmp_path) == ["in", "left.npy"]


# Maps


def test_an_output_belongs_to_the_map_that_it_was_made_with(inputs: Path, tmp_path: Path) -> None:
    """A recipe names the map; what is in it shows in the elements."""
    limits = tmp_path / "limits.npy"
    np.save(limits, np.full((40, 32), 0.5))
    call = ("variable", inputs / "a.npy", "-t", f"@{limits}", "-o", tmp_path / "y.safetensors", "--skip-existing")
    assert thresh(*call, "-q").status == 0
    assert thresh(*call, "-q").status == 0
    np.save(limits, np.full((40, 32), 0.6))
    refused(thresh(*call), 5, "with other values")


# Large files


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """More than is made once more as a whole."""
    rng = np.random.default_rng(5)
    tensors = {name: torch.from_numpy(rng.standard_normal(1_500_000).astype("f4")) for name in ("a", "b")}
    tensors["bias"] = torch.ones(12)
    save_file(tensors, tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


@pytest.mark.parametrize("words", [("-t", "0.5"), ("-t", "0.5", "-k", "a"), ("-t", "p60"), ("-t", "top10")])
def test_a_large_file_is_compared_in_stretches(words: tuple[str, ...], large: Path, tmp_path: Path) -> None:
    """Its first and last elements are among them, and what is only copied is as well."""
    call = ("gradient", large, *words, "-o", tmp_path / "y.safetensors", "--skip-existing")
    assert thresh(*call, "-q").status == 0
    before = marks(tmp_path)
    assert thresh(*call, "-q").status == 0
    assert marks(tmp_path) == before
    tensors = load_file(large)
    for at in (0, -1):
        worse = {**tensors, "b": tensors["b"].clone()}
        worse["b"][at] += 100
        save_file(worse, large)
        refused(thresh(*call), 5, "with other values")


def test_packed_tensors_of_a_dry_run_are_known_by_their_recipe(inputs: Path, tmp_path: Path) -> None:
    """How large they are shows when the data is read."""
    call = ("gradient", inputs / "b.safetensors", "-x", "ids", "-O", tmp_path / "out", "--pack", "bitmask")
    assert thresh(*call, "-t", 0.5, "-q").status == 0
    ran = thresh(*call, "-t", 0.5, "--skip-existing", "-n", "--json")
    assert ran.json["files"][0]["status"] == "skipped"
    for more in ((), ("-n",)):
        refused(thresh(*call, "-t", 0.6, "--skip-existing", *more), 5, "made with another recipe")


@pytest.mark.parametrize("words", [("-t", "p60"), ("-t", "top50%", "--scope", "file")])
def test_the_recipe_of_a_large_file_is_compared_without_its_thresholds(
    words: tuple[str, ...], large: Path, tmp_path: Path
) -> None:
    """They stand in the output, which has to be alike in all else, and as they make it."""
    call = ("gradient", large, "-o", tmp_path / "y.safetensors", "--skip-existing")
    assert thresh(*call, *words, "-q").status == 0
    assert thresh(*call, *words, "-q").status == 0
    refused(thresh(*call, "-t", "p61"), 5, "made with another recipe")
    refused(thresh(*call, *words, "--ignore-zero"), 5, "made with another recipe")
    with (tmp_path / "y.safetensors").open("r+b") as file:
        file.truncate(100)
    refused(thresh(*call, *words), 5, "is not complete: is truncated")


@pytest.mark.parametrize("words", [("-t", "top50%"), ("-t", "zero30%", "--scope", "file"), ("-t", "p50")])
@pytest.mark.parametrize("rule", ["gradient", "hard"])
def test_elements_equal_to_a_remembered_threshold_are_on_either_side_of_it(
    rule: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """Which of them stayed the output does not tell; but nothing else may be there."""
    rng = np.random.default_rng(6)
    data = torch.from_numpy(rng.integers(-3, 4, 3_000_000).astype("f4"))
    save_file({"a": data}, tmp_path / "x.safetensors")
    left = tmp_path / "left.safetensors"
    out = ("-o", tmp_path / "y.safetensors", *(("--residual", left) if rule == "gradient" else ()))
    call = (rule, tmp_path / "x.safetensors", *words, *out, "--skip-existing")
    assert thresh(*call, "-q").status == 0
    assert thresh(*call, "--json").json["files"][0]["status"] == "skipped"
    for path in (tmp_path / "y.safetensors", left)[: 1 + (rule == "gradient")]:
        good = path.read_bytes()
        path.write_bytes(good[:-2] + b"\x10\x41")
        refused(thresh(*call), 5, f"{path}: exists already, with other values")
        path.write_bytes(good)
    assert thresh(*call, "-q").status == 0


@pytest.mark.parametrize("suffix", [".npy", ".pt", ".safetensors"])
@pytest.mark.parametrize("words", [("-t", "p60", "--no-provenance"), ("-t", "p60", "--scope", "axis:0")])
def test_thresholds_that_no_output_tells_of_are_worked_out(words: tuple[str, ...], suffix: str, tmp_path: Path) -> None:
    """However large a file is: another input is told in every case."""
    rng = np.random.default_rng(7)
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", rng.standard_normal((3, 800_000)).astype("f4"))
    source = tmp_path / "0.npy"
    call = ("gradient", source, *words, "-o", tmp_path / f"y{suffix}", "--skip-existing")
    assert thresh(*call, "-q").status == 0
    assert thresh(*call, "--json").json["files"][0]["status"] == "skipped"
    (tmp_path / "1.npy").rename(source)
    refused(thresh(*call), 5, "exists already")


def test_a_large_output_of_something_else_is_told(large: Path, tmp_path: Path) -> None:
    """Whatever it says of itself."""
    for text in ("mine", "[]", '{"rule": "gradient", "thresholds": {"a": {"threshold": [true]}}}'):
        save_file(load_file(large), tmp_path / "y.safetensors", metadata={"thresh": text})
        ran = thresh("gradient", large, "-t", "p60", "-o", tmp_path / "y.safetensors", "--skip-existing")
        refused(ran, 5, "made with another recipe")


def test_rules_that_look_at_neighbours_are_made_as_a_whole(large: Path, tmp_path: Path) -> None:
    call = ("nm", large, "-t", "2:4", "-o", tmp_path / "y.safetensors", "--skip-existing")
    assert thresh(*call, "-q").status == 0
    assert thresh(*call, "-q").status == 0
    (tmp_path / "y.safetensors").write_bytes(large.read_bytes())
    refused(thresh(*call), 5, "exists already")


def test_a_large_archive_is_compared_but_for_its_checksums(tmp_path: Path) -> None:
    """They are known when all of it is made; so are copies of storages that nothing is done to."""
    torch.save({"a": torch.randn(500_000), "b": torch.randn(500_000)}, tmp_path / "x.pt")
    call = ("gradient", tmp_path / "x.pt", "-t", 0.5, "-k", "a", "-o", tmp_path / "y.pt", "--skip-existing")
    assert thresh(*call, "-q").status == 0
    before = marks(tmp_path)
    assert thresh(*call, "-q").status == 0
    assert marks(tmp_path) == before
    raw = bytearray((tmp_path / "y.pt").read_bytes())
    raw[-60] ^= 1
    (tmp_path / "y.pt").write_bytes(raw)
    refused(thresh(*call), 5, "exists already")


# Checkpoints


def test_a_checkpoint_is_completed(index: Path, tmp_path: Path) -> None:
    """Its shards are files like any other; the index is there when they are, or it is another's."""
    out = tmp_path / "out"
    call = ("gradient", index, "-t", "p60", "--scope", "file", "-k", "*.weight", "-O", out, "--skip-existing")
    assert thresh(*call, "-q").status == 0
    before = marks(out)
    files = thresh(*call, "--json").json["files"]
    assert {(file["status"], file["bytes_in"], file["bytes_out"]) for file in files} == {("skipped", 0, 0)}
    for gone in (index.name, shards(out)[2].name):
        (out / gone).unlink()
    ran = thresh(*call, "--json")
    assert [file["status"] for file in ran.json["files"]] == [*["skipped"] * 2, "written", *["skipped"] * 2, "written"]
    assert {name: mark[2] for name, mark in marks(out).items()} == {name: mark[2] for name, mark in before.items()}
    (out / index.name).write_text("{}")
    (out / shards(out)[2].name).unlink()
    refused(thresh(*call), 5, f"{out / index.name}: exists already", HINT)
    assert len(listed(out)) == 5
    ran = thresh(*call, "--overwrite", "--json")
    assert [file["status"] for file in ran.json["files"]] == [*["skipped"] * 2, "written", *["skipped"] * 2, "written"]
    assert {name: mark[2] for name, mark in marks(out).items()} == {name: mark[2] for name, mark in before.items()}
