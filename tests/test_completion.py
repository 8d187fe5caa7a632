"""What a shell is told of: commands, options, names of tensors, devices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ones = np.ones(3, np.float32)
    save_file({"model.norm": ones, "model.mlp": ones, "head": ones}, tmp_path / "w.safetensors")
    save_file({"other": ones}, tmp_path / "o.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"none")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("bina", ["binary"]),
        ("binary --out-d", ["--out-dir", "--out-dtype"]),
        ("binary w.safetensors -k model.", ["model.mlp", "model.norm"]),
        (
            "gradient -t 0.1 w.safetensors o.safetensors bad.safetensors no.npy pipe -x ",
            ["head", "model.mlp", "model.norm", "other"],
        ),
        ("stats w.safetensors --tensor h", ["head"]),
        ("info w.safetensors -k h", ["head"]),
        ("diff w.safetensors o.safetensors -k o", ["other"]),
        ("binary -k model", []),
        ("binary w.safetensors -d c", ["cpu", "cuda"]),
    ],
)
def test_a_word_is_completed(words: str, offered: list[str], folder: Path) -> None:
    """Files that cannot be read have no names, and pipes are not waited for."""
    line = f"thresh {words}"
    env = {**os.environ, "_THRESH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "threshcli"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert sorted(done.stdout.split()) == offered
