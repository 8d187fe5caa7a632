"""Sharded checkpoints, packed and unpacked by their index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.harness import listed, refused, thresh
from tests.packs import from_bitmask, raw_tensors
from tests.sharded import CUT, index, model, shards, write_checkpoint

__all__ = ["index"]


def text_of(folder: Path) -> str:
    (path,) = folder.glob("*.json")
    return path.read_text()


@pytest.mark.parametrize("packing", ["bits", "bitmask"])
def test_a_checkpoint_comes_back_to_the_byte(index: Path, tmp_path: Path, packing: str) -> None:
    """All shards and the index: what is written without --pack."""
    rule = ["binary" if packing == "bits" else "gradient", index, "-t", CUT, "-k", "*weight"]
    plain, small, back = (tmp_path / name for name in ("plain", "small", "back"))
    assert thresh(*rule, "-O", plain).status == 0
    ran = thresh(*rule, "-O", small, "--pack", packing, "--json")
    assert ran.status == 0, ran.err
    assert ran.json["files"][-1]["bytes_out"] == len(text_of(small).encode())
    ran = thresh("unpack", small / index.name, "-O", back)
    assert ran.status == 0, ran.err
    assert listed(plain) == listed(small) == listed(back)
    for path in shards(plain):
        assert (back / path.name).read_bytes() == path.read_bytes()
    assert json.loads(text_of(back)) == json.loads(text_of(plain))
    assert list(json.loads(text_of(back))["weight_map"]) == list(json.loads(text_of(plain))["weight_map"])


def test_the_index_of_a_packed_checkpoint_is_true(index: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    assert thresh("gradient", index, "-t", CUT, "-k", "*weight", "-O", out, "--pack", "bitmask").status == 0
    document = json.loads(text_of(out))
    found = {path.name: raw_tensors(path) for path in shards(out)}
    assert document["weight_map"] == {name: shard for shard, tensors in found.items() for name in tensors}
    assert list(document["weight_map"]) == sorted(document["weight_map"])
    assert document["metadata"]["total_size"] == sum(len(raw.data) for each in found.values() for raw in each.values())
    assert document["metadata"]["note"] == {"a": "é", "b": 1}
    embed = found["model-00001-of-00005.safetensors"]
    assert from_bitmask(embed, "model.embed") != bytes(40 * 24 * 2)
    assert "model.0.norm.weight" in document["weight_map"]
    assert "model.0.proj.row_offsets" in document["weight_map"]


def test_pickled_shards_have_masks_in_bits(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "in", model(), kind="bin")
    out = tmp_path / "out"
    assert thresh("binary", path, "-t", CUT, "-k", "*weight", "-O", out, "--pack", "bits").status == 0
    sizes = [sum(item.nbytes for item in torch.load(shard).values()) for shard in shards(out)]
    assert json.loads(text_of(out))["metadata"]["total_size"] == sum(sizes)
    assert json.loads(text_of(out))["weight_map"] == json.loads(path.read_text())["weight_map"]


def test_what_is_done_is_left_alone(index: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    call = ["gradient", index, "-t", CUT, "-k", "*weight", "-O", out, "--pack", "bitmask"]
    assert thresh(*call).status == 0
    before = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.iterdir()}
    ran = thresh(*call, "--skip-existing", "--json")
    assert ran.status == 0, ran.err
    assert {file["status"] for file in ran.json["files"]} == {"skipped"}
    (out / index.name).write_text("{}")
    refused(thresh(*call, "--skip-existing", "-q"), 3, "is not the index of this checkpoint")
    (out / index.name).unlink()
    assert thresh(*call, "--skip-existing").status == 0
    assert {path.name for path in out.iterdir()} == before.keys()


def test_a_dry_run_writes_nothing_and_in_place_is_refused(index: Path) -> None:
    """Killed half-way it could not be finished: the index would contradict its shards."""
    call = ["gradient", index, "-t", CUT, "-k", "*weight", "--pack", "bitmask"]
    before = {path.name: path.read_bytes() for path in index.parent.iterdir()}
    assert thresh(*call, "-n").status == 0
    refused(thresh(*call, "--in-place"), 2, "not packed or unpacked in place")
    refused(thresh("unpack", index, "--in-place"), 2, "not packed or unpacked in place")
    assert {path.name: path.read_bytes() for path in index.parent.iterdir()} == before


def test_an_index_keeps_its_way_of_writing(index: Path, tmp_path: Path) -> None:
    call = ["gradient", index, "-t", CUT, "-k", "*weight", "-O", tmp_path / "small", "--pack", "bitmask"]
    assert thresh(*call).status == 0
    assert thresh("unpack", tmp_path / "small" / index.name, "-O", tmp_path / "back").status == 0
    assert text_of(tmp_path / "back") == text_of(index.parent)
