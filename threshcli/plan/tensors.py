"""One tensor, settled: what is done with it, by which thresholds, in which dtype and order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from threshcli.containers.base import Container, Contents, OutTensor, Tensor
from threshcli.dtypes import DType, Real
from threshcli.errors import UsageError
from threshcli.plan.request import Request
from threshcli.thresholds.base import Bound, Fitted, Fixed, Maps
from threshcli.tiles import View


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlan:
    """One tensor: where it is read, what is done, where it goes.

    `view` is the input in the order of the output's bytes; `reason` says why the rule is not applied. Places are byte
    offsets of the first element in the output and the residual; None where nothing is written by elements.
    """

    tensor: Tensor
    name: str
    view: View
    out: OutTensor
    applied: bool
    reason: str | None
    bounds: Mapping[str, Bound]
    place: int | None = None
    residual_place: int | None = None
    residual_swapped: bool = False


def plan_tensor(
    request: Request, contents: Contents, index: int, name: str, chosen: bool, kind: Container, maps: Maps
) -> TensorPlan:
    """The plan of one tensor of a file; UsageError, naming it, where rule, thresholds or output cannot take it."""
    tensor = contents.tensors[index]
    refusal = request.rule.refusal(tensor.dtype) if chosen else "not selected"
    plain = tuple(range(len(tensor.shape)))
    opaque = tensor.dtype.kind == "opaque"
    order = plain if opaque else kind.axes(tensor.view.order or plain)
    bounds: Mapping[str, Bound] = {}
    out_dtype = tensor.dtype
    if refusal is None:
        out_dtype = request.out_dtype or tensor.dtype
        try:
            _check_dtypes(request, tensor.dtype, out_dtype)
            bounds = _bind(request, tensor, name, order, maps)
        except UsageError as error:
            raise UsageError(f"tensor {name!r}: {error.what}", hint=error.hint) from error
    return TensorPlan(
        tensor=tensor,
        name=name,
        view=tensor.view if opaque else tensor.view.permuted(order),
        out=OutTensor(
            name=tensor.name if kind.name == contents.container else name,
            dtype=out_dtype,
            shape=tensor.shape,
            order=order,
            swapped=kind.keeps_byte_order and tensor.view.swapped,
            source=index,
            copied=refusal is not None,
        ),
        applied=refusal is None,
        reason=refusal,
        bounds=bounds,
    )


def _check_dtypes(request: Request, dtype: DType, out: DType) -> None:
    for option, number in request.rule.constants():
        number.code(out, option)
    policy = request.rule.nan_policy
    if policy.action == "keep" and request.rule.levels and dtype.is_float and not out.is_float:
        raise UsageError(f"--nan keep cannot keep NaN in {out.name}", hint="use --nan below, above or fill=V")
    if out is dtype or out.is_float or request.rule.levels:
        return
    fits = not dtype.is_float and dtype.is_real and out.kind in ("int", "uint")
    if not fits or not (out.keys.low <= dtype.keys.low and dtype.keys.high <= out.keys.high):
        raise UsageError(
            f"values of {dtype.name} do not all fit in {out.name}",
            hint="use the rule binary for masks, or a floating-point --out-dtype",
        )


def _bind(request: Request, tensor: Tensor, name: str, order: tuple[int, ...], maps: Maps) -> Mapping[str, Bound]:
    fitted = Fitted(name, tensor.shape, order, request.broadcast)
    bounds: dict[str, Bound] = {}
    for slot in request.rule.slots:
        if slot.name in request.thresholds:
            bounds[slot.name] = request.thresholds[slot.name].bind(fitted, maps)
    values: dict[str, Real] = {slot: bound.value for slot, bound in bounds.items() if isinstance(bound, Fixed)}
    request.rule.check_values(tensor.dtype, values)
    return bounds
