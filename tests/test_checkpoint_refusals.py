"""What an index may not say, and what of a checkpoint is refused, before any work on it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.harness import listed, refused, thresh
from tests.sharded import CUT, index, shards
from threshcli.errors import OutputError
from threshcli.executors import checkpoint
from threshcli.plan.checkpoint import plan_checkpoint

__all__ = ["index"]


def changed(index: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(index.read_text())
    change(document)
    index.write_text(json.dumps(document))


SHARD = "model-00001-of-00005.safetensors"
BROKEN: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "missing tensor": (lambda d: d["weight_map"].update(more=SHARD), "lists tensor 'more'"),
    "missing shard": (lambda d: d["weight_map"].update(more="gone.safetensors"), "gone.safetensors: no such file"),
    "above": (lambda d: d["weight_map"].update(more="../in/" + SHARD), "no plain name"),
    "absolute": (lambda d: d["weight_map"].update(more="/etc/passwd"), "no plain name"),
    "dots": (lambda d: d["weight_map"].update(more=".."), "no plain name"),
    "empty name": (lambda d: d["weight_map"].update(more=""), "no plain name"),
    "nul": (lambda d: d["weight_map"].update(more="a\0b"), "no plain name"),
    "surrogate": (lambda d: d["weight_map"].update(more="\ud800"), "no plain name"),
    "escape": (lambda d: d["weight_map"].update(more="\x1b[2J\n/"), "\\x1b[2J"),
    "long": (lambda d: d["weight_map"].update(more="a" * 300), "no plain name"),
    "itself": (lambda d: d["weight_map"].update(more="model.safetensors.index.json"), "no plain name"),
    "number": (lambda d: d["weight_map"].update(more=3), "no file for tensor 'more'"),
    "empty map": (lambda d: d["weight_map"].clear(), "weight_map is empty"),
    "list": (lambda d: d.update(weight_map=["a"]), "no weight_map"),
    "no map": (lambda d: d.pop("weight_map"), "no weight_map"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_index_that_cannot_be_trusted_is_refused_before_any_work(what: str, index: Path, tmp_path: Path) -> None:
    changed(index, BROKEN[what][0])
    ran = thresh("gradient", index, "-t", CUT, "-k", "*weight", "-O", tmp_path / "out")
    refused(ran, 4, BROKEN[what][1])
    assert listed(tmp_path / "out") == []
    looked = thresh("stats", index, "--json")
    assert looked.status in (3, 4)
    assert looked.json["files"][-1]["error"]["exit_code"] == 4
    checked = thresh("check", index, "--json")
    assert checked.status in (1, 3)
    assert BROKEN[what][1] in checked.json["files"][-1]["faults"][0] + repr(checked.json["files"][-1]["faults"][0])


@pytest.mark.parametrize("words", [("gradient", "-t", CUT, "-O", "out"), ("stats",), ("info",)])
def test_many_missing_shards_are_told_in_one_line(words: tuple[object, ...], index: Path) -> None:
    """Of few, those that look at files tell each, and look at the others."""
    changed(index, lambda d: d["weight_map"].update({f"x{number}": f"s{number}.safetensors" for number in range(20)}))
    few = thresh(*words, index)
    assert len([line for line in few.lines if "no such file" in line]) == (1 if words[0] == "gradient" else 20)
    changed(index, lambda d: d["weight_map"].update(y="t.safetensors"))
    what = "lacks 21 of its 26 shards: 's0.safetensors', 's1.safetensors', 's10.safetensors' and 18 more"
    refused(thresh(*words, index), 4, what)


TEXTS = {
    "nothing": (b"", "is not JSON"),
    "no JSON": (b"{'a': 1}", "is not JSON"),
    "deep": (b"[" * 100_000, "is not JSON"),
    "infinite": (b'{"metadata": {"total_size": NaN}, "weight_map": {"a": "b"}}', "is not JSON"),
    "digits": (b'{"metadata": ' + b"1" * 10_000 + b"}", "is not JSON"),
    "no text": (b"\xff\xfe\xff", "is not JSON"),
    "list": (b"[]", "no weight_map"),
    "twice": (b'{"weight_map": {"a": "b", "c": "d", "a": "e"}}', "'a' stands in it twice"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_what_is_no_index_is_refused(what: str, tmp_path: Path) -> None:
    """And costs that input alone."""
    (tmp_path / "x.json").write_bytes(TEXTS[what][0])
    np.save(tmp_path / "v.npy", np.arange(3.0))
    refused(thresh("gradient", tmp_path / "x.json", "-t", CUT, "-O", tmp_path / "out"), 4, TEXTS[what][1])
    refused(thresh("info", tmp_path / "x.json"), 4, TEXTS[what][1])
    ran = thresh("gradient", tmp_path / "x.json", tmp_path / "v.npy", "-t", CUT, "-O", tmp_path / "out", "-q")
    assert ran.status == 3
    assert listed(tmp_path / "out") == ["v.npy"]
    ran = thresh("gradient", tmp_path / "x.json", "-t", "p90", "--scope", "global", "-O", tmp_path / "out")
    refused(ran, 4, TEXTS[what][1])


def test_an_index_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.json").open("wb") as file:
        file.truncate(1 << 40)
    refused(thresh("gradient", tmp_path / "x.json", "-t", CUT, "-O", tmp_path / "out"), 4, "too long for an index")


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_not(index: Path, tmp_path: Path) -> None:
    first = shards(index.parent)[0]
    first.rename(index.parent / "blob")
    first.symlink_to("blob")
    assert thresh("gradient", index, "-t", CUT, "-k", "*embed*", "-O", tmp_path / "out", "-q").status == 0
    (index.parent / "blob").rename(tmp_path / "blob")
    first.unlink()
    first.symlink_to(tmp_path / "blob")
    refused(thresh("gradient", index, "-t", CUT, "-k", "*embed*", "-O", tmp_path / "no"), 4, "leads out of its folder")


def test_a_name_in_two_shards_is_refused(index: Path, tmp_path: Path) -> None:
    """Listed in one of them: which would count?"""
    last = shards(index.parent)[-1]
    save_file({**load_file(last), "model.embed.weight": torch.ones(2)}, last)
    ran = thresh("gradient", index, "-t", CUT, "-k", "*embed*", "-O", tmp_path / "out")
    refused(ran, 4, "tensor 'model.embed.weight' is in two shards")


def test_tensors_that_are_not_listed_are_worked_on_and_told_of(index: Path, tmp_path: Path) -> None:
    first = shards(index.parent)[0]
    save_file({**load_file(first), "extra": torch.ones(2) / 100}, first)
    ran = thresh("gradient", index, "-t", CUT, "-k", "e*", "-O", tmp_path / "out", "--json")
    assert ran.status == 0, ran.err
    assert load_file(tmp_path / "out" / first.name)["extra"].tolist() == [0, 0]
    assert ran.json["warnings"] == [f"{index}: tensor 'extra' is in a shard, and not listed in the index"]
    save_file({**load_file(first), "more": torch.ones(2)}, first)
    assert "2 tensors, 'extra' the first, are" in thresh("info", index).out


def test_a_shard_that_changes_meanwhile_leaves_no_index(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was settled from the headers of all shards no longer holds."""
    planned = plan_checkpoint

    def late(*arguments: Any, **more: Any) -> Any:
        plan = planned(*arguments, **more)
        os.utime(shards(index.parent)[2], ns=(0, 0))
        return plan

    monkeypatch.setattr(checkpoint, "plan_checkpoint", late)
    ran = thresh("gradient", index, "-t", CUT, "-k", "*weight", "-O", tmp_path / "out")
    assert ran.status == 3
    assert "has changed since its checkpoint was looked at" in ran.err
    assert index.name not in listed(tmp_path / "out")


def test_an_index_that_cannot_be_written_is_told(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OutputError("cannot be written: no space", file=str(tmp_path / "out" / index.name))

    monkeypatch.setattr(checkpoint, "write", full)
    ran = thresh("gradient", index, "-t", CUT, "-k", "*weight", "-O", tmp_path / "out")
    assert ran.status == 3
    assert "no space" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "out.safetensors"), "no name for the index"),
        (("-O", "out", "--to", "pt"), "no --to"),
        (("-O", "out", "--residual", "left-{name}"), "no --residual"),
    ],
)
def test_what_a_whole_checkpoint_cannot_have_is_told(words: tuple[str, ...], said: str, index: Path) -> None:
    refused(thresh("gradient", index, "-t", CUT, *words), 2, said)


def test_a_shard_beside_its_index_is_a_collision(index: Path, tmp_path: Path) -> None:
    ran = thresh("gradient", index, shards(index.parent)[1], "-t", CUT, "-O", tmp_path / "out")
    refused(ran, 2, "model.safetensors.index.json: ", "is a shard of it, and named, too")
    assert not (tmp_path / "out").exists()


def test_a_shard_counts_once_whatever_names_it(index: Path) -> None:
    """By itself, or by the index of another checkpoint."""
    refused(thresh("stats", *shards(index.parent), index), 2, "is a shard of it, and named, too")
    other = index.with_name("other.safetensors.index.json")
    other.write_bytes(index.read_bytes())
    refused(thresh("stats", index, other), 2, f"{index} holds {shards(index.parent)[0]}, too")


def test_a_report_does_not_take_the_place_of_a_shard(index: Path, tmp_path: Path) -> None:
    """Of those that are read, nor of those that are written."""
    call = ("gradient", index, "-t", CUT, "-O", tmp_path / "out", "--overwrite", "--report-file")
    before = shards(index.parent)[0].read_bytes()
    for folder in (index.parent, tmp_path / "out"):
        refused(thresh(*call, folder / shards(index.parent)[0].name), 5, "is an input or output of this call")
    assert shards(index.parent)[0].read_bytes() == before


def test_what_is_wrong_with_a_shard_is_said_once(index: Path) -> None:
    """Though its index fails with it."""
    shards(index.parent)[1].write_bytes(b"nothing")
    refused(thresh("stats", index, "-q"), 3, "no format")


@pytest.mark.parametrize("words", [("-O", "{folder}"), ("-o", "{{dir}}/new.{{name}}"), ("-o", "{folder}/x.json")])
def test_outputs_of_a_checkpoint_go_to_another_folder(words: tuple[str, str], index: Path) -> None:
    """Since shards keep their names."""
    before = {path: path.read_bytes() for path in index.parent.iterdir()}
    option, place = words[0], words[1].format(folder=index.parent)
    refused(thresh("gradient", index, "-t", CUT, option, place, "--overwrite"), 2, "keep their names", "--in-place")
    assert {path: path.read_bytes() for path in index.parent.iterdir()} == before
