"""Gradients on devices become what they become on the CPU, in few operations, and nobody waits. Tested is what serves
devices, at work on the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import threshcli as t
from tests.training import DTYPES, Bag, gradients, same, step
from threshcli.kernels._torch_convert import BITS, NATIVE
from threshcli.training import devices, statistics, working

SHAPES = ((), (0,), (1,), (3, 0), (31,), (5, 7), (2, 3, 4), (300,), (3, 1, 40))
SPECS = (0, 0.25, 0.3, 1e-45, float("inf"), 1e39, "zero60%", "top13", "top100%", "p75", "1sigma")
SPECIAL = (float("nan"), float("inf"), -float("inf"), -0.0, 0.0, 0.25, -0.25, 1e-45, 6e-8, 0.3)


@contextmanager
def elsewhere(*, batch: int = devices._BATCH, width: int = devices._WIDTH, floats: bool = True) -> Iterator[None]:
    """All gradients are taken for some on a device, which may have no floats that compare as they should."""
    with (
        patch.object(working, "is_on_device", lambda grad: True),
        patch.object(devices, "_BATCH", batch),
        patch.object(devices, "_WIDTH", width),
        patch.object(devices, "NATIVE", NATIVE if floats else {}),
    ):
        yield


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """What is done with tensors, but for views: operations by name, and the size of the largest tensor made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.seen: Counter[str] = Counter()
        self.largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        if not function.is_view and function.overloadpacket is not torch.ops.aten.detach:
            self.seen[function.overloadpacket.__name__] += 1
            known = {id(item) for item in tree_leaves((args, kwargs))}
            new = [item for item in tree_leaves(made) if isinstance(item, Tensor) and id(item) not in known]
            self.largest = max([self.largest, *(item.numel() * item.element_size() for item in new)])
        return made


@st.composite
def grads(draw: st.DrawFn, dtype: torch.dtype) -> Tensor:
    """A gradient of any shape and strides, many of its elements equal in magnitude or strange."""
    shape = draw(st.sampled_from(SHAPES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1 << 20)))
    x = torch.randn(shape, generator=generator, dtype=torch.float64).mul(4).round().div(4).to(dtype)
    strange = torch.tensor(SPECIAL, dtype=torch.float64).to(dtype)
    strange[0].view(BITS[dtype.itemsize]).bitwise_xor_(5)  # NaN with a payload, and a sign
    where = torch.rand(shape, generator=generator) < draw(st.sampled_from([0, 0.3]))
    x[where] = strange[torch.randint(len(strange), shape, generator=generator)][where]
    match draw(st.sampled_from(["plain", "turned", "apart", "spread"])):
        case "turned":
            return x.mT.contiguous().mT if x.dim() > 1 else x
        case "apart":
            return torch.stack([x, x], -1)[..., 0]
        case "spread":
            return x.expand(3, *shape)
    return x


def trained(steps: list[dict[str, Tensor]], spec: Any, **options: Any) -> tuple[list[dict[str, Tensor]], Any]:
    """The gradients and remainders after each step, and what was told of the last one."""
    model, found = Bag({name: grad.clone() for name, grad in steps[0].items()}), []
    with t.GradientThreshold(model, spec, **options) as thresholded:
        for grads in steps:
            for name, grad in grads.items():
                model.get_parameter(name).grad = torch.empty_like(grad).copy_(grad) if grad.numel() else grad.clone()
            step(model)
            found += [model.grads(), {key: rest.clone() for key, rest in thresholded.state_dict()["residuals"].items()}]
    return found, thresholded.stats


def agree(one: tuple[list[dict[str, Tensor]], Any], other: tuple[list[dict[str, Tensor]], Any]) -> None:
    """The same bits and counts, and nearly the same norms."""
    for wanted, found in zip(one[0], other[0], strict=True):
        same(found, wanted)
    for name, wanted in one[1].parameters.items():
        seen = other[1].parameters[name]
        assert (seen.elements, seen.kept, seen.nan) == (wanted.elements, wanted.kept, wanted.nan), name
        assert seen.norm_before == pytest.approx(wanted.norm_before, rel=1e-6, abs=1e-30)
        assert seen.norm_after == pytest.approx(wanted.norm_after, rel=1e-6, abs=1e-30)
        assert seen.threshold == wanted.threshold


@pytest.mark.parametrize("floats", [True, False])
@settings(max_examples=150)
@given(data=st.data())
def test_bits_and_counts_are_those_of_the_cpu(floats: bool, data: st.DataObject) -> None:
    """Of several gradients together, in batches of any size, with their remainders, over two steps."""
    one = data.draw(st.sampled_from(DTYPES))
    kinds = data.draw(st.lists(st.sampled_from([one, one, *DTYPES]), min_size=1, max_size=6))
    first = {str(number): data.draw(grads(kind)) for number, kind in enumerate(kinds)}
    second = {name: grad.flip(0) if grad.dim() else grad for name, grad in first.items()}
    options: dict[str, Any] = {
        "scope": data.draw(st.sampled_from(["tensor", "global"])) if len(set(kinds)) == 1 else "tensor",
        "ties": data.draw(st.sampled_from(["first", "all", "none"])),
        "error_feedback": data.draw(st.booleans()),
    }
    spec = data.draw(st.sampled_from(SPECS))
    try:
        wanted = trained([first, second], spec, **options)
    except t.errors.InputError:
        return
    with elsewhere(batch=data.draw(st.sampled_from([64, 512, 1 << 24])), width=4, floats=floats):
        agree(wanted, trained([first, second], spec, **options))


def test_what_fills_many_batches() -> None:
    """The sizes of real batches, not of small ones: a tensor larger than several, and some that share one."""
    generator = torch.Generator().manual_seed(1)
    sizes = {"embedding": 9_000_001, "head": 3_000_000, "bias": 1000, "scale": 1}
    found = {name: torch.randn(size, generator=generator) for name, size in sizes.items()}
    wanted = trained([found], 0.7, error_feedback=True)
    with elsewhere():
        agree(wanted, trained([found], 0.7, error_feedback=True))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_elements_of_eight_bits(name: str) -> None:
    """All that there are."""
    x = torch.arange(256, dtype=torch.uint8)

    def run() -> tuple[list[Any], Any]:
        grad, rest = (x.clone().view(getattr(torch, name)) for _ in range(2))
        lines = working.threshold_all([working.Work("x", grad, 0.5, rest)])
        told = statistics.told(lines)
        return [{"x": grad.view(torch.int8).short(), "rest": rest.view(torch.int8).short()}], told

    wanted = run()
    with elsewhere():
        agree(wanted, run())


@pytest.mark.parametrize("feedback", [False, True])
def test_operations_do_not_grow_with_the_number_of_parameters(feedback: bool) -> None:
    """Nor does anybody wait for the device before the statistics are read, and then once for all of them."""
    seen = []
    for many in (10, 100):
        model = Bag({f"p{number}": torch.randn(number + 1) for number in range(many)})
        with t.GradientThreshold(model, 0.5, error_feedback=feedback) as thresholded, elsewhere():
            step(model)
            with Watch() as watch:
                thresholded._apply("", thresholded._target.owned(), 1)
            seen.append(watch.seen)
            with Watch() as watch:
                assert thresholded.stats.total.elements == many * (many + 1) // 2
            assert watch.seen["cat"] == 1
            assert not watch.seen["_local_scalar_dense"]
    assert seen[0] == seen[1]
    assert sum(seen[1].values()) <= 20
    assert not seen[1].keys() & {"_local_scalar_dense", "_to_copy", "nonzero", "equal", "lift_fresh"}


def test_memory_is_that_of_a_batch() -> None:
    """However large a gradient is, and however many there are."""
    model = Bag({f"p{number}": torch.randn(3000 * number) for number in range(1, 9)})
    for feedback in (False, True):
        with t.GradientThreshold(model, 0.5, error_feedback=feedback), elsewhere(batch=1 << 14, width=64):
            step(model)
            with Watch() as watch:
                step(model)
        assert 1 << 13 < watch.largest <= 1 << 14


def test_thresholds_by_name_are_worked_on_by_threshold() -> None:
    grads = gradients(2)
    spec = {"a": 0.5, "b": "top5", "c": None, "*": 1}
    wanted = trained([grads], spec, error_feedback=True)
    with elsewhere():
        agree(wanted, trained([grads], spec, error_feedback=True))


def test_zeros_that_stay_by_rank_are_kept() -> None:
    """As of a gradient that has fewer elements than were asked for."""
    found = {"x": torch.tensor([0.0, 1.0, -0.0, 0.0])}
    wanted = trained([found], "top3")
    assert wanted[1].total.kept == 3
    with elsewhere():
        agree(wanted, trained([found], "top3"))
