"""Batches of many small files: what is worked out once for files alike changes nothing of what becomes of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import listed, refused, thresh
from threshcli.executors.sharing import shares
from threshcli.plan.alike import Planner
from threshcli.plan.files import FilePlan, plan_file
from threshcli.plan.maps import MapFiles
from threshcli.plan.names import Job, Names
from threshcli.plan.request import Request
from threshcli.rules.binary import Binary
from threshcli.storage.local import Source, Target
from threshcli.thresholds import parse

RNG = np.random.default_rng(5)


def write(path: Path, data: Any) -> Path:
    """An .npy, or a .safetensors of two tensors, by the path's extension."""
    if path.suffix == ".npy":
        np.save(path, data)
    else:
        from safetensors.numpy import save_file

        save_file({"a": data, "b": np.ascontiguousarray(data[::-1])}, path)
    return path


def batch(folder: Path, suffix: str) -> list[Path]:
    """Files that are alike, and some among them that are not: another shape, dtype, order, length, or damaged."""
    folder.mkdir()
    files = [write(folder / f"x{n}{suffix}", RNG.standard_normal(64).astype("f4")) for n in range(5)]
    files.append(write(folder / f"long{suffix}", RNG.standard_normal(65).astype("f4")))
    files.append(write(folder / f"wide{suffix}", RNG.standard_normal(64)))
    files.append(write(folder / f"nan{suffix}", np.array([np.nan, 1, *range(62)], "f4")))
    short = folder / f"short{suffix}"
    short.write_bytes(files[0].read_bytes()[:-1])
    return [*files[:3], short, *files[5:], *files[3:5]]


def plain(report: Any) -> Any:
    """The files of a report, without what differs from run to run."""
    for file in report["files"]:
        del file["seconds"], file["output"]
    return report["files"]


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
@pytest.mark.parametrize(
    "words",
    [
        "binary -t 0.5",
        "gradient -t 0.5 --residual {folder}/left-{{stem}}{{ext}}",
        "hard -t p50 --scope file",
        "hysteresis --low 0.2 --high 0.9",
        "variable -t @{map} --broadcast",
        "binary -t 0.5 --to safetensors",
        "binary -t 0.5 --nan error",
    ],
)
def test_a_batch_gives_what_each_file_gives_alone(words: str, suffix: str, tmp_path: Path) -> None:
    """Bytes, counts, warnings and errors, whatever came before in the same call."""
    files = batch(tmp_path / "in", suffix)
    np.save(tmp_path / "map.npy", np.float32(0.25))
    together, alone = tmp_path / "together", tmp_path / "alone"
    for folder in (together, alone):
        folder.mkdir()
    fill = {"map": tmp_path / "map.npy"}
    given = words.format(folder=together, **fill).split()
    ran = thresh(*given, *files, "-O", together / "out", "--json")
    assert ran.status == 3, ran.err
    single = []
    for path in files:
        one = thresh(*words.format(folder=alone, **fill).split(), path, "-O", alone / "out", "--json")
        single += plain(one.json)
    told = json.dumps(plain(ran.json)).replace(str(together), str(alone))
    assert json.loads(told) == json.loads(json.dumps(single))
    for inside in ("", "out"):
        assert listed(together / inside) == listed(alone / inside)
        for path in (together / inside).iterdir():
            assert path.is_dir() or path.read_bytes() == (alone / inside / path.name).read_bytes()


def test_an_error_names_the_file_and_the_tensor_that_it_is_about(tmp_path: Path) -> None:
    """Not those of the first file alike."""
    for name, value in (("good", 1.0), ("bad", np.nan)):
        np.save(tmp_path / f"{name}.npy", np.array([value, 2], "f4"))
    files = tmp_path / "good.npy", tmp_path / "bad.npy"
    ran = thresh("binary", *files, "-t", "0.5", "--nan", "error", "-O", tmp_path / "out")
    refused(ran, 3, "bad.npy", "tensor 'bad' holds NaN")
    assert listed(tmp_path / "out") == ["good.npy"]


def request(**more: Any) -> Request:
    names = Names(out_dir="out", rule="binary")
    thresholds = {"threshold": parse("0.5")}
    return Request.of(
        rule=Binary(), command="binary", thresholds=thresholds, specs={"threshold": "0.5"}, names=names, **more
    )


def planned(planner: Planner, path: Path) -> FilePlan:
    job = Job(str(path), str(path.parent / "out" / path.name))
    with Source(str(path)) as source:
        found = planner.plan(job, source)
        assert found._replace(kept={}) == plan_file(planner.request, job, source, planner.maps)
    return found


def test_files_with_the_same_header_share_what_was_made_of_it(tmp_path: Path) -> None:
    """And no others do."""
    files = batch(tmp_path / "in", ".npy")
    planner = Planner(request(), MapFiles(), strict=False)
    first, second, wide = (planned(planner, path) for path in (files[0], files[1], tmp_path / "in" / "wide.npy"))
    assert first.kept is second.kept
    assert wide.kept is not first.kept
    assert [item.name for item in second.tensors] == ["x1"]


def test_headers_are_forgotten_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with their number; one that is longer than what there is room for is not kept at all."""
    monkeypatch.setattr("threshcli.plan.alike._ROOM", 300)
    planner = Planner(request(), MapFiles(), strict=False)
    plans = [planned(planner, write(tmp_path / f"{n}.npy", np.zeros(n, "f4"))) for n in (1, 2, 3, 1)]
    assert len({id(plan.kept) for plan in plans}) == 4
    monkeypatch.setattr("threshcli.plan.alike._ROOM", 10)
    planner = Planner(request(), MapFiles(), strict=False)
    again = [planned(planner, tmp_path / "1.npy") for _ in range(2)]
    assert again[0].kept is not again[1].kept


def test_a_held_output_is_on_disk_when_it_is_complete(tmp_path: Path) -> None:
    """Not a byte before; without a commit there is nothing to remove."""
    for end in (Target.commit, Target.discard):
        target = Target(str(tmp_path / "y"), 6, replace=False, fsync=False, held=True)
        target.write(3, b"def")
        target.write(0, memoryview(b"abc"))
        assert target.read(2, 2) == b"cd"
        assert listed(tmp_path) == []
        end(target)
        if end is Target.commit:
            assert (tmp_path / "y").read_bytes() == b"abcdef"
            (tmp_path / "y").unlink()
    assert listed(tmp_path) == []


def test_a_source_that_is_held_gives_what_it_was(tmp_path: Path) -> None:
    """Also when it is truncated meanwhile; that it has changed is told at the end."""
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    with Source(str(path)) as source:
        source.hold()
        path.write_bytes(b"")
        room = bytearray(3)
        source.read_into(7, memoryview(room))
        assert (source.read(2, 3), bytes(room)) == (b"234", b"789")
        with pytest.raises(ValueError, match="truncated"):
            source.read_into(8, memoryview(room))
        with pytest.raises(ValueError, match="changed"):
            source.check_unchanged()


def test_tensors_alike_share_their_work_and_nothing_else(tmp_path: Path) -> None:
    """Of those that differ in dtype, shape, threshold or what is left of them each has its own."""
    from safetensors.numpy import save_file

    tensors = {name: RNG.standard_normal(40).astype("f4") for name in ("a", "b", "c")}
    tensors |= {
        "wide": tensors["a"].astype("f8"),
        "flat": tensors["a"].reshape(8, 5),
        "bad": np.array([np.nan] * 40, "f4"),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    words = ("gradient", "-t", "top7", "--residual", tmp_path / "r.safetensors")
    ran = thresh(*words, tmp_path / "x.safetensors", "-o", tmp_path / "y.safetensors", "-x", "bad", "-v", "--json")
    assert ran.status == 0, ran.err
    told = {item["name"]: item for item in ran.json["files"][0]["tensors"]}
    for name, data in tensors.items():
        save_file({name: data}, tmp_path / "one.safetensors")
        if name != "bad":
            one = thresh("gradient", tmp_path / "one.safetensors", "-t", "top7", "-n", "--json")
            alone = thresh(
                "gradient", tmp_path / "one.safetensors", "-t", "top7", "-o", tmp_path / f"{name}.pt", "--json"
            )
            assert (one.status, told[name]) == (0, alone.tensor)
    ran = thresh("binary", tmp_path / "x.safetensors", "-t", "0", "--nan", "error", "-o", tmp_path / "z.safetensors")
    refused(ran, 4, "tensor 'bad' holds NaN")


def test_shares_end_where_their_files_are_many_or_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing waits long to be told of."""
    monkeypatch.setattr("threshcli.executors.sharing._MOST_BYTES", 2000)
    monkeypatch.setattr("threshcli.executors.sharing._FIRST_FILES", 5)
    jobs = []
    for number, size in enumerate([900, 900, 900, 10, 10, 10, 10, 10, 10]):
        (tmp_path / f"{number}.npy").write_bytes(bytes(size))
        jobs.append(Job(str(tmp_path / f"{number}.npy"), None))
    assert [(share.start, len(share.jobs)) for share in shares(jobs, 2)] == [(0, 3), (3, 6)]
    monkeypatch.setattr("threshcli.executors.sharing._MOST_FILES", 4)
    assert [len(share.jobs) for share in shares(jobs[3:], 2)] == [5, 1]
    assert [len(share.jobs) for share in shares(jobs[:2], 2, alone=True)] == [1, 1]
