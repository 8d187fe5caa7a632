"""A rule at work on a torch tensor: in the memory of the CPU with NumPy's kernels, on an accelerator in one launch,
where that can be; else, and wherever a gradient may be wanted, with torch's kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from threshcli.dtypes import BOOL, DTYPES, DType
from threshcli.engine.cuts import Table, scalar_of
from threshcli.errors import UsageError
from threshcli.functional.held import Held, hold, memory
from threshcli.functional.running import Call, check_nan, prepare, work
from threshcli.kernels._torch_convert import BITS, NATIVE
from threshcli.kernels.base import Block, Cut, Kernels, Rank, Scalar, Tied
from threshcli.kernels.complex import fitting
from threshcli.kernels.torch import TorchKernels
from threshcli.kernels.torch_fused import FusedKernels, Program, Unfused, serves
from threshcli.kernels.torch_tensors import TensorKernels, as_tensor, has_memory, has_tangent
from threshcli.rules.base import Rule, Slot, crossed, slot_of
from threshcli.spec import Axes
from threshcli.thresholds.base import Bound, Fixed, Mapped, Spread


def run_tensor(
    rule: Any,
    input: Tensor,
    given: Mapping[str, Any],
    *,
    broadcast: bool,
    out_dtype: Any,
    out: Any,
    axes: Axes | None,
) -> Tensor:
    """What a rule makes of a tensor: a new one, on the same device, or `out`."""
    call = prepare(rule, input, given, broadcast=broadcast, out_dtype=out_dtype, axes=axes)
    watched = _is_watched(input, call)
    if out is not None:
        _check_out(call, input, out, watched)
    if input.device.type == "cpu" and not watched:
        return _in_memory(call, input, out)
    made = select(call, input, watched=watched)
    return made if out is None else out.copy_(made)


def _check_out(call: Call, input: Tensor, out: Any, watched: bool) -> None:
    kind = getattr(torch, call.out.name)
    if not isinstance(out, Tensor) or (out.dtype, out.shape, out.device) != (kind, input.shape, input.device):
        raise UsageError(
            f"out must be a tensor of {kind} with shape {list(call.shape)} on {input.device}", hint="or leave it out"
        )
    if watched or (torch.is_grad_enabled() and out.requires_grad):
        raise UsageError("out has no place where gradients are recorded", hint="leave it out, or use torch.no_grad()")


def _is_watched(input: Tensor, call: Call) -> bool:
    """Whether a gradient may be wanted, or the tensor is one of a transform, which has no memory of its own."""
    tensors = [input, *(value for value in call.bindings.maps.values() if isinstance(value, Tensor))]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return True
    return not all(has_memory(tensor) and not has_tangent(tensor) for tensor in tensors)


def _in_memory(call: Call, input: Tensor, out: Tensor | None) -> Tensor:
    if out is None:
        return _in_memory(call, input, torch.empty_like(input, dtype=getattr(torch, call.out.name)))
    is_plain = out.is_contiguous() and not out.is_conj() and not out.is_neg()
    target = out if is_plain else torch.empty(out.shape, dtype=out.dtype, device=out.device)
    work(call, hold(input, "input"), memory(target))
    if target is not out:
        return out.copy_(target)
    if not out.is_inference():
        torch.autograd.graph.increment_version(out)  # so that backward() refuses what it needed and is gone
    return out


def select(call: Call, input: Tensor, *, watched: bool) -> Tensor:
    """The same on any device; with torch's kernels gradients flow where the dtype has any."""
    if serves(input) and not watched:
        with suppress(Unfused):
            return _fused(call, input)
    kind = call.dtype.compared
    if not kind.is_float or kind.itemsize == 1:
        return _lying_as(input, _on_bits(call, input))
    if call.dtype.part is not None:
        made = _selected(call, input, torch.view_as_real(input.resolve_conj())).contiguous()
        return _lying_as(input, torch.view_as_complex(made))
    found = _selected(call, input, input)
    return found.expand(input.shape) if found.shape != input.shape else found


def _lying_as(input: Tensor, made: Tensor) -> Tensor:
    """What was made, in memory as the input lies there (in channels_last, for instance), as torch's own functions have
    it; inside of a transform as it is."""
    if input.is_contiguous() or not has_memory(made):
        return made
    return torch.empty_like(input, dtype=made.dtype).copy_(made)


def _selected(call: Call, input: Tensor, data: Tensor) -> Tensor:
    """What the rule makes of the elements in `data`, whose parts lie along a last axis if they are complex."""
    k = fitting(TensorKernels(input.device), call.dtype)
    x = Block(data, call.dtype)
    made = call.rule.apply(k, x, call.out, *_cuts(call, input)).out
    if call.rule.keeps_nan:
        _check_nan(call, k, x)
        made = call.rule.with_nan(k, x, made, call.out)
    found: Tensor = made.data
    return found


def _check_nan(call: Call, k: Kernels, x: Block) -> None:
    if call.rule.nan_policy.action == "error" and k.count(k.isnan(x)):
        check_nan(call.rule)


def _on_bits(call: Call, input: Tensor) -> Tensor:
    """Types that torch does not compute with, and integers, whose comparisons with it are not exact."""
    k = TorchKernels(str(input.device))
    x = Block(input.detach().contiguous().reshape(-1).view(BITS[call.dtype.itemsize]), call.dtype)
    cuts = [_flat(cut) for cut in _cuts(call, input)]
    made = call.rule.apply(k, x, call.out, *cuts).out
    if call.rule.keeps_nan and call.dtype.is_float:
        _check_nan(call, k, x)
        made = call.rule.with_nan(k, x, made, call.out)
    return as_tensor(made).reshape(input.shape)


def _fused(call: Call, input: Tensor) -> Tensor:
    """All of it in one launch; Unfused where that cannot be."""
    if call.dtype.part is not None:
        raise Unfused
    tensors, kinds = [input.detach()], []
    for cut in _cuts(call, input):
        value, above = cut if isinstance(cut, Tied) else (cut, None)
        kinds.append((value if isinstance(value, Scalar) else value.dtype, above is not None))
        tensors += [] if isinstance(value, Scalar) else [value.data.detach()]
        tensors += [] if above is None else [above]
    program = _program(call.rule, call.dtype, call.out, tuple(kinds))
    if call.rule.keeps_nan:
        _check_nan(call, TensorKernels(input.device), Block(input, call.dtype))
    return as_tensor(Block(program.launch(tensors), call.out))


@lru_cache(maxsize=1024)
def _program(rule: Rule, dtype: DType, out: DType, cuts: tuple[tuple[Scalar | DType, bool], ...]) -> Program:
    """What a rule makes of elements of a dtype. A cut is a number, or of a dtype and a tensor of its own; of the latter
    another says, where there are ties, what is above it."""
    k = FusedKernels()
    x = k.given(dtype)
    met: list[Cut] = []
    for kind, tied in cuts:
        value = kind if isinstance(kind, Scalar) else k.given(kind)
        met.append(Tied(value, k.given_mask()) if tied else value)
    made = rule.apply(k, x, out, *met).out
    if rule.keeps_nan and dtype.is_float:
        made = rule.with_nan(k, x, made, out)
    return k.program(made)


def _flat(cut: Cut) -> Cut:
    """A cut with maps and masks as bits in a row."""
    if isinstance(cut, Tied):
        return Tied(_flat_value(cut.value), cut.above.reshape(-1))
    return _flat_value(cut)


def _flat_value(cut: Scalar | Block) -> Scalar | Block:
    if isinstance(cut, Scalar):
        return cut
    return Block(cut.data.contiguous().reshape(-1).view(BITS[cut.dtype.itemsize]), cut.dtype)


def _cuts(call: Call, input: Tensor) -> list[Cut]:
    """The cuts of a whole tensor, by slot; of a rule that looks sideways the mask of what it selects."""
    mask = call.mask(hold(input, "input")) if call.rule.sideways else None
    if mask is not None:
        truth = _from_held(Held(mask, BOOL, call.shape)).to(input.device)
        return [Block(truth, BOOL)]
    found: dict[str, Cut] = {}
    bounds = call.bindings.bounds
    for slot in call.rule.slots:
        for key in [key for key in bounds if slot_of(key) == slot.name] or slot.keys(1):
            found[key] = _cut(call, bounds.get(key), slot, input)
    for (first, low), (second, high) in pairwise(found.items()):
        if _is_crossed(TensorKernels(input.device), low, high):
            raise crossed(first, second, " for some elements")
    return list(found.values())


def _cut(call: Call, bound: Bound | None, slot: Slot, input: Tensor) -> Cut:
    if isinstance(bound, Mapped):
        return _map(call, slot.name, bound, input)
    if isinstance(bound, Spread):
        return _spread(call, bound, input)
    cut = scalar_of(bound, slot.default, input.numel())
    if not isinstance(bound, Fixed) or bound.above is None or isinstance(cut, Rank):
        return cut
    positions = torch.arange(input.numel(), device=input.device).reshape(input.shape)
    return Tied(cut, positions < bound.above)


def _map(call: Call, slot: str, bound: Mapped, input: Tensor) -> Block:
    """A map as it is, or, where the CPU has to hold it, on the input's device; one number for all is of its dtype."""
    value = call.bindings.maps[bound.path]
    data = value if isinstance(value, Tensor) else _from_held(hold(value, slot))
    data = data.to(input.device)
    kind = call.dtype.compared
    if not data.shape and kind.is_float:
        return Block(data.to(getattr(torch, kind.name)).expand(input.shape), kind)
    if not bound.made:
        _check_map(call, slot, data)
    return Block(data.expand(input.shape), bound.dtype)


def _from_held(held: Held) -> Tensor:
    """A map that came as an array."""
    data = (
        torch.frombuffer(bytearray(held.data), dtype=torch.uint8)
        if held.elements
        else torch.empty(0, dtype=torch.uint8)
    )
    return data.view(getattr(torch, held.dtype.name)).reshape(held.shape)


def _check_map(call: Call, slot: str, data: Tensor) -> None:
    """UsageError of a map with NaN, or with negative values where magnitudes are compared; not asked of a tensor that a
    transform looks through, which has no values yet."""
    if not has_memory(data) or not data.numel():
        return
    dtype = DTYPES[str(data.dtype).removeprefix("torch.")]
    if not (dtype.is_float or call.rule.magnitude):
        return
    least = _least(data.detach(), dtype)
    if math.isnan(least):
        raise UsageError(f"{slot} holds NaN, and nothing compares with that", hint="fill it first")
    if call.rule.magnitude and least < 0:
        raise UsageError(f"{slot} holds negative values, and magnitudes never are", hint="give thresholds of 0 or more")


def _least(data: Tensor, dtype: DType) -> float:
    """The smallest element, NaN if any is: of floats that torch knows in one pass."""
    if dtype in NATIVE:
        return float(data.amin())
    found = TorchKernels(str(data.device)).measure(
        Block(data.contiguous().reshape(-1).view(BITS[dtype.itemsize]), dtype)
    )
    return math.nan if found.nan or found.low is None else float(found.low)


def _is_crossed(k: Kernels, low: Cut, high: Cut) -> bool:
    """Whether the lower of two thresholds, of which one varies, is above the upper somewhere."""
    low, high = (cut.value if isinstance(cut, Tied) else cut for cut in (low, high))
    if not all(isinstance(cut, Scalar) or has_memory(cut.data) for cut in (low, high)):
        return False
    if isinstance(low, Block):
        return k.count(k.compare(low, "gt", high)) > 0
    return isinstance(high, Block) and k.count(k.compare(high, "lt", low)) > 0


def _spread(call: Call, bound: Spread, input: Tensor) -> Cut:
    """A threshold for each index along an axis."""
    table = Table(bound, call.dtype.compared, call.rule.arithmetic(call.dtype))
    shape = [1] * input.dim()
    shape[bound.axis] = -1
    codes = torch.from_numpy(table.codes.view(f"i{table.dtype.itemsize}")).to(input.device)
    block = Block(as_tensor(Block(codes, table.dtype)).reshape(shape).expand(input.shape), table.dtype)
    if table.above is None:
        return block
    rest = [length for axis, length in enumerate(input.shape) if axis != bound.axis]
    inside = torch.arange(math.prod(rest), device=input.device).reshape(rest).unsqueeze(bound.axis)
    return Tied(block, inside < torch.from_numpy(table.above).to(input.device).reshape(shape))
