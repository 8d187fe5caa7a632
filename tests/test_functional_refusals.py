"""What functions refuse, and how they say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import threshcli as t
from threshcli.errors import InputError, UsageError

X = torch.tensor([[1.0, -2.0], [3.0, float("nan")]])
T = X.abs().nan_to_num()

REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
    "another shape": (lambda: t.variable_threshold(X, T[0]), r"shape \[2\], the input \[2, 2\]", "broadcast=True"),
    "a shape that never fits": (lambda: t.variable_threshold(X, torch.ones(3), broadcast=True), r"shape \[3\]", "each"),
    "a map with NaN": (lambda: t.variable_threshold(X, X), "NaN", "fill"),
    "a map with NaN, watched": (lambda: t.variable_threshold(X.clone().requires_grad_(), X), "holds NaN", "fill"),
    "NaN": (lambda: t.gradient_threshold(X, float("nan")), "threshold is NaN", "number"),
    "negative magnitudes": (lambda: t.gradient_threshold(X, -1), "threshold is negative", "0 or more"),
    "a negative map": (lambda: t.soft_threshold(X, -T), "is negative", "0 or more"),
    "a negative map, watched": (lambda: t.soft_threshold(X, (-T).requires_grad_()), "negative values", "0 or more"),
    "limits that cross": (lambda: t.clamp(X, 2, 1), "low is above high", "exchange"),
    "maps that cross": (lambda: t.clamp(X, T, T - 1), r"low is above high at \[0, 0\]", "exchange"),
    "maps that cross, watched": (lambda: t.clamp(X.clone().requires_grad_(), T, 0.5), "low is above high", "exchange"),
    "no limit": (lambda: t.clamp(X), "low and high are both missing", "low 0"),
    "a value that has no place": (
        lambda: t.binary_threshold(torch.tensor([1], dtype=torch.int8), 0, 300),
        "above 300 is not representable in int8", "int8 can hold",
    ),
    "a fraction in integers": (
        lambda: t.hard_threshold(torch.tensor([1]), 0, fill=0.5),
        "fill .* is not representable", "int64",
    ),
    "shrinking integers": (lambda: t.soft_threshold(torch.tensor([1]), 1), "int64 has no fractions", "out_dtype"),
    "a file": (lambda: t.variable_threshold(X, "@map.npy"), "names a file", "load it"),
    "no threshold": (lambda: t.variable_threshold(X, "p9O"), "is not a threshold", "p90"),
    "several cuts": (lambda: t.binary_threshold(X, "multiotsu:3"), "gives several cuts", "otsu"),
    "a comparison": (
        lambda: t.gradient_threshold(X, 1, compare="above"),  # type: ignore[arg-type]
        "compare is 'above'", "'gt'",
    ),
    "a policy": (lambda: t.gradient_threshold(X, 1, nan="drop"), "not a policy", "keep"),
    "above of a rule that keeps": (
        lambda: t.gradient_threshold(X, 1, nan="above"),
        "needs a rule that decides", "keep",
    ),
    "a list": (lambda: t.gradient_threshold([1.0], 1), "input is a list", "torch.Tensor"),  # type: ignore[type-var]
    "True": (lambda: t.gradient_threshold(X, True), "threshold is a bool", "torch.Tensor"),
    "texts": (lambda: t.gradient_threshold(np.array(["a"]), 1), "elements of str", "float64"),
    "complex order": (lambda: t.variable_threshold(X.to(torch.complex64), 1), "complex64 has no order", ""),
    "masked": (lambda: t.otsu(np.ma.array([1.0, 9.0], mask=[False, True])), "masked array", "filled"),
    "sparse": (lambda: t.gradient_threshold(torch.eye(2).to_sparse(), 1), "only dense", "to_dense"),
    "a dtype": (lambda: t.binary_threshold(X, 1, out_dtype="float12"), "'float12' is not a dtype", "bfloat16"),
    "an array of bfloat16": (
        lambda: t.binary_threshold(np.ones(2), 1, out_dtype="bfloat16"),
        "NumPy has no bfloat16", "torch",
    ),
    "out of another dtype": (
        lambda: t.gradient_threshold(X, 1, out=torch.empty(2, 2).double()),
        "out must be a tensor of torch.float32", "",
    ),
    "out of another shape": (lambda: t.gradient_threshold(np.ones(3), 1, out=np.empty(2)), r"with shape \[3\]", ""),
    "out where gradients are recorded": (
        lambda: t.gradient_threshold(X.clone().requires_grad_(), 1, out=X.clone()),
        "gradients are recorded", "no_grad",
    ),
    "a pattern": (lambda: t.nm_sparsify(X, 3, 2), "3:2", "2:4"),
    "a length": (lambda: t.nm_sparsify(X, 1, 3), "3 does not divide", "partial lets"),
    "an axis of neighbours": (lambda: t.nm_sparsify(X, axis=2), "has 2 axes, and axis is 2", ""),
    "axes": (lambda: t.hysteresis(X, 0, 1, axes=[0, 2]), "axes is 0,2", ""),
    "thresholds that cross": (lambda: t.hysteresis(X, 1, 0), "low is above high", "exchange"),
    "an even window": (lambda: t.local_threshold(X, 4), "even size", ""),
    "a size for one axis": (lambda: t.niblack(torch.ones(4, 4), (3,)), "one number for 2 axes", "not in a list"),
    "a range that is missing": (lambda: t.sauvola(X, 3), "needs R", ""),
    "a file for a map": (lambda: t.threshold(X, "niblack:3"), "not worked out", ""),
    "cuts out of order": (lambda: t.levels(X, [2, 1]), "threshold 1 is above threshold 2", "ascending"),
    "maps out of order": (lambda: t.levels(X, [T, T - 1]), "threshold 1 is above threshold 2 at", "ascending"),
    "too few values": (lambda: t.levels(X, [1, 2], values=[0, 1]), "values needs 3 values", "a value for each"),
    "steps of integers": (lambda: t.levels(X, 1, surrogate="sigmoid"), "needs floating point", "out_dtype"),
    "a share": (lambda: t.quantile(X, 90), "90 is not a share", "0 to 1"),
    "a mask of another shape": (lambda: t.otsu(X, mask=T[0]), r"mask has shape \[2\]", "each"),
    "an axis": (lambda: t.quantile(X, 0.5, axis=2), "has 2 axes", ""),
    "several along an axis": (lambda: t.threshold(X, "multiotsu:2", axis=0), "several cuts", ""),
    "a number to work out": (lambda: t.threshold(X, "0.5"), "not worked out from data", "p90"),
    "options at odds": (lambda: t.otsu(X, at_least=2, at_most=1), "at.least is above", "exchange"),
    "a threshold of other indices": (
        lambda: t.gradient_threshold(X[0], t.quantile(T, 0.5, axis=1)),
        "along axis 1", "again",
    ),
    "a negative count": (lambda: t.topk_threshold(X, -1), "k is -1", "a count"),
    "a factor that is infinite": (lambda: t.sigma_threshold(X, float("inf")), "k is inf", "3.5"),
    "a factor that is NaN": (lambda: t.niblack(X, 3, float("nan")), "nan is not a finite number", "0.2"),
    "no cuts": (lambda: t.levels(X, []), "empty list", "one threshold or more"),
    "a surrogate for arrays": (
        lambda: t.binary_threshold(np.ones(2), 0.5, surrogate="step"),  # type: ignore[arg-type]
        "surrogate is 'step'", "'sigmoid'",
    ),
    "a width that is a text": (
        lambda: t.binary_threshold(X, 0.5, surrogate="sigmoid", temperature="1"),  # type: ignore[arg-type]
        "temperature is '1'", "above 0",
    ),
    "a policy that is a number": (
        lambda: t.gradient_threshold(X, 1, nan=0),  # type: ignore[arg-type]
        "nan is a int", "text",
    ),
    "an option that is none": (
        lambda: t.binary_threshold(X, 1, above_value="x"),  # type: ignore[arg-type]
        "'x' is not a number", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_a_usage_error_that_says_what_to_do(name: str) -> None:
    """A ValueError, in the words of Python: no dashes of the command line."""
    work, said, hinted = REFUSED[name]
    with pytest.raises(UsageError, match=said) as raised:
        work()
    assert isinstance(raised.value, ValueError)
    assert hinted in (raised.value.hint or "")
    assert "--" not in str(raised.value) + (raised.value.hint or "")


@pytest.mark.parametrize("work", [
    lambda: t.gradient_threshold(X, 1, nan="error"),
    lambda: t.gradient_threshold(X.numpy(), 1, nan="error"),
    lambda: t.gradient_threshold(X.clone().requires_grad_(), 1, nan="error"),
    lambda: t.otsu(torch.full((3,), float("nan"))),
    lambda: t.quantile(torch.tensor([0.0, float("inf")]), 0.5),
])  # fmt: skip
def test_elements_that_are_of_no_use_are_an_input_error(work: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match="the input"):
        work()


def test_nothing_is_worked_out_of_nothing() -> None:
    """A tensor without elements needs no threshold and passes."""
    for x in (torch.empty(0, 3), np.empty((0, 3), np.float32)):
        assert t.gradient_threshold(x, "zero90%").shape == (0, 3)
        assert t.binary_threshold(x, "otsu").shape == (0, 3)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,), (2, 0, 3)])
def test_an_axis_without_indices_has_no_thresholds(shape: tuple[int, ...]) -> None:
    """And one whose indices hold nothing has some that nothing is compared with."""
    for axis, length in enumerate(shape):
        for x in (torch.empty(shape), np.empty(shape, np.float32), torch.empty(shape, requires_grad=True)):
            for spec in ("p50", "top2", "2sigma"):
                cut = t.threshold(x, spec, magnitude=True, axis=axis, mask=np.empty(shape))
                assert len(cut.values) == length
                assert t.gradient_threshold(x, cut).shape == shape
                assert t.levels(x, cut).shape == shape


def test_an_input_may_be_its_own_output() -> None:
    x, y = torch.tensor([1.0, -3.0, 2.0]), np.array([1.0, -3.0, 2.0])
    assert t.gradient_threshold(x, 1.5, out=x) is x
    assert t.gradient_threshold(y, 1.5, out=y) is y
    assert x.tolist() == y.tolist() == [0, -3, 2]
    turned = torch.arange(6.0).reshape(2, 3).T
    assert t.gradient_threshold(turned, 2, out=turned) is turned
    assert turned.tolist() == [[0, 3], [0, 4], [0, 5]]
    columns = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert t.gradient_threshold(columns, 2, out=columns).tolist() == [[0, 0, 0], [3, 4, 5]]
