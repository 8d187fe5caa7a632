"""Gradients flow through functions as the formulas say, in torch.func, in torch.compile and twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.autograd import gradcheck, gradgradcheck

import threshcli as t
from threshcli.errors import InputError

SEED = torch.Generator().manual_seed(11)


def numbers(*shape: int) -> Tensor:
    """float64 away from the thresholds of the tests, where nothing has a derivative."""
    x = torch.randn(*shape, generator=SEED, dtype=torch.float64) * 2
    return torch.where((x.abs() * 4).frac().sub(0.5).abs() < 0.02, x + 0.1, x).requires_grad_()


KEEPING: dict[str, Callable[[Tensor], Tensor]] = {
    "variable": lambda x: t.variable_threshold(x, 0.375),
    "gradient": lambda x: t.gradient_threshold(x, 0.625),
    "hard": lambda x: t.hard_threshold(x, 0.625, fill=3),
    "replace": lambda x: t.replace(x, 0.375, -1),
    "clamp": lambda x: t.clamp(x, -0.625, 0.875),
    "band": lambda x: t.band(x, -0.625, 0.875, outside=True),
    "soft": lambda x: t.soft_threshold(x, 0.625),
    "garrote": lambda x: t.garrote(x, 0.625),
    "firm": lambda x: t.firm(x, 0.375, 1.125),
    "firm, infinite": lambda x: t.firm(x, 0.375, float("inf")),
    "nm": lambda x: t.nm_sparsify(x, 1, 2, partial=True),
    "window": lambda x: t.variable_threshold(x, "local-mean:3"),
    "top": lambda x: t.gradient_threshold(x, t.topk_threshold(x, 7, magnitude=True)),
}
LOOKING = ("nm", "window", "top")
"""Those that have to see elements before they know what to do."""
every_rule = pytest.mark.parametrize("name", KEEPING)


@every_rule
def test_the_derivative_is_that_of_finite_differences_also_of_itself(name: str) -> None:
    function = KEEPING[name]
    x = numbers(4, 5)
    assert gradcheck(function, x)
    assert gradgradcheck(lambda x: function(x) ** 2, x)


without_elements = pytest.mark.parametrize("name", [name for name in KEEPING if name not in LOOKING])


def test_inside_a_transform_nothing_is_worked_out() -> None:
    """There are no elements to look at; in a compiled model the graph breaks instead (see below)."""
    for name in LOOKING:
        with pytest.raises(t.errors.UsageError, match="no elements to look at"):
            torch.func.grad(lambda x, function=KEEPING[name]: function(x).sum())(numbers(9).detach())


@without_elements
def test_a_gradient_comes_out_of_transforms_as_out_of_backward(name: str) -> None:
    function, x = KEEPING[name], numbers(4, 5)
    (wanted,) = torch.autograd.grad(function(x).sum(), x)
    assert torch.equal(torch.func.grad(lambda x: function(x).sum())(x.detach()), wanted)
    assert torch.equal(torch.func.jacrev(function)(x.detach()).sum((0, 1)), wanted)


@every_rule
def test_what_is_nothing_but_a_shape_gives_shape_and_dtype(name: str) -> None:
    """On the device meta and among fake tensors; a threshold that is worked out has nothing to be worked out from."""
    function, x = KEEPING[name], numbers(4, 5).detach()
    fake = FakeTensorMode()
    for mode, shape in ((nullcontext(), x.to("meta")), (fake, fake.from_tensor(x))):
        with mode:
            if name in LOOKING:
                with pytest.raises(t.errors.UsageError, match="no elements to look at"):
                    function(shape)
                continue
            found = function(shape)
            assert (found.shape, found.dtype, found.device) == (x.shape, x.dtype, shape.device)


@without_elements
def test_derivatives_forward_are_those_backward(name: str) -> None:
    """And those of finite differences; of each other, too."""
    function, x = KEEPING[name], numbers(4, 5).detach()
    assert gradcheck(function, x.requires_grad_(), check_forward_ad=True, check_batched_forward_grad=True)
    x = x.detach()
    torch.testing.assert_close(torch.func.jacfwd(function)(x), torch.func.jacrev(function)(x), rtol=1e-14, atol=0)
    squares = lambda x: (function(x) ** 2).sum()  # noqa: E731 - a function of the function
    hessians = [outer(torch.func.jacrev(squares))(x) for outer in (torch.func.jacfwd, torch.func.jacrev)]
    torch.testing.assert_close(*hessians, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_a_narrow_dtype_has_its_derivatives_forward(kind: torch.dtype) -> None:
    """What is calculated in float32 has the tangent of what it is rounded to."""
    x = numbers(20).detach().to(kind)
    for name in ("soft", "garrote", "firm"):
        found = torch.func.jvp(KEEPING[name], (x,), (torch.ones_like(x),))[1]
        (wanted,) = torch.autograd.grad(KEEPING[name](x.requires_grad_()).sum(), x)
        assert found.dtype is kind
        torch.testing.assert_close(found, wanted, rtol=2 * torch.finfo(kind).eps, atol=0)
        x = x.detach()


@without_elements
def test_rows_of_a_batch_are_worked_on_by_vmap(name: str) -> None:
    function, x = KEEPING[name], numbers(4, 5).detach()
    assert torch.equal(torch.func.vmap(function)(x), function(x))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch means to hide it
@pytest.mark.parametrize("name", KEEPING)
def test_a_compiled_model_has_the_bytes_and_gradients_of_an_eager_one(name: str) -> None:
    function, x = KEEPING[name], numbers(4, 5)
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: function(x) * 2, backend="aot_eager", fullgraph=name not in LOOKING)
    (wanted,) = torch.autograd.grad((function(x) * 2).sum(), x)
    assert torch.equal(compiled(x), function(x) * 2)
    assert torch.equal(torch.autograd.grad(compiled(x).sum(), x)[0], wanted)


def test_a_compiled_function_takes_numbers_that_change() -> None:
    for kind in (torch.float32, torch.float16, torch.bfloat16):
        torch._dynamo.reset()
        compiled = torch.compile(t.gradient_threshold, backend="aot_eager", fullgraph=True)
        x = torch.randn(64, generator=SEED).to(kind)
        for threshold in (0.1, 0.25, 1, 0.7):
            assert torch.equal(compiled(x, threshold), t.gradient_threshold(x, threshold))


def test_a_compiled_function_takes_whole_numbers_that_no_float_holds() -> None:
    x = torch.tensor([2**53, 2**53 + 1, 2**53 + 2])
    above = torch.compile(lambda x: t.binary_threshold(x, 2**53 + 1, 2**53 + 3), fullgraph=True, backend="eager")
    assert above(x).tolist() == [0, 0, 2**53 + 3]
    count = torch.compile(lambda x: t.levels(x, [2**53, 2**53 + 1]), fullgraph=True, backend="eager")
    assert count(x).tolist() == [0, 1, 2]


def test_nan_that_is_an_error_is_one_beside_a_compiled_graph_too() -> None:
    function = torch.compile(lambda x: t.gradient_threshold(x, 1, nan="error") + 1, backend="eager")
    assert function(torch.tensor([1.0, 2.0])).tolist() == [1, 3]
    with pytest.raises(InputError, match="holds NaN"):
        function(torch.tensor([1.0, float("nan")]))


def test_a_compiled_function_takes_maps_and_constants_and_writes_to_out() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(t.binary_threshold, backend="eager", fullgraph=True)
    x, limits = torch.randn(3, 4, generator=SEED), torch.randn(4, generator=SEED)
    options: dict[str, Any] = {"above_value": 2.5, "below_value": -1, "compare": "le", "broadcast": True}
    out = torch.empty(3, 4, dtype=torch.float64)
    assert compiled(x, limits, out_dtype=torch.float64, out=out, **options) is out
    assert torch.equal(out, torch.where(x <= limits, 2.5, -1.0).double())


def test_thresholds_learn_where_the_formula_has_them() -> None:
    """Soft: -sign(x). Garrote: -2 T / x. Firm and clamp by their formulas. A gate gives its threshold nothing."""
    x, threshold = numbers(30).detach(), torch.full((), 0.625, dtype=torch.float64, requires_grad=True)
    kept = x.abs() > 0.625
    (found,) = torch.autograd.grad(t.soft_threshold(x, threshold).sum(), threshold)
    assert torch.equal(found, -x.sign()[kept].sum())
    assert gradcheck(t.soft_threshold, (numbers(30), threshold))
    assert gradcheck(t.garrote, (numbers(30), threshold))
    low, high = (torch.full((30,), value, dtype=torch.float64, requires_grad=True) for value in (0.375, 1.125))
    assert gradcheck(t.firm, (numbers(30), low, high))
    assert gradcheck(lambda x, high: t.clamp(x, -0.375, high), (numbers(30), high))
    for function, cuts in ((t.soft_threshold, (threshold,)), (t.garrote, (threshold,)), (t.firm, (low, high))):
        assert gradcheck(function, (numbers(30), *cuts), check_forward_ad=True, check_backward_ad=False)
    gate = torch.full((30,), 0.625, dtype=torch.float64, requires_grad=True)
    assert not t.gradient_threshold(x, gate).requires_grad


def test_a_threshold_for_each_channel_learns_from_its_channel() -> None:
    x = numbers(2, 3, 4).detach()
    threshold = torch.tensor([0.375, 0.625, 0.875], dtype=torch.float64, requires_grad=True)
    made = t.soft_threshold(x, threshold.view(1, 3, 1), broadcast=True)
    (found,) = torch.autograd.grad(made.sum(), threshold)
    kept = x.abs() > threshold.detach().view(1, 3, 1)
    assert torch.equal(found, -(x.sign() * kept).sum((0, 2)))


@pytest.mark.parametrize("function", [t.soft_threshold, t.garrote])
def test_what_goes_has_a_gradient_of_zero_even_where_the_formula_has_none(function: Callable[..., Tensor]) -> None:
    """At x = 0 the garrote divides by 0; infinities have no difference."""
    x = torch.tensor([0.0, -0.0, 0.5, float("inf"), -float("inf"), 2.0], requires_grad=True)
    for threshold in (0.0, 1.0, float("inf")):
        made = function(x, threshold)
        (found,) = torch.autograd.grad(made.sum(), x)
        forward = torch.func.jvp(lambda x, cut=threshold: function(x, cut), (x.detach(),), (torch.ones(6),))[1]
        assert torch.equal(forward, found)
        gone = x.abs() <= threshold
        assert torch.equal(made[gone], torch.zeros_like(made[gone]))
        assert torch.equal(found[gone], torch.zeros_like(found[gone]))
        assert not found.isnan().any()


def test_nan_passes_with_its_gradient_or_is_filled_without_one() -> None:
    x = torch.tensor([float("nan"), 2.0], requires_grad=True)
    (kept,) = torch.autograd.grad(t.gradient_threshold(x, 1).sum(), x)
    assert kept.tolist() == [1, 1]
    filled = t.gradient_threshold(x, 1, nan="fill=0")
    assert filled.tolist() == [0, 2]
    assert torch.autograd.grad(filled.sum(), x)[0].tolist() == [0, 1]
    with pytest.raises(t.errors.InputError, match="holds NaN"):
        t.gradient_threshold(x, 1, nan="error")


def _slopes(u: Tensor) -> dict[str, Tensor]:
    return {
        "straight-through": torch.ones_like(u),
        "sigmoid": torch.sigmoid(u) * (1 - torch.sigmoid(u)) / 0.5,
        "fast-sigmoid": 1 / (1 + u.abs()) ** 2 / 0.5,
    }


@pytest.mark.parametrize("kind", ["straight-through", "sigmoid", "fast-sigmoid"])
def test_a_step_has_the_gradient_of_its_surrogate(kind: Any) -> None:
    x, threshold = numbers(20), torch.full((20,), 0.375, dtype=torch.float64, requires_grad=True)

    def step(x: Tensor, threshold: Tensor, compare: Any = "gt") -> Tensor:
        return t.binary_threshold(x, threshold, 3, 1, compare=compare, surrogate=kind, temperature=0.5)

    made = step(x, threshold)
    assert torch.equal(made, torch.where(x > threshold, 3.0, 1.0).double())
    wanted = 2 * _slopes((x - threshold).detach() / 0.5)[kind]
    found = torch.autograd.grad(made.sum(), (x, threshold))
    torch.testing.assert_close(found, (wanted, -wanted), rtol=1e-14, atol=0)
    torch.testing.assert_close(torch.autograd.grad(step(x, threshold, "lt").sum(), x)[0], -wanted, rtol=1e-14, atol=0)
    if kind != "straight-through":  # twice: the derivative of the surrogate's derivative
        (first,) = torch.autograd.grad(step(x, threshold).sum(), x, create_graph=True)
        assert torch.autograd.grad(first.sum(), x)[0].abs().max() > 0
    torch._dynamo.reset()
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(torch.autograd.grad(compiled(x, threshold).sum(), x)[0], wanted, rtol=1e-14, atol=0)
    plain = x.detach(), threshold.detach()
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(step))(*plain), wanted, rtol=1e-14, atol=0)
    forward = torch.func.jvp(step, plain, (torch.full_like(x, 3), torch.full_like(x, 0.5)))[1]
    torch.testing.assert_close(forward, 2.5 * wanted, rtol=1e-14, atol=0)


def test_levels_have_a_step_at_each_cut_as_high_as_the_values_are_apart() -> None:
    x = numbers(20)
    cuts: list[Any] = [-0.375, torch.full((20,), 0.625, dtype=torch.float64, requires_grad=True)]

    def made(x: Tensor, *cuts: Any) -> Tensor:
        return t.levels(x, cuts, values=[0, 1, 4], surrogate="fast-sigmoid", temperature=0.5)

    slopes = [_slopes((x.detach() - (cut.detach() if isinstance(cut, Tensor) else cut)) / 0.5) for cut in cuts]
    first, second = (slope["fast-sigmoid"] for slope in slopes)
    found = torch.autograd.grad(made(x, *cuts).sum(), (x, cuts[1]))
    torch.testing.assert_close(found, (first + 3 * second, -3 * second), rtol=1e-13, atol=0)
    torch._dynamo.reset()
    compiled = torch.compile(made, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x, *cuts), made(x, *cuts))
    torch.testing.assert_close(torch.autograd.grad(compiled(x, *cuts).sum(), x)[0], found[0], rtol=1e-13, atol=0)


def test_a_step_has_no_gradient_unless_it_is_asked_for() -> None:
    x = numbers(5)
    made = t.binary_threshold(x, 0.375)
    assert not made.requires_grad or torch.autograd.grad(made.sum(), x)[0].abs().max() == 0


@pytest.mark.parametrize(("options", "said"), [
    ({"surrogate": "sigmod"}, "surrogate is 'sigmod'"),
    ({"surrogate": "sigmoid", "temperature": 0}, "temperature is 0"),
    ({"surrogate": "sigmoid", "out_dtype": "bool"}, "needs floating point"),
])  # fmt: skip
def test_a_surrogate_that_cannot_be_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(t.errors.UsageError, match=said):
        t.binary_threshold(numbers(3), 0.375, **options)


def test_a_surrogate_needs_a_threshold_to_subtract() -> None:
    with pytest.raises(t.errors.UsageError, match="needs a threshold that is a number or a tensor"):
        t.binary_threshold(numbers(3), "p50", surrogate="sigmoid")
