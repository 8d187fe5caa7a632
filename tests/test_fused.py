"""What fused kernels write is a program that gives the bytes of the other kernels: compiled for the CPU here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import threshcli as t
from tests.agreement import (
    ANY,
    FLOATS,
    LEVELS,
    RULES,
    SHRINKING,
    SPECS,
    attempted,
    maps_for,
    numbers_for,
    same,
)
from tests.programs import COMPILER, compiled
from tests.strategies import REAL
from threshcli.dtypes import BFLOAT16, BOOL, DTYPES, FLOAT16, FLOAT32, FLOAT64, DType, Range
from threshcli.engine.cuts import scalar_of
from threshcli.functional import tensors as home
from threshcli.functional.held import hold
from threshcli.functional.running import prepare
from threshcli.kernels import torch_fused as fused
from threshcli.kernels._torch_convert import BITS, signed
from threshcli.kernels.base import Block, Kernels, MapCompare, Mask
from threshcli.kernels.numpy import NumpyKernels
from threshcli.rules.gradient import Gradient

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
NATIVE = ("float64", "float32", "float16", "bfloat16")
every_rule = pytest.mark.parametrize("name", RULES)


class Launches:
    """What a call makes of tensors of the CPU as if they were on an accelerator."""

    def __init__(self) -> None:
        self.sources: list[str] = []

    def __call__(self, function: Any, x: torch.Tensor, *given: Any, **options: Any) -> torch.Tensor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(home, "serves", lambda tensor: True)
            patch.setattr(home, "_in_memory", lambda call, input, out: home.select(call, input, watched=False))
            patch.setattr(home, "_program", home._program.__wrapped__)
            patch.setattr(fused, "compiled", self._compiled)
            found: torch.Tensor = function(x, *given, **options)
            return found

    def _compiled(self, source: str, numbers: int) -> Any:
        self.sources.append(source)
        return compiled(source, numbers)


def agree(function: Any, x: torch.Tensor, given: list[Any], **options: Any) -> int:
    """The same bytes either way, or the same class of error. How many launches there were."""
    launches = Launches()
    wanted, code = attempted(lambda: function(x, *given, **options))
    found, status = attempted(lambda: launches(function, x, *given, **options))
    assert status == code
    if found is not None and wanted is not None:
        same(found, wanted)
    return len(launches.sources)


@every_rule
@settings(max_examples=40)
@given(data=st.data())
def test_numbers(name: str, data: st.DataObject) -> None:
    rule = RULES[name]
    x = data.draw(ANY)
    launched = agree(rule[1], x, data.draw(numbers_for(rule)), **rule[3])
    assert launched == 1 or str(x.dtype).removeprefix("torch.") not in NATIVE or name in SHRINKING


@every_rule
@settings(max_examples=40)
@given(data=st.data())
def test_maps_of_any_dtype(name: str, data: st.DataObject) -> None:
    rule = RULES[name]
    x = data.draw(ANY)
    agree(rule[1], x, data.draw(maps_for(rule, x)), **rule[3])


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule[2] == ("threshold",)])
@settings(max_examples=20)
@given(data=st.data())
def test_thresholds_that_are_worked_out(name: str, data: st.DataObject) -> None:
    rule = RULES[name]
    x = data.draw(ANY)
    agree(rule[1], x, [data.draw(st.sampled_from(SPECS))], **rule[3])


@pytest.mark.parametrize("name", LEVELS)
@settings(max_examples=20)
@given(data=st.data())
def test_levels(name: str, data: st.DataObject) -> None:
    x = data.draw(ANY)
    agree(t.levels, x, [[0, 2]], **LEVELS[name][0])


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int8", "uint8", "uint16", "int16", *FLOATS[4:]])
@pytest.mark.parametrize("name", ["gradient", "binary le", "clamp", "band", "soft", "firm", "garrote", "hard"])
def test_all_codes(kind: str, name: str) -> None:
    """Each element that there is, NaN with their payloads among them."""
    dtype = DTYPES[kind]
    codes = torch.arange(1 << dtype.bits).to(BITS[dtype.itemsize])
    x = codes.view(getattr(torch, kind))
    rule = RULES[name]
    for values in ([0.5], [0], [3e-6]) if len(rule[2]) == 1 else ([0.25, 2], [0, 1e-3]):
        agree(rule[1], x, list(values), **rule[3])


def _elements(dtype: DType) -> torch.Tensor:
    """All codes of a dtype, or many of them, and those at its ends."""
    if dtype is BOOL:
        return torch.tensor([False, True])
    if dtype.itemsize <= 2:
        codes = torch.arange(1 << dtype.bits)
    else:
        codes = torch.randint(-(1 << 62), 1 << 62, (1 << 14,), generator=torch.Generator().manual_seed(0)) * 2
        ends = [0, 1, -1, signed(dtype.nan, dtype), signed(dtype.code(dtype.keys.low), dtype)]
        codes = torch.cat([codes, torch.tensor(ends), signed(dtype.code(dtype.keys.high), dtype) - torch.arange(2)])
    return codes.to(BITS[dtype.itemsize]).view(getattr(torch, dtype.name))


def _mask(tensors: list[torch.Tensor], dtypes: list[DType], make: Callable[[Kernels, list[Block]], Mask]) -> None:
    """A program makes the mask that NumPy's kernels make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "compiled", compiled)
        k = fused.FusedKernels()
        mask = make(k, [k.given(dtype) for dtype in dtypes])
        found = k.program(k.select(mask, 1, 0, BOOL)).launch(tensors)
    plain = NumpyKernels()
    with plain.session():
        blocks = [plain.load(hold(x, "x").data, dtype) for x, dtype in zip(tensors, dtypes, strict=True)]
        wanted = torch.tensor(list(plain.store(plain.select(make(plain, blocks), 1, 0, BOOL))))
    assert (found != wanted).nonzero().flatten().tolist()[:5] == []


@pytest.mark.parametrize("dtype", [dtype for dtype in REAL if dtype is not BOOL], ids=str)
def test_masks(dtype: DType) -> None:
    """NaN is in none but that of NaN, whatever its sign; zeros are equal."""
    x = _elements(dtype)
    _mask([x], [dtype], lambda k, given: k.isnan(given[0]))
    other = x.view(BITS[dtype.itemsize]).flip(0).view(x.dtype)
    for magnitude in (False, True):
        bounds = dtype.magnitude_keys if magnitude else dtype.keys
        middle = (bounds.low + bounds.high) // 2
        for low, high in (bounds, (bounds.low, middle), (middle, bounds.high), (middle, middle), (0, 0), (2, 1)):
            _mask([x], [dtype], lambda k, given: k.within(given[0], Range(low, high), magnitude=magnitude))  # noqa: B023
    for compare in get_args(MapCompare):
        _mask([x, other], [dtype, dtype], lambda k, given: k.against(given[0], compare, given[1]))  # noqa: B023
    if dtype.is_float:
        _mask([x, other], [dtype] * 2, lambda k, given: k.against(given[0], "ge", given[1], magnitude=True))


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32, FLOAT16, BFLOAT16], ids=str)
@pytest.mark.parametrize("other", [FLOAT64, FLOAT32, FLOAT16, BFLOAT16], ids=str)
def test_masks_of_two_formats(dtype: DType, other: DType) -> None:
    x, map = _elements(dtype), _elements(other)
    count = min(len(x), len(map))
    for magnitude in (False, True):
        _mask(
            [x[:count], map[-count:]],
            [dtype, other],
            lambda k, given: k.against(given[0], "gt", given[1], magnitude=magnitude),  # noqa: B023
        )


@pytest.mark.parametrize("kind", NATIVE)
@pytest.mark.parametrize("to", NATIVE)
def test_other_formats(kind: str, to: str) -> None:
    """Casts on the way out round once; NaN keeps its sign and its leading bits."""
    seeds = torch.Generator().manual_seed(0)
    width = getattr(torch, kind).itemsize
    codes = torch.randint(-(1 << 62), 1 << 62, (1 << 14,), generator=seeds).to(
        {2: torch.int16, 4: torch.int32, 8: torch.int64}[width]
    )
    ends = torch.randn(1 << 14, generator=seeds, dtype=torch.float64).mul(3e-6).to(getattr(torch, kind))
    ties = torch.tensor([1 + 2.0**-place + 2.0**-40 for place in (8, 11, 24)], dtype=torch.float64)
    x = torch.cat([codes.view(getattr(torch, kind)), ends, ties.to(ends.dtype)])  # a little more than half a step
    agree(t.soft_threshold, x, [1e-7], out_dtype=to)
    agree(t.soft_threshold, x, [0], out_dtype=to)


def test_any_strides() -> None:
    """A tensor is worked on as it lies, and so is a map that is spread over it."""
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    for turned in (x.permute(3, 1, 0, 2), x[:, ::2], x.to(memory_format=torch.channels_last), x[0, 0, 0, 0], x[:0]):
        assert agree(t.gradient_threshold, turned, [0.5]) == 1
    row = torch.rand(5, generator=torch.Generator().manual_seed(1))
    assert agree(t.variable_threshold, x, [row], broadcast=True) == 1


def test_another_number_is_no_other_program() -> None:
    launches = Launches()
    for number in (0.5, 0.25, 3):
        launches(t.gradient_threshold, torch.randn(10), number)
    assert len(launches.sources) == 3
    assert len(set(launches.sources)) == 1


def test_a_program_is_written_once() -> None:
    call = prepare(Gradient(), torch.zeros(2), {"threshold": 0.5})
    kinds = ((scalar_of(call.bindings.bounds["threshold"], None, 2), False),)
    assert home._program(call.rule, call.dtype, call.out, kinds) is home._program(
        call.rule, call.dtype, call.out, kinds
    )


def test_what_is_too_much_for_a_launch_is_not_fused() -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    cuts = torch.linspace(-2, 2, 40).tolist()
    assert agree(t.levels, x, [cuts], values=list(range(41))) == 0
    assert agree(t.levels, x, [cuts[:5]], values=[0, 1, 2, 3, 4, 5]) == 1
    maps = [torch.full_like(x, number) for number in range(9)]
    assert agree(t.levels, x, [maps], values=list(range(10))) == 0
    assert agree(t.levels, x, [maps[:5]], values=list(range(6))) == 1


def test_nan_is_an_error_where_that_is_asked_for() -> None:
    for values in ([1, torch.nan, 3], [1, 2, 3]):
        agree(t.gradient_threshold, torch.tensor(values), [2], nan="error")


def test_gradients_flow_where_they_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs have none: other kernels serve such a tensor."""
    monkeypatch.setattr(home, "serves", lambda tensor: True)
    x = torch.tensor([-2.0, 0.25, 1.0], requires_grad=True)
    t.gradient_threshold(x, 0.5).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [1, 0, 1]


def test_complex_elements_have_other_kernels() -> None:
    x = torch.randn(20, dtype=torch.complex64)
    assert agree(t.gradient_threshold, x, [1]) == 0
    assert agree(t.soft_threshold, x, [0.5]) == 0


def test_other_accelerators_have_kernels_of_their_own() -> None:
    assert not fused.serves(torch.zeros(1))
    assert not fused.serves(torch.zeros(1, device="meta"))
