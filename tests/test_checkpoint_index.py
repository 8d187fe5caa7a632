"""The index file of a sharded checkpoint as one input: its shards are worked on as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.harness import Ran, listed, refused, thresh
from tests.sharded import CUT, index, model, pruned, shards, write_checkpoint
from threshcli.report.machine import schema_text

__all__ = ["index"]


def header(path: Path) -> Any:
    raw = path.read_bytes()
    return json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])


def test_a_pruned_checkpoint_has_the_structure_that_it_had(index: Path, tmp_path: Path) -> None:
    """Names, index and metadata are the same, what is not worked on, too, byte for byte; the rest as it should be."""
    out = tmp_path / "out"
    ran = thresh("gradient", index, "-t", CUT, "-k", "*.weight", "-x", "*norm*", "-O", out, "--json")
    assert ran.status == 0, ran.err
    assert listed(out) == listed(index.parent)
    assert (out / index.name).read_bytes() == index.read_bytes()
    last = shards(out)[-1]
    assert last.read_bytes() == (index.parent / last.name).read_bytes()
    for path in shards(index.parent):
        before, after = load_file(path), load_file(out / path.name)
        assert list(before) == list(after)
        for name, data in before.items():
            worked = name.endswith("weight") and "norm" not in name
            wanted = pruned(data, CUT) if worked else data
            assert torch.equal(after[name].view(torch.uint8), wanted.view(torch.uint8)), name
        old, new = header(path), header(out / path.name)
        assert {"format": "pt"}.items() <= new.pop("__metadata__").items()
        old.pop("__metadata__")
        assert list(old) == list(new)
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(ran.json)
    assert [file["format"] for file in ran.json["files"]] == ["safetensors"] * 5 + ["index"]
    assert ran.json["files"][-1]["output"] == str(out / index.name)


def test_without_provenance_a_shard_of_which_nothing_changes_is_as_it_was(index: Path, tmp_path: Path) -> None:
    ran = thresh("gradient", index, "-t", 0, "--no-provenance", "-x", "*.mask", "-O", tmp_path / "out", "-q")
    assert ran.status == 0, ran.err
    for path in index.parent.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("indent", [None, 2, 4, "\t"])
def test_the_index_tells_the_true_size_and_keeps_all_else(
    indent: int | str | None, index: Path, tmp_path: Path
) -> None:
    """However it is laid out, and whatever else is called so."""
    document = json.loads(index.read_text())
    document = {"weight_map": document["weight_map"], "more": {"total_size": 7}, "metadata": document["metadata"]}
    index.write_text(json.dumps(document, indent=indent, ensure_ascii=False))
    ran = thresh("gradient", index, "-t", CUT, "-k", "*.weight", "--out-dtype", "float64", "-O", tmp_path / "out", "-q")
    assert ran.status == 0, ran.err
    new = tmp_path / "out" / index.name
    total = sum(data.nbytes for path in shards(tmp_path / "out") for data in load_file(path).values())
    old = document["metadata"]["total_size"]
    assert total > old
    assert new.read_text() == index.read_text().replace(f'"total_size": {old}', f'"total_size": {total}')


@pytest.mark.parametrize("metadata", [None, {}, {"a": 1}, {"total_size": "many"}, {"total_size": True}, 5])
def test_an_index_that_tells_no_size_is_told_none(metadata: object, index: Path, tmp_path: Path) -> None:
    document = json.loads(index.read_text())
    document["metadata"] = metadata
    index.write_text(json.dumps(document))
    ran = thresh("binary", index, "-t", 0, "-k", "*.weight", "--out-dtype", "bool", "-O", tmp_path / "out", "-q")
    assert ran.status == 0, ran.err
    assert (tmp_path / "out" / index.name).read_bytes() == index.read_bytes()


def test_a_size_that_is_spelled_strangely_is_found_too(index: Path, tmp_path: Path) -> None:
    """Then the index is laid out anew."""
    index.write_text(index.read_text().replace('"total_size"', '"total\\u005fsize"'))
    ran = thresh("binary", index, "-t", 0, "-k", "*.weight", "--out-dtype", "bool", "-O", tmp_path / "out", "-q")
    assert ran.status == 0, ran.err
    total = sum(data.nbytes for path in shards(tmp_path / "out") for data in load_file(path).values())
    wanted = json.loads(index.read_text())
    wanted["metadata"]["total_size"] = total
    assert json.loads((tmp_path / "out" / index.name).read_text()) == wanted


def test_the_scope_of_a_file_is_the_whole_checkpoint(index: Path, tmp_path: Path) -> None:
    """So is that of `solve`; a threshold over all shards leaves exactly the tenth that was asked for."""
    words = ("-k", "*.weight", "-x", "*norm*", "--scope", "file")
    ran = thresh("gradient", index, "-t", "top10%", *words, "-O", tmp_path / "out", "-q")
    assert ran.status == 0, ran.err
    parts = [load_file(path) for path in shards(tmp_path / "out")]
    worked = [data for part in parts for name, data in part.items() if name.endswith("weight") and "norm" not in name]
    elements, left = sum(data.numel() for data in worked), sum(int((data != 0).sum()) for data in worked)
    assert left == round(elements / 10)
    assert len({int((data != 0).sum()) * 1000 // data.numel() for data in worked}) > 1
    solved = thresh("solve", index, "-t", "p90", *words, "-q")
    assert len({line.split("\t")[-1] for line in solved.out.splitlines()}) == 1
    several = thresh("solve", index, "-t", "p90", *words[:4], "-q")
    assert len({line.split("\t")[-1] for line in several.out.splitlines()}) > 1


def test_what_a_whole_checkpoint_was_asked_for_counts_once(index: Path, tmp_path: Path) -> None:
    """In the row of totals, whatever the number of its shards."""
    ran = thresh("gradient", index, "-t", "top100", "--scope", "file", "-k", "*proj*", "-O", tmp_path / "out")
    total = next(line for line in ran.out.splitlines() if line.startswith("TOTAL"))
    assert " 100 -> " in total, ran.out


def test_two_checkpoints_each_have_a_scope_of_their_own(index: Path, tmp_path: Path) -> None:
    """A file beside them, too; a global scope is over all of it."""
    other = write_checkpoint(tmp_path / "other", [{"a.weight": torch.arange(10.0)}, {"b.weight": torch.arange(90.0)}])
    save_file({"c.weight": torch.arange(50.0)}, tmp_path / "c.safetensors")
    words = ("solve", other, tmp_path / "c.safetensors", index, "-k", "?.weight", "-t", "p50", "--json", "--scope")
    each = {scope: _values(thresh(*words, scope)) for scope in ("file", "global")}
    assert each["file"] == {"a.weight": 39.5, "b.weight": 39.5, "c.weight": 24.5}
    assert len(set(each["global"].values())) == 1


def _values(ran: Ran) -> dict[str, float]:
    assert ran.status == 0, ran.err
    items = [item for file in ran.json["files"] for item in file["tensors"] if item["threshold"]]
    return {item["name"]: item["threshold"]["value"] for item in items}


def test_patterns_are_held_against_all_shards(index: Path, tmp_path: Path) -> None:
    """One that matches in a single shard is enough; one that matches nowhere is a mistake."""
    ran = thresh("gradient", index, "-t", CUT, "-k", "model.1.proj.weight", "-O", tmp_path / "out", "--json")
    assert ran.status == 0, ran.err
    assert sum(item["applied"] for file in ran.json["files"] for item in file["tensors"]) == 1
    changed = [
        path.name for path in shards(index.parent) if path.read_bytes() != (tmp_path / "out" / path.name).read_bytes()
    ]
    assert changed == ["model-00003-of-00005.safetensors"]
    ran = thresh("gradient", index, "-t", CUT, "-k", "model.1.prj.weight", "-O", tmp_path / "no")
    refused(ran, 2, "'model.1.proj.weight'")
    assert not [path for path in (tmp_path / "no").iterdir() if path.suffix]


def test_a_rule_that_can_work_on_nothing_at_all_says_so(index: Path, tmp_path: Path) -> None:
    """A shard without anything to work on is no mistake, a checkpoint is."""
    assert thresh("soft", index, "-t", CUT, "-O", tmp_path / "out", "-q").status == 0
    ran = thresh("soft", index, "-t", CUT, "-k", "*positions", "-O", tmp_path / "no")
    refused(ran, 2, "tensor 'model.positions'")


def test_in_place_each_shard_is_replaced_and_the_index_last(index: Path) -> None:
    before = {path.name: load_file(path) for path in shards(index.parent)}
    text = index.read_bytes()
    ran = thresh("gradient", index, "-t", CUT, "-x", "model.m*", "-x", "*positions", "--in-place", "-q")
    assert ran.status == 0, ran.err
    assert index.read_bytes() == text
    after = load_file(shards(index.parent)[0])["model.embed.weight"]
    assert torch.equal(after, pruned(before[shards(index.parent)[0].name]["model.embed.weight"], CUT))
    assert not [path for path in index.parent.iterdir() if path.name.startswith(".thresh")]


def test_an_output_may_have_its_own_name(index: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ran = thresh("gradient", index, "-t", CUT, "-k", "*embed*", "-o", tmp_path / "out" / "other.json", "-q")
    assert ran.status == 0, ran.err
    assert listed(tmp_path / "out") == [*(path.name for path in shards(index.parent)), "other.json"]


def test_outputs_that_exist_are_found_before_any_work(index: Path, tmp_path: Path) -> None:
    """Be it one of the shards or the index."""
    out = tmp_path / "out"
    out.mkdir()
    for name in (shards(index.parent)[3].name, index.name):
        (out / name).write_bytes(b"mine")
        ran = thresh("gradient", index, "-t", CUT, "-k", "*weight", "-O", out)
        refused(ran, 5, name, "exists already")
        assert listed(out) == [name]
        (out / name).unlink()
    thresh("gradient", index, "-t", CUT, "-k", "*weight", "-O", out, "-q")
    assert thresh("gradient", index, "-t", CUT, "-k", "*weight", "-O", out, "-q", "--overwrite").status == 0


def test_a_dry_run_shows_every_shard_and_writes_nothing(index: Path, tmp_path: Path) -> None:
    ran = thresh(
        "gradient", index, "-t", "top10%", "--scope", "file", "-k", "*weight", "-O", tmp_path / "out", "-n", "--json"
    )
    assert ran.status == 0, ran.err
    assert {file["status"] for file in ran.json["files"]} == {"dry-run"}
    assert len(ran.json["files"]) == 6
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    [
        *(("info",), ("stats",), ("hist",), ("sweep", "-t", "p90"), ("solve", "-t", "p90")),
        ("check",),
    ],
)
def test_what_only_looks_takes_an_index_for_its_shards(command: tuple[str, ...], index: Path) -> None:
    more = () if command == ("info",) else ("-k", "*.weight")
    ran = thresh(*command, index, *more, "--json")
    assert ran.status == 0, ran.err
    files = ran.json["files"]
    assert [Path(file["input"]).name for file in files] == [*(path.name for path in shards(index.parent)), index.name]
    assert files[-1]["format"] == "index"
    assert thresh(*command, index, *more).status == 0


def test_a_sweep_over_all_inputs_takes_the_shards_together(index: Path) -> None:
    ran = thresh("sweep", index, "-k", "*proj.weight", "-t", "p90", "--scope", "global", "--json")
    assert ran.status == 0, ran.err


def test_info_tells_what_the_index_says(index: Path) -> None:
    ran = thresh("info", index, "--json")
    assert ran.json["files"][-1]["metadata"]["total_parameters"] == "99"
    assert "5 shards" in thresh("info", index).out


def test_a_report_of_a_checkpoint_is_a_threshold_for_it(index: Path, tmp_path: Path) -> None:
    words = ("-k", "*proj.weight")
    (tmp_path / "plan.json").write_text(thresh("solve", index, "-t", "p90", *words, "--scope", "file", "--json").out)
    ran = thresh("gradient", index, "-t", f"@{tmp_path}/plan.json", *words, "-O", tmp_path / "out", "--json")
    assert ran.status == 0, ran.err


# .bin


def tied(tmp_path: Path) -> Path:
    parts = model()[:4]
    parts[0]["lm_head.weight"] = parts[0]["model.embed.weight"]
    return write_checkpoint(tmp_path / "bin", parts, kind="bin")


def test_bin_shards_are_archives_of_torch_and_keep_their_ties(tmp_path: Path) -> None:
    """Both names of a tied tensor are in the index, and it counts once."""
    index, out = tied(tmp_path), tmp_path / "out"
    ran = thresh("gradient", index, "-t", CUT, "-x", "*norm*", "-O", out, "-q")
    assert ran.status == 0, ran.err
    assert listed(out) == listed(index.parent)
    assert (out / index.name).read_bytes() == index.read_bytes()
    for path in shards(index.parent):
        before, after = (torch.load(folder / path.name, weights_only=True) for folder in (index.parent, out))
        assert list(before) == list(after)
        for name, data in before.items():
            assert torch.equal(after[name], data if "norm" in name else pruned(data, CUT)), name
    first = torch.load(shards(out)[0], weights_only=True)
    assert first["lm_head.weight"].data_ptr() == first["model.embed.weight"].data_ptr()


def test_an_untouched_bin_shard_is_as_it_was_and_damage_in_it_is_found(tmp_path: Path) -> None:
    index, out = tied(tmp_path), tmp_path / "out"
    assert thresh("gradient", index, "-t", CUT, "-k", "*embed*", "-O", out, "-q").status == 0
    name = shards(index.parent)[2].name
    assert (out / name).read_bytes() == (index.parent / name).read_bytes()
    data = bytearray((index.parent / name).read_bytes())
    data[len(data) // 2] ^= 1
    (index.parent / name).write_bytes(data)
    ran = thresh("gradient", index, "-t", CUT, "-k", "*embed*", "-O", tmp_path / "no")
    assert ran.status == 3
    assert "CRC-32" in ran.err
    assert index.name not in listed(tmp_path / "no")
    assert f"is not written: {index.parent / name} failed" in ran.err


@pytest.mark.parametrize("half", [b"\\ud800", b"\xed\xa0\x80"])
def test_half_a_character_in_an_index_is_written_as_it_can_be(index: Path, tmp_path: Path, half: bytes) -> None:
    """JSON can tell of it, in ASCII or not; the index is written anew since it has another size."""
    index.write_bytes(
        index.read_bytes().replace(b'"note"', b'"' + half + b'"').replace(b'"total_size"', b'"total\\u005fsize"')
    )
    out = tmp_path / "out"
    ran = thresh("gradient", index, "-t", CUT, "-k", "*.weight", "--out-dtype", "float64", "-O", out, "-q")
    assert (ran.status, ran.err) == (0, "")
    found = json.loads((out / index.name).read_bytes())
    assert "\ud800" in found["metadata"]
    assert found["metadata"]["total_size"] > json.loads(index.read_bytes())["metadata"]["total_size"]
