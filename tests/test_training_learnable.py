"""Thresholds that are learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import softplus

import threshcli as t
from tests.training import DTYPES, bits
from threshcli.errors import UsageError

BOTH = pytest.mark.parametrize("kind", [t.SoftThreshold, t.HardThreshold])
RULES: dict[Any, Callable[..., Tensor]] = {t.SoftThreshold: t.soft_threshold, t.HardThreshold: t.hard_threshold}


def back(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_output_is_that_of_the_rule(kind: Any, dtype: torch.dtype) -> None:
    x = torch.randn(50, generator=torch.Generator().manual_seed(1)).to(dtype)
    x[:4] = torch.tensor([float("nan"), float("inf"), -0.0, -float("inf")])
    layer = kind(0.4)
    assert layer.threshold.item() == pytest.approx(0.4)
    wanted = RULES[kind](x, layer.threshold.detach().to(dtype))
    assert bits(layer(x)) == bits(wanted)
    with torch.no_grad():
        assert bits(layer(x)) == bits(wanted)


@BOTH
@pytest.mark.parametrize(("shape", "dim"), [((2, 3, 4, 5), 1), ((2, 5, 3), -1), ((3,), 0), ((4, 3), 1)])
def test_each_channel_has_its_own_threshold(kind: Any, shape: tuple[int, ...], dim: int) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    layer = kind(num_channels=3, channel_dim=dim)
    with torch.no_grad():
        layer.raw.copy_(torch.tensor([-2.0, 0.0, 1.0]))
    parts = zip(torch.tensor_split(x, 3, dim), layer.threshold.tolist(), strict=True)
    wanted = torch.cat([RULES[kind](part, cut) for part, cut in parts], dim)
    assert torch.equal(layer(x).detach(), wanted)
    back(layer(x).square().sum())
    assert layer.raw.grad.shape == (3,)
    assert repr(layer).startswith(f"{kind.__name__}(num_channels=3, channel_dim={dim}")


def test_soft_gradients_are_those_of_finite_differences() -> None:
    layer = t.SoftThreshold(0.7, num_channels=3, dtype=torch.float64)
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64, requires_grad=True)

    def function(x: Tensor, raw: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(layer, {"raw": raw}, (x,))
        return found

    assert gradcheck(function, (x, layer.raw))
    assert gradgradcheck(function, (x, layer.raw))


@pytest.mark.parametrize("surrogate", ["sigmoid", "fast-sigmoid", "straight-through"])
def test_hard_gradients_are_those_of_a_smooth_gate(surrogate: Any) -> None:
    """Value and derivative of x * gate, with the gate's derivative that of the formula."""
    width = 0.3
    layer = t.HardThreshold(0.5, surrogate=surrogate, temperature=width, dtype=torch.float64)
    x = torch.linspace(-2, 2, 41, dtype=torch.float64).add(0.013).requires_grad_()
    y = layer(x)
    weights = torch.arange(41.0, dtype=torch.float64)
    to_x, to_raw = torch.autograd.grad((y * weights).sum(), (x, layer.raw))
    threshold = layer.threshold.item()
    u = (x.detach().abs() - threshold) / width
    slope = {
        "sigmoid": torch.exp(-u) / (1 + torch.exp(-u)) ** 2 / width,
        "fast-sigmoid": 1 / (1 + u.abs()) ** 2 / width,
        "straight-through": torch.ones_like(u),
    }[surrogate]
    gate = (x.detach().abs() >= threshold).double()
    assert torch.allclose(to_x, weights * (gate + x.detach().abs() * slope))
    raw = layer.raw.detach()
    wanted = (-(weights * x.detach() * slope).sum()) * torch.sigmoid(raw)
    assert torch.allclose(to_raw, wanted)

    def function(x: Tensor, raw: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(layer, {"raw": raw}, (x,))
        return found

    tangents = torch.linspace(0, 1, 41, dtype=torch.float64), torch.full_like(raw, 3)
    forward = torch.func.jvp(function, (x.detach(), raw), tangents)[1]
    assert torch.allclose((forward * weights).sum(), (to_x * tangents[0]).sum() + (to_raw * tangents[1]).sum())


def test_without_a_surrogate_the_gate_does_not_learn() -> None:
    layer = t.HardThreshold(0.5, surrogate="none")
    x = torch.tensor([1.0, 0.2], requires_grad=True)
    back(layer(x).sum())
    assert x.grad is not None
    assert x.grad.tolist() == [1, 0]
    assert layer.raw.grad is None


@BOTH
def test_a_threshold_stays_above_0_and_learns_what_it_should(kind: Any) -> None:
    """Towards the one that the data was made with, from either side, and never below 0."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2000, generator=generator)
    target = RULES[kind](x, 0.8)
    for init in (0.05, 2.5):
        layer = kind(init) if kind is t.SoftThreshold else kind(init, temperature=0.1)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
        for _ in range(250):
            optimizer.zero_grad()
            back((layer(x) - target).square().mean())
            optimizer.step()
            assert layer.threshold.item() > 0
        assert layer.threshold.item() == pytest.approx(0.8, abs=0.1)


@BOTH
def test_they_are_compiled_copied_and_saved_like_other_modules(kind: Any) -> None:
    import copy

    layer = kind(0.3, num_channels=2)
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(6))
    compiled: Any = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x), layer(x))
    back(compiled(x).square().sum())
    first, layer.raw.grad = layer.raw.grad.clone(), None
    back(layer(x).square().sum())
    assert torch.allclose(first, layer.raw.grad)
    other = kind(1.0, num_channels=2)
    other.load_state_dict(copy.deepcopy(layer).state_dict())
    assert torch.equal(other(x), layer(x))


@pytest.mark.parametrize("init", [1e-6, 0.1, 1.0, 30.0, 1e4])
def test_a_threshold_starts_where_it_was_asked_to(init: float) -> None:
    layer = t.SoftThreshold(init, dtype=torch.float64)
    assert layer.threshold.item() == pytest.approx(init, rel=1e-9)
    assert torch.allclose(layer.threshold, softplus(layer.raw))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"init": 0.0}, "init is 0.0"),
        ({"init": float("inf")}, "init is inf"),
        ({"num_channels": 0}, "num_channels is 0"),
        ({"surrogate": "smooth"}, "surrogate is 'smooth'"),
        ({"temperature": 0.0}, "temperature is 0.0"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        t.HardThreshold(**options)


@BOTH
def test_other_channels_are_refused(kind: Any) -> None:
    for shape in ((4, 2), (3,)):
        with pytest.raises(UsageError, match="thresholds for 3 channels along axis 1"):
            kind(num_channels=3)(torch.zeros(shape))


class Unrolled(nn.Module):
    """LISTA: iterative shrinkage with matrices and thresholds of its own (Gregor & LeCun 2010)."""

    def __init__(self, dictionary: Tensor, rounds: int, weight: float) -> None:
        super().__init__()
        step = 1 / float(torch.linalg.matrix_norm(dictionary, 2) ** 2)
        self.encode = nn.Parameter(step * dictionary.T)
        self.again = nn.Parameter(torch.eye(dictionary.shape[1]) - step * dictionary.T @ dictionary)
        self.shrink = nn.ModuleList(
            t.SoftThreshold(step * weight, num_channels=dictionary.shape[1]) for _ in range(rounds)
        )

    def forward(self, signals: Tensor) -> Tensor:
        first = signals @ self.encode.T
        codes: Tensor = self.shrink[0](first)
        for shrink in self.shrink[1:]:
            codes = shrink(first + codes @ self.again.T)
        return codes


def test_unrolled_shrinkage_learns_to_beat_as_many_rounds_of_ista() -> None:
    """It starts as ISTA; then, on codes not seen before, it errs by far less than that at its best weight."""
    generator = torch.Generator().manual_seed(8)
    torch.manual_seed(8)
    dictionary = torch.randn(20, 40, generator=generator)
    dictionary /= dictionary.norm(dim=0)

    def codes(count: int) -> Tensor:
        present = torch.rand(count, 40, generator=generator) < 0.08
        return torch.where(present, torch.randn(count, 40, generator=generator), 0)

    unseen = codes(1000)

    def error(model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(unseen @ dictionary.T) - unseen).square().sum() / unseen.square().sum())

    ista = min(error(Unrolled(dictionary, 3, weight)) for weight in (0.003, 0.01, 0.03, 0.1, 0.3))
    model = Unrolled(dictionary, 3, weight=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        seen = codes(200)
        optimizer.zero_grad()
        back((model(seen @ dictionary.T) - seen).square().mean())
        optimizer.step()
    assert error(model) < 0.7 * ista
