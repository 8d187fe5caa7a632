"""Thresholds that are worked out where a tensor lies: to the last bit those of the CPU, by the passes that are meant.

torch's kernels are the same for every device, so a tensor of the CPU stands for one of an accelerator here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import threshcli as t
from tests.strategies import REAL, blocks
from tests.studying import LENSES
from tests.training import Bag, gradients, step
from tests.training import same as all_same
from threshcli import thresholds
from threshcli.dtypes import DTYPES, FLOAT32, DType
from threshcli.errors import ThreshError, UsageError
from threshcli.functional import held, on_device
from threshcli.functional.held import Away, Given, hold, take
from threshcli.functional.solving import run, together
from threshcli.kernels import torch_ranks
from threshcli.kernels._torch_convert import BITS
from threshcli.plan.fit import Fit
from threshcli.plan.sharing import shared_dtype
from threshcli.spec import Number
from threshcli.studies.ranks import ranking
from threshcli.studies.ties import tie_position
from threshcli.thresholds.base import Worked

WAYS: dict[str, dict[str, int]] = {
    "sorted": {},
    "guessed": {"FEW": 2, "SAMPLE": 4, "DEVIATIONS": 1},
    "guessed badly": {"FEW": 2, "SAMPLE": 1, "DEVIATIONS": 0},
    "crowded": {"FEW": 0, "SAMPLE": 100},
}
"""Constants under which small data goes every way."""
RANKED = ("p90", "p33.3", "top3", "top50%", "top100000", "zero40%", "zero0%", "zero100%", "median")
OTHERS = ("2mad", "universal", "energy90%", "mean", "0.5sigma", "otsu", "bayes")
every_dtype = pytest.mark.parametrize("dtype", REAL, ids=str)


@contextmanager
def way(name: str, chunk: int = 5) -> Iterator[None]:
    """Few elements at a time, and what leads one way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_device, "LEAST", 0)
        for constant, value in {"CHUNK": chunk, "LEAF": 3, **WAYS[name]}.items():
            patch.setattr(torch_ranks, constant, value)
        yield


def tensor(codes: list[int], dtype: DType) -> Tensor:
    """A tensor of elements with these bits."""
    signed = [code - (1 << dtype.bits) if code >> (dtype.bits - 1) else code for code in codes]
    return torch.tensor(signed, dtype=BITS[dtype.itemsize]).view(getattr(torch, dtype.name))


@st.composite
def drawn(draw: st.DrawFn, dtype: DType) -> Tensor:
    """One element or more, many of them equal, of any codes."""
    codes = draw(blocks(dtype).filter(bool))
    return tensor(codes + draw(st.lists(st.sampled_from(codes), max_size=24)), dtype)


def away(x: Tensor) -> Away:
    return Away(x, DTYPES[str(x.dtype).removeprefix("torch.")])


def attempted(work: Any) -> Any:
    """What comes of it, or the class and the text of what went wrong."""
    try:
        return work()
    except ThreshError as error:
        return type(error), str(error)


def agree(tensors: list[Tensor], spec: str, fit: Fit, *, magnitude: bool) -> list[Away]:
    """The same answers, or the same refusal, of what lies there and of what is in memory."""
    source, parts = thresholds.parse(spec), [away(x) for x in tensors]
    assert isinstance(source, Worked)
    wanted = attempted(lambda: together(source, [hold(x, "input") for x in tensors], fit, magnitude=magnitude))
    assert attempted(lambda: together(source, parts, fit, magnitude=magnitude)) == wanted
    return parts


def is_copied(part: Away) -> bool:
    return "values" in vars(part)


@every_dtype
@pytest.mark.parametrize("name", WAYS)
@settings(max_examples=15)
@given(data=st.data())
def test_every_rank_and_every_tie_is_that_of_the_cpu(name: str, dtype: DType, data: st.DataObject) -> None:
    """Through any lens, with or without zeros."""
    x, lens, ignore_zero = data.draw(drawn(dtype)), data.draw(st.sampled_from(LENSES)), data.draw(st.booleans())
    there, here = [(away(x), None)], [(hold(x, "x"), None)]
    with way(name, data.draw(st.integers(1, 50))):
        found = run(ranking(lens, range), there, dtype, ignore_zero=ignore_zero)
        assert found == run(ranking(lens, range), here, dtype, ignore_zero=ignore_zero)
        for value, count in {(one.value, one.equal) for one in found.found}:
            for ordinal in {1, (count + 1) // 2, count}:
                position = run(tie_position(lens, value, ordinal), there, dtype, ignore_zero=ignore_zero)
                assert position == run(tie_position(lens, value, ordinal), here, dtype, ignore_zero=ignore_zero)
    assert lens.centre is not None or not is_copied(there[0][0])


@every_dtype
@pytest.mark.parametrize("spec", [*RANKED, *OTHERS])
@settings(max_examples=8)
@given(data=st.data())
def test_answers_are_those_of_the_cpu(spec: str, dtype: DType, data: st.DataObject) -> None:
    """Of one tensor, or several of one type or two: values, ties, counts and errors."""
    tensors = data.draw(st.lists(drawn(dtype), min_size=1, max_size=3))
    other = data.draw(st.none() | st.sampled_from(REAL))
    if other is not None:
        tensors.append(data.draw(drawn(other)))
        try:
            shared_dtype({dtype, other})
        except UsageError:
            tensors.pop()
    fit = Fit(
        ties=data.draw(st.sampled_from(["first", "all", "none"])),
        ignore_zero=data.draw(st.booleans()),
        scale=data.draw(st.none() | st.just(Number.of(2))),
    )
    with way(data.draw(st.sampled_from(list(WAYS))), data.draw(st.integers(1, 50))):
        parts = agree(tensors, spec, fit, magnitude=data.draw(st.booleans()))
    assert spec in OTHERS or not any(map(is_copied, parts))


def many(kind: str, count: int) -> Tensor:
    """Elements of kinds that mislead a sample, or are too equal to be told apart by one."""
    x = torch.randn(count, generator=torch.Generator().manual_seed(5))
    if kind == "sorted":
        return x.sort().values
    if kind == "constant":
        return torch.full_like(x, 0.1)
    if kind == "mostly zero":
        return x.where(x > 0.2, 0)
    if kind == "columns":  # of a matrix, each of another size
        return x * torch.randn(64, generator=torch.Generator().manual_seed(6)).exp().square().repeat(count // 64)
    if kind == "few values":
        return x.mul(2).round()
    if kind == "of both ends":
        return x.where(x > 0, x.sign().mul(1e30))
    return x


KINDS = ["independent", "sorted", "constant", "mostly zero", "columns", "few values", "of both ends"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spec", ["zero90%", "zero50%", "p99.9", "top70%", "top64"])
def test_of_many_elements_few_passes_are_taken(kind: str, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One counts what can be used, and one or two say where the rank lies; what is sorted then is little."""
    x, counted, sizes = many(kind, 1 << 18), [], []
    monkeypatch.setattr(torch_ranks, "FEW", 1 << 14)
    monkeypatch.setattr(torch_ranks, "SAMPLE", 1 << 12)
    up_to, ordered = torch_ranks.Ranks._up_to, torch_ranks.Ranks._sorted

    def counting(self: Any, *keys: int) -> list[int]:
        counted.append(keys)
        return up_to(self, *keys)

    def sorting(self: Any, *arguments: Any) -> Tensor:
        sizes.append(len(found := ordered(self, *arguments)))
        return found

    monkeypatch.setattr(torch_ranks.Ranks, "_up_to", counting)
    monkeypatch.setattr(torch_ranks.Ranks, "_sorted", sorting)
    agree([x], spec, Fit(), magnitude=True)
    assert len(counted) <= 3
    assert len(sizes) <= 2
    assert max(sizes) <= 1 << 14


def test_no_more_than_a_chunk_is_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of long tensors; short ones are looked at together, so that each does not take calls of its own."""
    monkeypatch.setattr(torch_ranks, "CHUNK", 10)
    tensors = [torch.arange(count, dtype=torch.float32) for count in (25, 3, 4, 2, 0, 9)]
    row = torch_ranks.Row.of(tensors, [FLOAT32] * len(tensors), FLOAT32)
    found = [block.data.view(torch.float32) for block in row.blocks()]
    assert [len(data) for data in found] == [10, 10, 8, 6, 9]
    assert torch.equal(torch.cat(found), torch.cat(tensors))


def test_equal_elements_are_told_of_by_stretches_that_end_where_a_chunk_does() -> None:
    with way("sorted"):
        row = torch_ranks.Row.of([torch.tensor([1.0, 0, -1, 1, 0, 0, 0, 1, 1])], [FLOAT32], FLOAT32)
        seen, one = torch_ranks.Seen(row, magnitude=True), FLOAT32.key(Fraction(1))
        assert seen.equal(one) == [(0, 3, 2), (3, 5, 1), (5, 8, 1), (8, 9, 1)]
        assert seen.positions(one, 3, 8) == [3, 7]


def test_views_are_looked_at_in_the_order_of_their_indices() -> None:
    x = torch.tensor([[3.0, 1.0, 2.0], [2.0, 2.0, 0.0]])
    with way("sorted"):
        for view in (
            x.T,
            x[:, 1:],
            x[0].expand(4, 3),
            torch._neg_view(x),
            x.flatten()[::2],
            x.clone().requires_grad_(),
        ):
            agree([view], "top2", Fit(), magnitude=False)


def test_few_elements_and_what_is_not_looked_at_there_are_copied() -> None:
    source = thresholds.parse("median")
    assert isinstance(source, Worked)
    few, enough = away(torch.arange(on_device.LEAST - 1)), away(torch.arange(on_device.LEAST))
    masked, complexes = away(torch.arange(on_device.LEAST)), away(torch.zeros(on_device.LEAST, dtype=torch.complex64))
    for part, mask, copied in (
        (few, None, True),
        (enough, None, False),
        (masked, hold(torch.ones(on_device.LEAST, dtype=torch.bool), "mask"), True),
        (complexes, None, True),
    ):
        together(source, [part], Fit(), magnitude=True, masks=[mask])
        assert is_copied(part) is copied
    parts: list[Given] = [away(torch.arange(on_device.LEAST)), hold(torch.arange(5), "x")]
    assert together(source, parts, Fit(), magnitude=True)[0].usable == on_device.LEAST + 5
    several = [(away(torch.arange(on_device.LEAST, device=device)), None) for device in ("cpu", "meta")]
    assert on_device.OnDevice.of(several, DTYPES["int64"], ignore_zero=False) is None
    assert together(source, [away(torch.empty(0))], Fit(), magnitude=True)[0].usable == 0


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Away]]:
    """Tensors that say that they are on a device of CUDA; what is left there is told of."""
    made: list[Away] = []

    class Watched(Away):
        def __init__(self, tensor: Tensor, dtype: DType) -> None:
            super().__init__(tensor, dtype)
            made.append(self)

    monkeypatch.setattr(held, "Away", Watched)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    with way("guessed"):
        yield made


def test_functions_leave_tensors_there(cuda: list[Away]) -> None:
    """Sources as functions, and rules that are given a spec; copies are made where that cannot be."""
    x = torch.tensor([[3.0, -5.0, 3.0], [1.0, float("nan"), 0.0]])
    y = x.numpy()
    assert t.threshold(x, "top2", magnitude=True) == t.threshold(y, "top2", magnitude=True)
    assert t.quantile(x, 0.4, ignore_zero=True) == t.quantile(y, 0.4, ignore_zero=True)
    np.testing.assert_array_equal(t.gradient_threshold(x, "zero50%").numpy(), t.gradient_threshold(y, "zero50%"))
    assert [is_copied(part) for part in cuda] == [False] * 3
    assert t.threshold(x, "top1", axis=0) == t.threshold(y, "top1", axis=0)
    assert t.threshold(x, "top1", mask=y > 0) == t.threshold(y, "top1", mask=y > 0)
    assert t.threshold(x, "otsu") == t.threshold(y, "otsu")
    assert t.niblack(x[:1], 3).tolist() == t.niblack(y[:1], 3).tolist()
    assert [is_copied(part) for part in cuda[3:]] == [True] * 4


def test_what_has_no_elements_is_refused_as_on_the_cpu(cuda: list[Away]) -> None:
    with pytest.raises(UsageError, match="x has no elements to look at"):
        take(torch.empty(3, device="meta"), "x")
    with pytest.raises(UsageError, match=r"x is torch\.sparse_coo, and only dense"):
        take(torch.zeros(3).to_sparse(), "x")
    assert cuda == []


@pytest.mark.parametrize("scope", ["tensor", "global"])
@pytest.mark.parametrize("spec", ["zero60%", "top13", "p75"])
def test_gradients_are_left_there(spec: str, scope: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for taken in (hold, lambda value, what: away(value)):
        monkeypatch.setattr("threshcli.training.thresholding.take", taken)
        model = Bag(gradients())
        with way("guessed"), t.GradientThreshold(model, spec, scope=scope):
            step(model)
        found.append(model.grads())
    all_same(found[1], found[0])
