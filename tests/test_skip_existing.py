"""--skip-existing leaves what is done, and only that: outputs that are complete, of this recipe and of this input."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.harness import listed, refused, thresh

HINT = "--overwrite to make it again"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with a file of each format."""
    folder = tmp_path / "in"
    folder.mkdir()
    torch.manual_seed(2)
    np.save(folder / "a.npy", np.random.default_rng(3).standard_normal((40, 32)).astype("f4"))
    save_file(
        {"w.weight": torch.randn(16, 32), "ids": torch.arange(5)}, folder / "b.safetensors", metadata={"format": "pt"}
    )
    data = torch.randn(64, 8)
    torch.save({"w": data, "tied": data, "more": {"v": torch.randn(100), "step": 3}}, folder / "c.pt")
    return folder


def marks(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """What tells whether a file was written anew."""
    found = {}
    for path in sorted(folder.iterdir()):
        stat = path.stat()
        found[path.name] = stat.st_ino, stat.st_mtime_ns, path.read_bytes()
    return found


RECIPES: dict[str, tuple[str, ...]] = {
    "number": ("gradient", "-t", "0.5"),
    "selection": ("gradient", "-t", "0.5", "-k", "w*", "-k", "a"),
    "mask": ("binary", "-t", "0.25", "--out-dtype", "bool"),
    "calculated": ("soft", "-t", "0.3", "-x", "ids"),
    "nan": ("replace", "-t", "0", "--value", "7", "--nan", "fill=3"),
    "percentile": ("gradient", "-t", "p60"),
    "rank": ("gradient", "-t", "top10"),
    "file": ("gradient", "-t", "zero50%", "--scope", "file", "-x", "ids"),
    "global": ("gradient", "-t", "top10%", "--scope", "global", "-x", "ids"),
    "axis": ("clamp", "--low", "p10", "--high", "p90", "--scope", "axis:0"),
    "window": ("binary", "-t", "local-mean:3"),
    "neighbours": ("nm", "-t", "2:4", "-x", "ids", "-x", "more*"),
    "components": ("hysteresis", "--low", "0.1", "--high", "0.9"),
    "bits": ("binary", "-t", "0.5", "--pack", "bits", "--to", "safetensors"),
    "bitmask": ("gradient", "-t", "0.5", "-x", "ids", "-x", "more*", "--pack", "bitmask", "--to", "safetensors"),
    "private": ("gradient", "-t", "0.5", "--no-provenance"),
    "residual": ("gradient", "-t", "0.5", "--residual", "{dir}/../left-{name}"),
}


@pytest.mark.parametrize("what", RECIPES)
def test_what_is_done_stays_as_it_is(what: str, inputs: Path, tmp_path: Path) -> None:
    """For every kind of threshold, rule and output; what is missing is made."""
    command, *words = RECIPES[what]
    call = (command, *sorted(inputs.iterdir()), *words, "-O", tmp_path / "out")
    assert (ran := thresh(*call, "-q")).status == 0, ran.err
    before = marks(tmp_path / "out")
    ran = thresh(*call, "--skip-existing", "--json")
    assert ran.status == 0, ran.err
    assert {file["status"] for file in ran.json["files"]} == {"skipped"}
    assert marks(tmp_path / "out") == before
    gone = sorted((tmp_path / "out").iterdir())[1]
    gone.unlink()
    if what == "residual":
        (tmp_path / "left-b.safetensors").unlink()
    ran = thresh(*call, "--skip-existing", "--json")
    assert [file["status"] for file in ran.json["files"]] == ["skipped", "written", "skipped"], ran.err
    after = marks(tmp_path / "out")
    assert {name: mark[2] for name, mark in after.items()} == {name: mark[2] for name, mark in before.items()}
    assert [name for name in after if after[name][:2] == before[name][:2]] == [n for n in after if n != gone.name]


OTHERS: dict[str, tuple[str, ...]] = {
    "threshold": ("gradient", "-t", "0.51"),
    "rule": ("binary", "-t", "0.5"),
    "dtype": ("gradient", "-t", "0.5", "--out-dtype", "float64"),
    "worked out": ("gradient", "-t", "p50"),
    "limits": ("clamp", "--low", "-0.5", "--high", "0.5"),
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("more", [(), ("--no-provenance",)])
def test_an_output_of_another_recipe_is_told(what: str, more: tuple[str, ...], inputs: Path, tmp_path: Path) -> None:
    """In every format, with and without provenance; nothing is written."""
    out = tmp_path / "out"
    assert thresh("gradient", *sorted(inputs.iterdir()), "-t", 0.5, "-O", out, "-q", *more).status == 0
    before = marks(out)
    command, *words = OTHERS[what]
    for path in sorted(inputs.iterdir()):
        ran = thresh(command, path, *words, "-O", out, "--skip-existing", *more)
        refused(ran, 5, f"{out / path.name}: exists already", HINT)
    assert marks(out) == before


def test_the_recipe_of_an_output_is_named_as_the_reason(inputs: Path, tmp_path: Path) -> None:
    """Where it can be read."""
    call = ("gradient", inputs / "b.safetensors", "-O", tmp_path / "out")
    assert thresh(*call, "-t", 0.5, "-q").status == 0
    refused(thresh(*call, "-t", 0.6, "--skip-existing"), 5, "made with another recipe")
    refused(thresh(*call, "-t", 0.5, "--no-provenance", "--skip-existing"), 5, "bytes in place of")


def other_values(path: Path) -> None:
    """The same header over other elements."""
    if path.suffix == ".npy":
        np.save(path, np.load(path) + 1)
    elif path.suffix == ".safetensors":
        save_file({name: data * 2 for name, data in load_file(path).items()}, path, metadata={"format": "pt"})
    else:
        data = torch.load(path, weights_only=True)
        data["more"]["v"] += 1
        torch.save(data, path)


@pytest.mark.parametrize("words", [("-t", "0.5"), ("-t", "p60"), ("-t", "top50%", "--scope", "global")])
def test_an_output_of_another_input_is_told_whatever_their_times(
    words: tuple[str, ...], inputs: Path, tmp_path: Path
) -> None:
    """The elements are compared; an output that is older than its input is not another for that."""
    call = ("gradient", *sorted(inputs.iterdir()), *words, "-x", "ids", "-O", tmp_path / "out")
    assert thresh(*call, "-q").status == 0
    for path in (tmp_path / "out").iterdir():
        os.utime(path, (0, 0))
    assert thresh(*call, "--skip-existing", "-q").status == 0
    for path in inputs.iterdir():
        other_values(path)
        os.utime(path, (0, 0))
    ran = thresh(*call, "--skip-existing")
    assert ran.status == 5
    assert ran.err.count("exists already") == 3


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda raw: raw[:-1],
    "cut in its header": lambda raw: raw[:20],
    "empty": lambda raw: b"",
    "longer": lambda raw: raw + b"\0",
    "zeros": lambda raw: bytes(len(raw)),
    "other header": lambda raw: raw[:9] + bytes([raw[9] ^ 1]) + raw[10:],
    "other elements": lambda raw: raw[: len(raw) // 2] + bytes(255 - byte for byte in raw[len(raw) // 2 :]),
    "text": lambda raw: b"mine",
}


@pytest.mark.parametrize("words", [("-t", "0.5"), ("-t", "p60")])
@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_no_complete_output_is_told(what: str, words: tuple[str, ...], inputs: Path, tmp_path: Path) -> None:
    """And left as it is, unless it may be replaced: then that file alone is made again."""
    call = ("gradient", *sorted(inputs.iterdir()), *words, "-O", tmp_path / "out", "--skip-existing")
    assert thresh(*call, "-q").status == 0
    good = marks(tmp_path / "out")
    for name in listed(inputs):
        path = tmp_path / "out" / name
        path.write_bytes(DAMAGE[what](path.read_bytes()))
        before = marks(tmp_path / "out")
        ran = thresh(*call)
        assert ran.status == 3
        assert ran.err.startswith(f"thresh: error: {path}: exists already, ")
        assert HINT in ran.err
        assert marks(tmp_path / "out") == before
        ran = thresh(*call, "--overwrite", "--json")
        assert [file["output"] for file in ran.json["files"] if file["status"] == "written"] == [str(path)]
        assert path.read_bytes() == good[name][2]


def test_an_output_that_cannot_be_read_is_told(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threshcli.storage import local

    call = ("gradient", inputs / "a.npy", "-t", 0.5, "-O", tmp_path / "out", "--skip-existing")
    assert thresh(*call, "-q").status == 0
    opened = local._open

    def failing(name: str, *more: Any) -> tuple[int, str]:
        if name.startswith(str(tmp_path / "out")):
            raise PermissionError(13, "Permission denied")
        return opened(name, *more)

    monkeypatch.setattr(local, "_open", failing)
    refused(thresh(*call), 5, "and is not complete: cannot be read: Permission denied")


def test_the_input_itself_is_no_output_that_is_done(inputs: Path) -> None:
    ran = thresh("gradient", inputs / "a.npy", "-t", 0.5, "-o", inputs / "a.npy", "--skip-existing")
    refused(ran, 5, "is the input itself")


def test_in_place_nothing_can_be_skipped(inputs: Path) -> None:
    ran = thresh("gradient", inputs / "a.npy", "-t", 0.5, "--in-place", "--skip-existing")
    refused(ran, 2, "--in-place", "--skip-existing")


def test_a_dry_run_tells_what_would_be_skipped(inputs: Path, tmp_path: Path) -> None:
    call = ("gradient", inputs / "a.npy", inputs / "b.safetensors", "-O", tmp_path / "out", "-t")
    assert thresh(*call, "p60", "-q").status == 0
    (tmp_path / "out" / "a.npy").unlink()
    ran = thresh(*call, "p60", "--skip-existing", "-n", "--json")
    assert [file["status"] for file in ran.json["files"]] == ["dry-run", "skipped"]
    assert thresh(*call, "p61", "--skip-existing", "-n").status == 3
