"""ThresholdedLinear, backward_threshold and thresholded_loss: what a training loop calls by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import threshcli as t
from tests.training import DTYPES, gradients, same
from threshcli.errors import UsageError


def back(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here


@pytest.mark.parametrize("bias", [True, False])
def test_the_third_recipe_runs_as_it_is_typed(bias: bool) -> None:
    """After backward() every parameter's gradient loses what is not above the threshold, as by torch.where."""
    torch.manual_seed(0)
    model = t.ThresholdedLinear(10, 5, threshold=0.01, bias=bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = nn.functional.mse_loss(model(torch.randn(32, 10) / 10), torch.randn(32, 5))
    back(loss)
    grads = [item.grad.clone() for item in model.parameters() if item.grad is not None]
    before = [item.detach().clone() for item in model.parameters()]
    found = model.backward_threshold()
    wanted = [torch.where(grad.abs() > 0.01, grad, torch.zeros_like(grad)) for grad in grads]
    optimizer.step()
    for item, old, grad in zip(model.parameters(), before, wanted, strict=True):
        assert item.grad is not None
        assert torch.equal(item.grad, grad)
        assert torch.equal(item.detach(), old - 0.1 * grad)
    kept = sum(int(grad.count_nonzero()) for grad in wanted)
    assert 0 < kept < found.total.elements
    assert found.kept_share == kept / sum(grad.numel() for grad in grads)
    assert len(grads) == 1 + bias


def test_its_threshold_is_an_attribute_and_its_state_that_of_a_linear_layer() -> None:
    layer = t.ThresholdedLinear(3, 2, "top1", dtype=torch.float64)
    assert repr(layer) == "ThresholdedLinear(in_features=3, out_features=2, bias=True, threshold='top1')"
    nn.Linear(3, 2).load_state_dict(layer.state_dict())
    back(layer(torch.ones(3, dtype=torch.float64)).sum())
    assert layer.backward_threshold().total.kept == 2
    layer.threshold = {"bias": 0.5}
    assert list(layer.backward_threshold().parameters) == ["bias"]
    with pytest.raises(UsageError, match="the threshold is -1"):
        t.ThresholdedLinear(3, 2, -1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_parameters_are_thresholded_alone_or_together(dtype: torch.dtype) -> None:
    grads = gradients(3, dtype)
    for scope in ("tensor", "global"):
        pairs = [(name, nn.Parameter(torch.zeros_like(grad))) for name, grad in grads.items()]
        for name, parameter in pairs:
            parameter.grad = grads[name].clone()
        pairs.append(("without", nn.Parameter(torch.zeros(2))))
        found = t.backward_threshold(iter(pairs), "top9", scope=scope)
        kept = {name: item.kept for name, item in found.parameters.items()}
        assert kept == (
            {"b": 9, "a": 9, "c": 9, "one": 1, "none": 0} if scope == "tensor" else kept | {"one": 0, "none": 0}
        )
        assert sum(kept.values()) == (28 if scope == "tensor" else 9)
    (_, parameter), *_ = pairs
    wanted = t.gradient_threshold(grads["b"], 1.5)
    parameter.grad = grads["b"].clone()
    assert t.backward_threshold(parameter, 1.5).parameters.keys() == {"0"}
    same({"b": parameter.grad}, {"b": wanted})


@pytest.mark.parametrize("given", [3, [3], ["weight"], [("weight", 3)]])
def test_what_has_no_gradients_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match=r"has no parameters|is no parameter"):
        t.backward_threshold(given, 1)


def test_statistics_of_nothing_are_those_of_nothing_lost() -> None:
    found = t.backward_threshold(nn.Linear(2, 2), 1)
    assert (found.kept_share, found.norm_kept, found.sparsity, found.total.elements) == (1.0, 1.0, 0.0, 0)


LOSSES = torch.tensor([[0.1, 2.0, 0.3], [4.0, 0.5, 0.0]], dtype=torch.float64)


def by_hand(losses: Tensor, counts: Tensor, weight: float, reduction: str) -> Tensor:
    """sum(w * loss) / sum(w), element by element."""
    weights = [1.0 if chosen else weight for chosen in counts.reshape(-1).tolist()]
    parts = [w * loss for w, loss in zip(weights, losses.reshape(-1), strict=True)]
    if reduction == "none":
        return torch.stack(parts).reshape(losses.shape)
    total = torch.stack(parts).sum()
    return total if reduction == "sum" else total / sum(weights)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [0.0, 0.25, 1, 3.5])
@pytest.mark.parametrize(
    ("threshold", "options", "counts"),
    [
        (0.4, {}, LOSSES > 0.4),
        (0.5, {"compare": "ge"}, LOSSES >= 0.5),
        (1.0, {"compare": "lt"}, LOSSES < 1),
        ("top2", {}, LOSSES >= 2),
        ("p50", {}, LOSSES > 0.4),
        (torch.full((2, 3), 0.3), {}, LOSSES > 0.3),
        (torch.tensor([[0.2], [1.0]]), {"broadcast": True}, torch.tensor([[0.2], [1.0]]) < LOSSES),
    ],
)
def test_a_thresholded_loss_and_its_gradient_are_those_of_the_formula(
    threshold: Any, options: Any, counts: Tensor, weight: float, reduction: Any
) -> None:
    found_for, wanted_for = LOSSES.clone().requires_grad_(), LOSSES.clone().requires_grad_()
    found = t.thresholded_loss(found_for, threshold, weight=weight, reduction=reduction, **options)
    wanted = by_hand(wanted_for, counts, weight, reduction)
    assert torch.allclose(found, wanted)
    back(found.square().sum())
    back(wanted.square().sum())
    assert found_for.grad is not None
    assert wanted_for.grad is not None
    assert torch.allclose(found_for.grad, wanted_for.grad)


@pytest.mark.parametrize("dtype", DTYPES)
def test_where_nothing_counts_the_loss_is_0_and_so_is_its_gradient(dtype: torch.dtype) -> None:
    losses = LOSSES.to(dtype, copy=True).requires_grad_()
    found = t.thresholded_loss(losses, 100)
    assert (found.dtype, found.item()) == (dtype, 0)
    back(found)
    assert losses.grad is not None
    assert losses.grad.count_nonzero() == 0
    assert t.thresholded_loss(losses[:0], 1).item() == 0


def test_what_is_left_out_does_no_harm_and_nan_is_seen() -> None:
    losses = torch.tensor([float("inf"), 1.0, 0.5], requires_grad=True)
    found = t.thresholded_loss(losses, 2.0, compare="lt")
    assert found.item() == 0.75
    back(found)
    assert losses.grad is not None
    assert losses.grad.tolist() == [0, 0.5, 0.5]
    assert t.thresholded_loss(torch.tensor([float("nan"), 1.0]), 2.0).isnan()


def test_a_mean_of_many_half_precision_losses_counts_them_exactly() -> None:
    losses = torch.full((300, 300), 0.5, dtype=torch.float16)
    losses[0] = 0.0
    assert t.thresholded_loss(losses / 64, 0, reduction="mean").item() == pytest.approx(0.5 / 64)


@pytest.mark.parametrize(
    ("loss", "options", "said"),
    [
        (torch.ones(2, dtype=torch.int64), {}, "the loss is torch.int64"),
        (3.0, {}, "the loss is float"),
        (torch.ones(2), {"weight": -1}, "weight is -1"),
        (torch.ones(2), {"weight": float("inf")}, "weight is inf"),
        (torch.ones(2), {"reduction": "max"}, "reduction is 'max'"),
        (torch.ones(2), {"compare": "eq"}, "compare is 'eq'"),
    ],
)
def test_a_loss_that_cannot_be_thresholded_is_refused(loss: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        t.thresholded_loss(loss, 0.5, **options)
