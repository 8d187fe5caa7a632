"""The example of sparse training shows what it says, and the benchmark of training compares like with like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.bench import steps

ROOT = Path(__file__).parent.parent
MARGIN = 0.03


def test_with_error_feedback_a_hundredth_of_the_gradients_does_and_without_it_does_not() -> None:
    command = [sys.executable, str(ROOT / "sample_data" / "sparse_training.py")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=ROOT)
    title, *lines = ran.stdout.splitlines()
    assert title.split() == ["GRADIENTS", "SPARSITY", "LOSS", "ACCURACY"]
    cells = [line.rsplit(maxsplit=3) for line in lines]
    loss = {name: float(shown) for name, _, shown, _ in cells}
    dense, fed_back, alone = loss["all gradients"], loss["zero99%, error feedback"], loss["zero99%, none"]
    assert dense < 0.1
    assert fed_back < dense + MARGIN < alone
    assert [share for _, share, _, _ in cells] == ["0.0%", "99.0%", "99.0%"]
    source = (ROOT / "sample_data" / "sparse_training.py").read_text(encoding="utf-8")
    assert f"\nMARGIN = {MARGIN}\n" in source
    assert f"a margin of {MARGIN} " in source


def grads_of(model: torch.nn.Module) -> list[Tensor]:
    return [item.grad for item in model.parameters() if item.grad is not None]


@pytest.mark.parametrize(
    ("ours", "by_hand"), [("number", "foreach"), ("number", "hardshrink"), ("zero", "foreach_kthvalue")]
)
def test_what_is_measured_of_training_does_the_same_as_by_hand(ours: str, by_hand: str) -> None:
    models = [steps.model_of(20_000) for _ in range(2)]
    optimizer = torch.optim.SGD(models[0].parameters(), lr=0.0)
    steps.hook(optimizer, ours)()
    steps.BY_HAND[by_hand](grads_of(models[1]))
    for found, wanted in zip(*map(grads_of, models), strict=True):
        assert torch.equal(found, wanted)
        assert found.numel() < 10 or 0 < found.count_nonzero() < found.numel()


def test_a_step_is_measured_in_every_way() -> None:
    assert sum(map(torch.Size.numel, map(torch.Size, steps.shapes(25_000_000)))) == pytest.approx(25e6, rel=0.01)
    for name in (*steps.BY_HAND, *steps.OURS):
        assert 0 < steps.seconds(steps.model_of(20_000), name) < 60
