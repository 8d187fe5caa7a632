"""Whole checkpoints through the command line, as people have them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.harness import thresh

CUT = 0.05


def checkpoint() -> dict[str, Any]:
    """A model with tied weights, its optimizer and scheduler after three steps, and whatever else people keep."""
    torch.manual_seed(0)
    encoder = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    head = torch.nn.Linear(16, 50, bias=False)
    model = torch.nn.Sequential(torch.nn.Embedding(50, 16), torch.nn.Linear(16, 16), encoder, head)
    head.weight = model[0].weight  # type: ignore[assignment]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, amsgrad=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randint(0, 50, (4, 7))).square().mean().backward()
        optimizer.step()
        schedule.step()
    state = model.state_dict()
    return {
        "epoch": 3,
        "model": state,
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "rng": torch.get_rng_state(),
        "args": {"name": "x", "rest": (1, 2.5, None, True, b"ab", 1 + 2j, 10**30, {1, 2}), "dtype": torch.float16},
        "half": {name: data.to(torch.bfloat16) for name, data in state.items()},
        "float8": torch.randn(10).to(torch.float8_e4m3fn),
        "complex": torch.randn(3, dtype=torch.complex64),
        "size": torch.Size([1, 2]),
        "transposed": state["1.weight"].t(),
        "sliced": torch.arange(100.0)[10:50:3] / 50,
        "expanded": torch.full((1,), 0.01).expand(4, 3),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "bool": torch.tensor([True, False]),
        "uint16": torch.tensor([0, 1, 65535], dtype=torch.uint16),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(0.01),
    }


def compare(before: Any, after: Any, name: str = "") -> None:
    """Structure, types, order and values; tensors as the rule `gradient -t 0.05` leaves them."""
    assert type(before) is type(after), name
    if isinstance(before, torch.Tensor):
        compare_tensors(before, after, name)
    elif isinstance(before, dict):
        assert list(before) == list(after), name
        assert getattr(before, "_metadata", None) == getattr(after, "_metadata", None)
        for key, value in before.items():
            compare(value, after[key], f"{name}.{key}")
    elif isinstance(before, list | tuple):
        assert len(before) == len(after), name
        for number, (a, b) in enumerate(zip(before, after, strict=True)):
            compare(a, b, f"{name}.{number}")
    else:
        assert before == after, name


def compare_tensors(before: torch.Tensor, after: torch.Tensor, name: str) -> None:
    assert (before.dtype, before.shape, before.requires_grad) == (after.dtype, after.shape, after.requires_grad), name
    if before.is_complex():
        assert torch.equal(before, after)
        return
    values = before.detach().to(torch.float64)
    cut = float(torch.tensor(CUT).to(before.dtype)) if before.is_floating_point() else CUT
    wanted = torch.where(values.abs() > cut, values, torch.zeros_like(values))
    assert torch.equal(after.detach().to(torch.float64), wanted), name


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.save(checkpoint(), tmp_path / "x.pt")
    return tmp_path


@pytest.mark.parametrize("mmap", [False, True])
def test_a_training_checkpoint_comes_out_with_all_it_had(mmap: bool, saved: Path) -> None:
    """Nesting, order, other values, ties, metadata, Parameters; torch and zip accept it; twice gives the same bytes."""
    for name in ("y", "z"):
        ran = thresh("gradient", saved / "x.pt", "-t", CUT, "-o", saved / f"{name}.pt", "-q")
        assert ran.status == 0, ran.err
    assert (saved / "y.pt").read_bytes() == (saved / "z.pt").read_bytes()
    with zipfile.ZipFile(saved / "y.pt") as archive:
        assert archive.testzip() is None
    after = torch.load(saved / "y.pt", weights_only=True, mmap=mmap)
    compare(torch.load(saved / "x.pt", weights_only=True), after)
    assert after["model"]["0.weight"].data_ptr() == after["model"]["3.weight"].data_ptr()
    assert after["model"]._metadata is not None
    assert after["transposed"].stride() == (1, 16)


def test_tensors_that_are_not_selected_keep_their_storages(saved: Path) -> None:
    """Views stay views of one storage where nothing of it is worked on."""
    ran = thresh("gradient", saved / "x.pt", "-t", CUT, "-k", "half.*", "-o", saved / "y.pt", "--json")
    assert ran.status == 0, ran.err
    before, after = (torch.load(saved / f"{name}.pt", weights_only=True) for name in "xy")
    for name in ("sliced", "expanded", "rng", "complex", "float8", "transposed"):
        assert after[name].stride() == before[name].stride()
        assert torch.equal(after[name].view(torch.uint8) if name == "float8" else after[name],
                           before[name].view(torch.uint8) if name == "float8" else before[name])  # fmt: skip
    assert after["transposed"].data_ptr() == after["model"]["1.weight"].data_ptr()
    applied = [item for item in ran.json["files"][0]["tensors"] if item["applied"]]
    assert {item["name"].split(".")[0] for item in applied} == {"half"}


def test_a_residual_of_a_checkpoint_holds_the_tensors_worked_on(saved: Path) -> None:
    """And no others; x = y + residual."""
    words = ("-k", "model.*", "-o", saved / "y.pt", "--residual", saved / "r.pt", "-q")
    assert thresh("gradient", saved / "x.pt", "-t", CUT, *words).status == 0
    before, after, left = (torch.load(saved / f"{name}.pt", weights_only=True) for name in "xyr")
    assert set(left) == {f"model.{name}" for name in before["model"]} - {"model.3.weight"}
    for name, data in before["model"].items():
        if f"model.{name}" in left:
            assert torch.equal(after["model"][name] + left[f"model.{name}"], data)


def test_damage_in_a_storage_is_found_by_its_checksum(saved: Path) -> None:
    """torch.load does not look; one flipped bit in any tensor is told, and nothing is written."""
    content = bytearray((saved / "x.pt").read_bytes())
    with zipfile.ZipFile(saved / "x.pt") as archive:
        records = [item for item in archive.infolist() if "/data/" in item.filename and item.file_size > 8]
    for record in records[:: max(1, len(records) // 7)]:
        name = len(record.filename)
        start = record.header_offset + 30 + name + int.from_bytes(content[record.header_offset + 28 :][:2], "little")
        damaged = bytearray(content)
        damaged[start + record.file_size // 2] ^= 4
        (saved / "d.pt").write_bytes(damaged)
        ran = thresh("gradient", saved / "d.pt", "-t", CUT, "-o", saved / "y.pt")
        assert ran.status == 4
        assert "CRC-32" in ran.err
        assert not (saved / "y.pt").exists()


def test_damage_in_a_map_is_found_and_named(saved: Path) -> None:
    """Maps in .pt are checked as inputs are."""
    maps = {"w": torch.rand(100)}
    torch.save(maps, saved / "m.pt")
    torch.save({"w": torch.rand(100)}, saved / "w.pt")
    words = ("variable", saved / "w.pt", "-t", f"@{saved}/m.pt", "-o", saved / "y.pt", "--overwrite")
    assert thresh(*words).status == 0
    content = bytearray((saved / "m.pt").read_bytes())
    place = content.find(maps["w"].numpy().tobytes())
    content[place + 100] ^= 1
    (saved / "m.pt").write_bytes(content)
    ran = thresh(*words)
    assert ran.status == 4
    assert "m.pt: is damaged" in ran.err


def test_checksums_are_right_where_a_storage_is_many_tiles(tmp_path: Path) -> None:
    """Pieces are read and written by several workers in any order; their CRC-32 are combined, and damage is found."""
    torch.save({"w": torch.randn(5 * 65536 + 77), "kept": torch.randn(3 * 65536 + 5)}, tmp_path / "x.pt")
    words = ("-t", CUT, "-k", "w", "-j", 3, "--max-memory", "1KiB", "--overwrite")
    for jobs in (1, 3):
        ran = thresh("gradient", tmp_path / "x.pt", *words, "-j", jobs, "-o", tmp_path / "y.pt")
        assert ran.status == 0, ran.err
        with zipfile.ZipFile(tmp_path / "y.pt") as archive:
            assert archive.testzip() is None
    content = bytearray((tmp_path / "x.pt").read_bytes())
    content[len(content) // 4] ^= 1
    (tmp_path / "x.pt").write_bytes(content)
    assert "CRC-32" in thresh("gradient", tmp_path / "x.pt", *words, "-o", tmp_path / "y.pt").err
