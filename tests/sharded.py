"""Sharded checkpoints as libraries save them, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

CUT = 0.05
Tensors = Mapping[str, torch.Tensor]


def model(shards: int = 5) -> list[dict[str, torch.Tensor]]:
    """Matrices in bfloat16 and norms in float32 over so many shards; the last holds what no rule for floats takes."""
    torch.manual_seed(4)
    parts: list[dict[str, torch.Tensor]] = [{"model.embed.weight": _matrix(40, 24)}]
    parts += [
        {f"model.{layer}.norm.weight": torch.ones(24), f"model.{layer}.proj.weight": _matrix(24, 70)}
        for layer in range(shards - 2)
    ]
    return [*parts, {"model.positions": torch.arange(30), "model.mask": torch.tensor([True, False, True])}]


def _matrix(rows: int, columns: int) -> torch.Tensor:
    return (torch.randn(rows, columns) * 0.05).to(torch.bfloat16)


def write_checkpoint(
    folder: Path, parts: Sequence[Tensors], *, kind: str = "safetensors", more: Mapping[str, object] | None = None
) -> Path:
    """The shards and their index, as transformers writes them; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    stem, extension = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    weights: dict[str, str] = {}
    total = 0
    for number, tensors in enumerate(parts, 1):
        name = f"{stem}-{number:05d}-of-{len(parts):05d}.{extension}"
        if kind == "safetensors":
            save_file(dict(tensors), folder / name, metadata={"format": "pt"})
        else:
            torch.save(dict(tensors), folder / name)
        weights |= dict.fromkeys(tensors, name)
        total += sum({item.data_ptr(): item.nbytes for item in tensors.values()}.values())
    document = {"metadata": {"total_size": total, **(more or {})}, "weight_map": weights}
    path = folder / f"{stem}.{extension}.index.json"
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    return path


def pruned(data: torch.Tensor, cut: float) -> torch.Tensor:
    """What `gradient -t cut` makes of floats, by the bits that stay."""
    wide = data.to(torch.float64)
    return torch.where(wide.abs() > float(torch.tensor(cut).to(data.dtype)), data, torch.zeros_like(data))


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A checkpoint in the folder `in`, whose metadata tells more than others do."""
    return write_checkpoint(tmp_path / "in", model(), more={"total_parameters": 99, "note": {"b": 1, "a": "é"}})


def shards(folder: Path) -> list[Path]:
    """All files of a folder but the index."""
    return [path for path in sorted(folder.iterdir()) if path.suffix != ".json"]
