"""GradientThreshold zeroes what `thresh gradient` zeroes, between backward() and step()."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import threshcli as t
from tests.harness import thresh
from tests.training import DTYPES, Bag, gradients, same, step
from threshcli.errors import UsageError

SPECS = (0, 0.5, 0.3, 1e-9, "zero90%", "top13", "top20%", "p75", "p33.3", "energy90%", "1sigma", "mean", "median")


def command(folder: Path, grads: dict[str, Tensor], spec: object, *more: object) -> tuple[dict[str, Tensor], Any]:
    """What the command makes of saved gradients, its residuals, and its report."""
    torch.save(grads, folder / "grads.pt")
    out, rest = folder / "out.pt", folder / "rest.pt"
    ran = thresh(
        "gradient", folder / "grads.pt", "-t", spec, "-o", out, "--residual", rest, "--json", "--overwrite", *more
    )
    assert ran.status == 0, ran.err
    return torch.load(out, weights_only=True), (torch.load(rest, weights_only=True), ran.json)


@pytest.mark.parametrize("scope", ["tensor", "global"])
@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 30), spec=st.sampled_from(SPECS), dtype=st.sampled_from(DTYPES))
def test_gradients_are_those_of_the_command(
    scope: Any, seed: int, spec: Any, dtype: torch.dtype, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bit for bit, remainders and what is told of them included."""
    grads = gradients(seed, dtype)
    folder = tmp_path_factory.mktemp("grads")
    model = Bag({name: grad.clone() for name, grad in grads.items()})
    wanted, (rest, report) = command(folder, grads, spec, *(["--scope", scope] if isinstance(spec, str) else []))
    with t.GradientThreshold(model, spec, scope=scope, error_feedback=True) as thresholded:
        step(model)
    same(model.grads(), wanted)
    same(thresholded.state_dict()["residuals"], rest)
    for tensor in report["files"][0]["tensors"]:
        found = thresholded.stats.parameters[tensor["name"]]
        assert (found.elements, found.kept, found.nan) == (tensor["elements"], tensor["kept"], tensor["nan"])
        assert math.isclose(found.norm_before, tensor["norm_before"], rel_tol=1e-6)
        assert math.isclose(found.norm_after, tensor["norm_after"], rel_tol=1e-6)
        if found.elements:
            assert found.threshold == float(tensor["threshold"]["value"])


def test_large_gradients_are_worked_on_in_tiles() -> None:
    """A cut by rank, with its ties, over several of many tiles."""
    generator = torch.Generator().manual_seed(1)
    sizes = {"a": 1_500_007, "b": 5, "c": 700_001}
    grads = {name: torch.randn(size, generator=generator).mul(64).round() for name, size in sizes.items()}
    model = Bag({name: grad.clone() for name, grad in grads.items()})
    with t.GradientThreshold(model, "top10%", scope="global", error_feedback=True) as thresholded:
        step(model)
    whole, found = torch.cat(list(grads.values())), torch.cat(list(model.grads().values()))
    order = whole.abs().sort(descending=True, stable=True).indices[:220_001]
    wanted = torch.zeros_like(whole)
    wanted[order] = whole[order]
    assert torch.equal(found, wanted)
    assert torch.equal(torch.cat(list(thresholded.state_dict()["residuals"].values())), whole - wanted)
    assert thresholded.stats.total.kept == 220_001
    assert thresholded.stats.norm_kept == pytest.approx(float(wanted.double().norm() / whole.double().norm()), rel=1e-6)


@pytest.mark.parametrize("special", [None, float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threshold", [0.1, "top10%"])
def test_large_gradients_are_those_of_the_function(threshold: Any, dtype: torch.dtype, special: float | None) -> None:
    """Whatever way they go, NaN and remainders included."""
    grad = torch.randn(300_000, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)
    grad[:4] = torch.tensor([-0.0, 0.0, 0.1, -0.1])
    if special is not None:
        grad[7] = special
    wanted = t.gradient_threshold(grad, threshold)
    model = Bag({"weight": grad.clone()})
    with t.GradientThreshold(model, threshold, error_feedback=True) as thresholded:
        step(model)
    same(model.grads(), {"weight": wanted})
    rest = torch.where(grad.isnan() | (wanted != 0), 0, grad)
    same(thresholded.state_dict()["residuals"], {"weight": rest})
    finite = [x.double()[x.isfinite()] for x in (grad, wanted)]
    found = thresholded.stats.total
    assert found.kept == int(wanted.count_nonzero() - wanted.isnan().sum())
    assert found.norm_before == pytest.approx(float(finite[0].norm()), rel=1e-4)
    assert found.norm_after == pytest.approx(float(finite[1].norm()), rel=1e-4)


@pytest.mark.parametrize("threshold", [0.5, "top5"])
def test_strides_of_gradients_do_not_matter(threshold: Any) -> None:
    x = torch.arange(60.0).sub(30).div(8).reshape(3, 4, 5)
    wanted = t.gradient_threshold(x, threshold)
    for grad in (x.clone(), x.mT.contiguous().mT, x.new_zeros(3, 4, 10)[:, :, ::2].copy_(x), x.flip(0).flip(0)):
        model = Bag({"weight": grad})
        with t.GradientThreshold(model, threshold, error_feedback=True) as thresholded:
            step(model)
        assert torch.equal(model.grads()["weight"], wanted)
        assert torch.equal(thresholded.state_dict()["residuals"]["weight"], x - wanted)


def test_a_gradient_whose_elements_share_memory_gets_its_own() -> None:
    model = Bag({"weight": torch.tensor([[0.2], [3.0]])})
    model.get_parameter("weight").data = torch.zeros(2, 3)
    model.get_parameter("weight").grad = torch.tensor([[0.2], [3.0]]).expand(2, 3)
    with t.GradientThreshold(model, 1):
        step(model)
    assert model.grads()["weight"].tolist() == [[0, 0, 0], [3, 3, 3]]


def test_autograd_is_told_that_a_gradient_has_changed() -> None:
    """Else a second derivative would be taken of what is no longer there."""
    x = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    x.grad = torch.ones(2, requires_grad=True) * x
    version = x.grad._version
    t.backward_threshold([x], 1)
    assert x.grad.tolist() == [0, 2]
    assert x.grad._version > version


class Own(torch.Tensor):
    """As distributed tensors are: not what it seems."""


@pytest.mark.parametrize(
    ("grad", "said"),
    [
        (torch.eye(3).to_sparse(), "the gradient of weight is sparse"),
        (torch.ones(2).as_subclass(Own), "the gradient of weight is of type Own"),
        (torch.ones(2, dtype=torch.complex64), "the gradient of weight is complex64"),
    ],
)
def test_what_cannot_be_thresholded_is_refused_by_name_and_nothing_changes(grad: Tensor, said: str) -> None:
    other = torch.tensor([0.1, 1.0])
    model = Bag({"first": other.clone()})
    weight = torch.nn.Parameter(torch.zeros(grad.shape, dtype=grad.dtype))
    weight.grad = grad
    model.register_parameter("weight", weight)
    with t.GradientThreshold(model, 0.5), pytest.raises(UsageError, match=said):
        step(model)
    assert torch.equal(model.grads()["first"], other)
    with t.GradientThreshold(model, {"first": 0.5}):
        step(model)
    assert model.grads()["first"].tolist() == [0, 1]


def test_a_gradient_of_nan_alone_has_no_threshold_by_rank() -> None:
    model = Bag({"weight": torch.full((3,), float("nan"))})
    with (
        t.GradientThreshold(model, "top10%"),
        pytest.raises(t.errors.InputError, match=r"gradient of weight: .*not NaN"),
    ):
        step(model)
    with t.GradientThreshold(model, 0.5) as thresholded:
        step(model)
    assert (thresholded.stats.total.nan, thresholded.stats.kept_share, thresholded.stats.sparsity) == (3, 0.0, 0.0)
