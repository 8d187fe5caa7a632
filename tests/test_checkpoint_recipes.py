"""Sharded checkpoints with recipes: several rules by tensor name, provenance, and the memory that all of it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.harness import listed, peak, refused, thresh
from tests.sharded import index, model, pruned, shards, write_checkpoint

__all__ = ["index"]

RECIPE = """
[[rules]]
tensors = "*norm*"
keep = true

[[rules]]
tensors = "*embed*"
rule = "gradient"
threshold = 0.05

[[rules]]
tensors = "*proj.weight"
rule = "gradient"
threshold = "{density}"
scope = "file"

[variables]
density = "zero50%"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "prune.toml"
    path.write_text(RECIPE)
    return path


def half(folder: Path) -> float:
    """What `zero50%` has to be over all shards: the least magnitude that half of all elements do not exceed."""
    parts = [load_file(path) if path.suffix == ".safetensors" else torch.load(path) for path in shards(folder)]
    data = torch.cat([x.flatten() for part in parts for name, x in part.items() if "proj" in name]).abs().double()
    return float(data.sort().values[-(-data.numel() // 2) - 1])


def wanted(name: str, data: torch.Tensor, cut: float) -> torch.Tensor:
    """What the recipe makes of a tensor."""
    if "embed" in name or "lm_head" in name:
        return pruned(data, 0.05)
    return pruned(data, cut) if "proj" in name else data


def test_a_recipe_prunes_a_checkpoint(index: Path, recipe: Path, tmp_path: Path) -> None:
    """Each tensor by its rule; the thresholds of one are over all shards; index, metadata and the rest stay."""
    ran = thresh("run", recipe, index, "-O", tmp_path / "out", "-q")
    assert ran.status == 0, ran.err
    cut = half(index.parent)
    assert (tmp_path / "out" / index.name).read_bytes() == index.read_bytes()
    for path in shards(index.parent):
        before, after = load_file(path), load_file(tmp_path / "out" / path.name)
        assert list(before) == list(after)
        for name, data in before.items():
            assert torch.equal(after[name].view(torch.uint8), wanted(name, data, cut).view(torch.uint8)), name
    last = shards(index.parent)[-1]
    assert (tmp_path / "out" / last.name).read_bytes() == last.read_bytes()


def test_ties_of_bin_shards_outlive_a_recipe(recipe: Path, tmp_path: Path) -> None:
    parts = model()
    parts[0]["lm_head.weight"] = parts[0]["model.embed.weight"]
    index = write_checkpoint(tmp_path / "in", parts, kind="bin")
    ran = thresh("run", recipe, index, "-O", tmp_path / "out", "-q")
    assert ran.status == 0, ran.err
    cut = half(index.parent)
    assert (tmp_path / "out" / index.name).read_bytes() == index.read_bytes()
    for path in shards(index.parent):
        before, after = (torch.load(folder / path.name) for folder in (index.parent, tmp_path / "out"))
        assert list(before) == list(after)
        assert all(torch.equal(after[name], wanted(name, data, cut)) for name, data in before.items())
    first = torch.load(shards(tmp_path / "out")[0])
    assert first["lm_head.weight"].data_ptr() == first["model.embed.weight"].data_ptr()


def test_a_checkpoint_is_a_recipe_for_itself(index: Path, recipe: Path, tmp_path: Path) -> None:
    """Its index as well as a shard that was worked on; nothing else is needed."""
    assert thresh("run", recipe, index, "-O", tmp_path / "out", "--set", "density=zero40%", "-q").status == 0
    for number, made in enumerate((index.name, shards(index.parent)[1].name)):
        ran = thresh("run", tmp_path / "out" / made, index, "-O", tmp_path / str(number), "-q")
        assert ran.status == 0, ran.err
        for name in listed(tmp_path / "out"):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / str(number) / name).read_bytes()


def test_a_checkpoint_without_a_recipe_is_none(index: Path, tmp_path: Path) -> None:
    refused(thresh("run", index, index, "-O", tmp_path / "out"), 2, f"{index}: has no recipe in its shards")
    first = shards(index.parent)[0]
    first.write_bytes(b"no shard")
    refused(thresh("run", index, index, "-O", tmp_path / "out"), 4, f"{first}: is in no format")


def test_memory_does_not_grow_with_the_shards(tmp_path: Path) -> None:
    """Not with those of a threshold over all of them, nor when they are there already."""
    found = {}
    for elements in (100_000, 10_000_000):
        parts = [{f"{number}.weight": torch.randn(elements).to(torch.bfloat16)} for number in range(3)]
        made = write_checkpoint(tmp_path / str(elements), parts)
        out = tmp_path / f"out-{elements}"
        words = ("-t", "zero90%", "--scope", "file", "-j", 1, "--max-memory", "16MiB", "-q", "-O", out)
        found[elements] = max(peak("gradient", made, *words), peak("gradient", made, *words, "--skip-existing"))
    assert found[10_000_000] < found[100_000] + 20_000
