"""A rule at work on an array or a tensor."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from threshcli.containers.base import OutTensor, Tensor
from threshcli.dtypes import DTYPES, DType
from threshcli.engine.cuts import Cuts
from threshcli.errors import InputError, UsageError
from threshcli.functional.binding import Bindings, Subject
from threshcli.functional.held import Held, dtype_of, hold, is_tensor, take
from threshcli.functional.neighbours import Looking, mask_of, pieces
from threshcli.kernels.base import Block, Cut, Kernels
from threshcli.kernels.complex import fitting
from threshcli.kernels.numpy import NumpyKernels
from threshcli.plan.bounds import check_dtypes, check_ranks, combinations
from threshcli.plan.tensors import TensorPlan
from threshcli.rules.base import Rule
from threshcli.spec import Axes
from threshcli.stats import Counts
from threshcli.thresholds.base import Mapped
from threshcli.tiles import Tile, tile_elements, tiles

if TYPE_CHECKING:
    from threshcli.functional.binding import Data

TILE = 1 << 20
"""Bytes that are worked on at once: they stay in the cache."""
_OWN = threading.local()


class Call(NamedTuple):
    """A rule with everything that decides what it writes, checked."""

    rule: Rule
    dtype: DType
    out: DType
    shape: tuple[int, ...]
    bindings: Bindings
    axes: Axes | None = None

    def mask(self, x: Held) -> memoryview | None:
        """What a rule that looks sideways selects of `x`, a byte an element; None of all others."""
        if not self.rule.sideways:
            return None
        cuts = Cuts(self.rule, planned(self), self.bindings.held)
        return mask_of(Looking(self.rule, x, cuts, self.axes, own_kernels(), TILE))


def prepare(
    rule: Rule,
    input: Any,
    given: Mapping[str, Any],
    *,
    broadcast: bool = False,
    out_dtype: Any = None,
    axes: Axes | None = None,
) -> Call:
    """Bind the thresholds and check all that can be checked before elements are looked at; raises UsageError."""
    dtype = dtype_of(input, "input")
    out = rule.output(dtype) if out_dtype is None else named(out_dtype)
    refusal = rule.refusal(dtype, out)
    if refusal is not None:
        raise UsageError(f"input: {refusal}", hint=rule.remedy(dtype))
    rule.check(frozenset(slot for slot, value in given.items() if value is not None))
    check_dtypes(rule, dtype, out)
    shape = tuple(input.shape)
    rule.check_shape(shape)
    if axes is not None:
        axes.of(len(shape))
    subject = Subject(dtype, shape, lambda: take(input, "input"), axes)
    bindings = subject.bind(rule, given, broadcast=broadcast)
    check_ranks(rule, bindings.bounds, math.prod(shape))
    rule.check_cuts(len(bindings.bounds), out)
    for values in combinations(bindings.bounds):
        rule.check_values(dtype, values)
    return Call(rule, dtype, out, shape, bindings, axes)


def named(dtype: Any) -> DType:
    """The element type that a name, a torch.dtype or a NumPy dtype stands for; UsageError for one that rules cannot
    write."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        try:
            name = np.dtype(dtype).name
        except TypeError:
            name = str(dtype)
    if name not in DTYPES:
        raise UsageError(f"out_dtype {dtype!r} is not a dtype", hint=f"there are {', '.join(DTYPES)}")
    return DTYPES[name]


def run(
    rule: Rule,
    input: Data,
    given: Mapping[str, Any],
    *,
    broadcast: bool = False,
    out_dtype: object = None,
    out: Data | None = None,
    axes: Axes | None = None,
) -> Data:
    """What a rule makes of an input: a new tensor or array, or `out`. Elements are neighbours along `axes`."""
    if is_tensor(input):
        from threshcli.functional.tensors import run_tensor

        found = run_tensor(rule, input, given, broadcast=broadcast, out_dtype=out_dtype, out=out, axes=axes)
        return cast("Data", found)
    call = prepare(rule, input, given, broadcast=broadcast, out_dtype=out_dtype, axes=axes)
    made: Any = _new(call, input) if out is None else _checked(call, out)
    is_plain = made.flags.c_contiguous and made.dtype.isnative
    target = made if is_plain else np.empty(call.shape, call.out.name)
    work(call, hold(input, "input"), target.reshape(-1).view(np.uint8).data)
    if target is not made:
        np.copyto(made, target)
    return cast("Data", made)


def _new(call: Call, input: Any) -> np.ndarray[Any, Any]:
    """An array that lies in memory as the input does: in Fortran's order, for instance, as from NumPy's functions."""
    try:
        return np.empty_like(input, call.out.name, subok=False)
    except TypeError:
        raise UsageError(f"NumPy has no {call.out.name}", hint="give a torch tensor, or another out_dtype") from None


def _checked(call: Call, out: Any) -> Any:
    """`out`, if the result fits it."""
    if not isinstance(out, np.ndarray) or out.dtype.name != call.out.name or out.shape != call.shape:
        raise UsageError(
            f"out must be an array of {call.out.name} with shape {list(call.shape)}", hint="or leave it out"
        )
    if not out.flags.writeable:
        raise UsageError("out is read-only", hint="leave it out, or give a copy")
    return out


def work(call: Call, x: Held, out: memoryview) -> None:
    """Write what the rule makes of `x` into the bytes of `out`, which may be those of `x`, tile by tile with NumPy's
    kernels. Errors leave `out` unfinished, so maps are best checked before."""
    target = memoryview(bytearray(len(out))) if _is_read_later(call, x, out) else out
    _fill(call, x, target)
    if target is not out:
        out[:] = target


def _is_read_later(call: Call, x: Held, out: memoryview) -> bool:
    """Whether a tile of `out` lies where later tiles are still to be read from, as in views that are shifted."""
    if not x.elements:
        return False
    maps = (call.bindings.held(bound) for bound in call.bindings.bounds.values() if isinstance(bound, Mapped))
    written = np.frombuffer(out, np.uint8)
    for held in (x, *maps):
        read = np.frombuffer(held.data, np.uint8)
        if np.may_share_memory(read, written):
            is_ahead = held.shape == call.shape and held.dtype.itemsize >= call.out.itemsize
            if not is_ahead or read.ctypes.data != written.ctypes.data:
                return True
    return False


def _fill(call: Call, x: Held, out: memoryview) -> None:
    cuts = Cuts(call.rule, planned(call), call.bindings.held)
    k, mask = fitting(own_kernels(), call.dtype), call.mask(x)
    with k.session():
        for tile in tiles(x.elements, tile_elements(TILE, max(call.dtype.itemsize, call.out.itemsize))):
            k.reset()
            block = k.load(x.data[span(tile, call.dtype)], call.dtype)
            found = cuts.tile(k, tile, Counts()) if mask is None else [pieces(mask, k, tile)]
            out[span(tile, call.out)] = k.store(_worked(call, found, k, block))


def span(tile: Tile, dtype: DType) -> slice:
    """The bytes of a tile."""
    return slice(tile.start * dtype.itemsize, tile.stop * dtype.itemsize)


def own_kernels() -> NumpyKernels:
    """The kernels of this thread, with their buffers."""
    if not hasattr(_OWN, "kernels"):
        _OWN.kernels = NumpyKernels()
    found: NumpyKernels = _OWN.kernels
    return found


def _worked(call: Call, cuts: Sequence[Cut], k: Kernels, x: Block) -> Block:
    rule = call.rule
    made = rule.apply(k, x, call.out, *cuts).out
    if rule.keeps_nan and call.dtype.compared.is_float and k.count(k.isnan(x)):
        check_nan(rule)
        made = rule.with_nan(k, x, made, call.out)
    return made


def check_nan(rule: Rule) -> None:
    """InputError of an input with NaN where that was asked for."""
    if rule.nan_policy.action == "error":
        raise InputError("the input holds NaN", hint="choose what becomes of it: keep, fill=V")


def planned(call: Call) -> TensorPlan:
    """The call as the engine knows it."""
    plain = tuple(range(len(call.shape)))
    tensor = Tensor("input", call.dtype, call.shape, Held(memoryview(b""), call.dtype, call.shape).view)
    return TensorPlan(
        tensor=tensor,
        name="input",
        view=tensor.view,
        out=OutTensor(name="input", dtype=call.out, shape=call.shape, order=plain),
        applied=True,
        reason=None,
        bounds=call.bindings.bounds,
    )
