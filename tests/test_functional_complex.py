"""Functions on complex tensors and arrays: the command's bytes, and gradients as torch has them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import threshcli as t
from tests.agreement import attempted
from tests.harness import thresh
from threshcli.functional.held import hold

RULES: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "gradient": (t.gradient_threshold, ("threshold",)),
    "hard": (t.hard_threshold, ("threshold",)),
    "soft": (t.soft_threshold, ("threshold",)),
    "garrote": (t.garrote, ("threshold",)),
    "firm": (t.firm, ("low", "high")),
}
SPECS = ("p70", "top3", "zero40%", "energy90%", "mean", "median", "otsu", "0.5sigma", "universal", "bayes")
every_rule = pytest.mark.parametrize("name", RULES)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Small complex tensors with zeros, infinities, NaN and ties."""
    shape, seed = draw(st.sampled_from([(7,), (3, 5), (2, 3, 4)])), draw(st.integers(0, 1 << 30))
    x = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128)
    if seed % 3 == 0:
        x = torch.complex(x.real.round(), x.imag.round())
    specials = (complex("nan"), complex("inf"), complex(-0.0, 0.0), complex(float("nan"), float("inf")), 3 + 4j)
    for place, special in enumerate(specials):
        if seed >> place & 1:
            x.view(-1)[place] = torch.tensor(special, dtype=x.dtype)
    return x.to(draw(st.sampled_from([torch.complex64, torch.complex128])))


def raw(x: object) -> bytes:
    return bytes(hold(x, "x").data)


def agree(name: str, x: torch.Tensor, values: list[Any], folder: Path) -> None:
    """The function gives the command's bytes: for arrays, views, conjugates, and where gradients are recorded."""
    function, slots = RULES[name]
    torch.save({"x": x.clone()}, folder / "x.pt")
    words = [word for slot, value in zip(slots, values, strict=True) for word in (f"--{slot}", value)]
    ran = thresh(name, folder / "x.pt", *words, "-o", folder / "y.pt", "--overwrite", "-q")
    found, code = attempted(lambda: function(x, *values))
    assert ran.status == code, ran.err
    if found is None:
        return
    wanted = raw(torch.load(folder / "y.pt")["x"])
    assert (found.dtype, found.shape, raw(found)) == (x.dtype, x.shape, wanted)
    assert raw(function(x.clone().requires_grad_(), *values).detach()) == wanted
    assert raw(function(x.numpy(), *values)) == wanted
    mirrored = x.conj().resolve_conj().conj()  # its memory holds the conjugate
    assert raw(function(mirrored, *values)) == wanted
    assert raw(function(mirrored.clone().conj().resolve_conj().conj().requires_grad_(), *values).detach()) == wanted


@every_rule
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_numbers(name: str, tmp_path: Path, data: st.DataObject) -> None:
    values = st.lists(st.sampled_from([0, 0.1, 1, 2.5, 5, 1e-9, 3e38]), min_size=2, max_size=2).map(sorted)
    agree(name, data.draw(tensors()), data.draw(values)[: len(RULES[name][1])], tmp_path)


@pytest.mark.parametrize("name", ["gradient", "soft"])
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_thresholds_that_are_worked_out(name: str, tmp_path: Path, data: st.DataObject) -> None:
    agree(name, data.draw(tensors()), [data.draw(st.sampled_from(SPECS))], tmp_path)


@every_rule
def test_maps_and_thresholds_along_an_axis(name: str, tmp_path: Path) -> None:
    function, slots = RULES[name]
    x = torch.randn(4, 6, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    maps = [torch.rand(4, 6, dtype=torch.float64) + number for number in range(len(slots))]
    assert raw(function(x, *maps)) == raw(function(x.clone().requires_grad_(), *maps).detach())
    own = [t.threshold(x, spec, axis=0, magnitude=True) for spec in ("p20", "top2")[: len(slots)]]
    np.save(tmp_path / "x.npy", x.numpy())
    words = [word for slot, spec in zip(slots, ("p20", "top2"), strict=False) for word in (f"--{slot}", spec)]
    assert thresh(name, tmp_path / "x.npy", *words, "--scope", "axis:0", "-o", tmp_path / "y.npy", "-q").status == 0
    wanted = np.load(tmp_path / "y.npy").tobytes()
    assert raw(function(x, *own)) == raw(function(x.clone().requires_grad_(), *own).detach()) == wanted


def test_complex_halves_are_worked_on() -> None:
    x = torch.tensor([3 + 4j, 1, 0.5j])
    with warnings.catch_warnings(action="ignore"):  # torch calls them experimental
        half = x.to(torch.complex32)
    for function, slots in RULES.values():
        found = function(half, *(1, 2)[: len(slots)])
        assert found.dtype == torch.complex32
        assert torch.allclose(found.to(torch.complex64), function(x, *(1, 2)[: len(slots)]), atol=0, rtol=2**-11)


@every_rule
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    """To x, in torch's convention for complex numbers, and to the threshold of shrinkage; so are those of these."""
    function, slots = RULES[name]
    x = torch.randn(3, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(4)).requires_grad_()
    low = torch.tensor(0.5, dtype=torch.float64, requires_grad=name in ("soft", "garrote", "firm"))
    inputs = (x, low, torch.tensor(1.5, dtype=torch.float64))[: 1 + len(slots)]
    assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, inputs)


@every_rule
def test_nothing_flows_through_what_is_removed(name: str) -> None:
    """At zero, too, where the direction of x is not defined, and beside infinities."""
    function, slots = RULES[name]
    x = torch.tensor([0, 0.1j, complex("inf"), 3e38 * (1 + 1j), 5], dtype=torch.complex64, requires_grad=True)
    function(x, *(1, 1)[: len(slots)]).real.sum().backward()
    assert x.grad is not None
    assert x.grad[:2].tolist() == [0, 0]
    assert bool(torch.isfinite(x.grad).all())
    assert bool((x.grad[2:].real > 0).all())


@every_rule
def test_transforms_and_compiled_models_take_complex_tensors(name: str) -> None:
    function, slots = RULES[name]
    x = torch.randn(3, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(4))
    values = (0.5, 1.5)[: len(slots)]
    wanted = function(x, *values)
    assert torch.equal(torch.func.vmap(lambda row: function(row, *values))(x), wanted)
    compiled = torch.compile(lambda row: function(row, *values), backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x), wanted)


def test_neighbours_are_compared_by_magnitude(tmp_path: Path) -> None:
    x = torch.randn(6, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(2))
    np.save(tmp_path / "x.npy", x.numpy())
    found = {"nm -t 2:4": t.nm_sparsify(x, 2, 4), "hard -t local-mean:3": t.hard_threshold(x, "local-mean:3")}
    for words, made in found.items():
        command, *options = words.split()
        ran = thresh(command, tmp_path / "x.npy", *options, "-o", tmp_path / "y.npy", "--overwrite", "-q")
        assert ran.status == 0, ran.err
        assert raw(made) == np.load(tmp_path / "y.npy").tobytes()


def test_sources_look_at_magnitudes() -> None:
    x = torch.tensor([3 + 4j, 1j, -2, 0], dtype=torch.complex64)
    assert float(t.quantile(x, 1, magnitude=True)) == 5
    assert t.topk_threshold(x, 2, magnitude=True).values == (2,)
    assert float(t.sigma_threshold(x, 1, magnitude=True)) == pytest.approx(np.std(x.numpy()))
    assert t.threshold(x, "median", magnitude=True, axis=0).values == (5, 1, 2, 0)
    assert float(t.threshold(x, "median", magnitude=True, ignore_zero=True)) == 2


@pytest.mark.parametrize(("work", "said", "hint"), [
    (lambda x: t.quantile(x, 0.5), "complex64, which has no order", "magnitude"),
    (lambda x: t.mad_threshold(x, 3, magnitude=True), "has no 3mad: complex64 has no order", "universal"),
    (lambda x: t.binary_threshold(x, 1), "complex64 has no order", "compare abs"),
    (lambda x: t.soft_threshold(x, x), "threshold holds complex64", "abs()"),
    (lambda x: t.soft_threshold(x, 1, out_dtype=torch.float32), "complex64 does not become float32", "complex one"),
])  # fmt: skip
def test_what_has_no_meaning_is_refused(work: Callable[[torch.Tensor], Any], said: str, hint: str) -> None:
    with pytest.raises(t.errors.ThreshError) as raised:
        work(torch.tensor([1 + 1j, 2]))
    assert said in str(raised.value)
    assert hint in (raised.value.hint or "")
