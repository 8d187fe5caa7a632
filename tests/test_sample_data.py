"""The sample files are what their script makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SAMPLES = Path(__file__).parent.parent / "sample_data"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which make.py has just worked."""
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run([sys.executable, str(SAMPLES / "make.py"), str(folder)], check=True)
    return folder


def test_every_sample_comes_from_the_script_and_is_small(made: Path) -> None:
    names, again = (
        {str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file() and ".py" not in path.suffix}
        for folder in (SAMPLES, made)
    )
    assert names == again
    assert all((SAMPLES / name).stat().st_size < 200_000 for name in names)


@pytest.mark.parametrize(
    "name",
    [
        *("prob.npy", "limits.npy", "volume.npy", "signal.npy", "weights.safetensors"),
        *(f"checkpoint/model-0000{number}-of-00002.safetensors" for number in (1, 2)),
        "checkpoint/model.safetensors.index.json",
        "prune.toml",
    ],
)
def test_the_script_writes_the_same_bytes_again(name: str, made: Path) -> None:
    assert (made / name).read_bytes() == (SAMPLES / name).read_bytes()


def test_the_gradients_come_out_alike_again(made: Path) -> None:
    """Their last bits depend on the processor, so their values are compared, not their bytes."""
    old, new = (torch.load(folder / "grads.pt", weights_only=True) for folder in (SAMPLES, made))
    assert old.keys() == new.keys()
    assert old["step"] == new["step"]
    torch.testing.assert_close(new["grads"], old["grads"])
    torch.testing.assert_close(new["optimizer"]["state"], old["optimizer"]["state"])
