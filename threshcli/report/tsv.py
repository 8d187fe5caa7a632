r"""Reports as a table for programs: a line of names, then a line a tensor, every number exact.

A tab, a newline or a backslash in a name is written \t, \n, \\; what a terminal would obey as \xNN or \uNNNN. So
every line has the same number of fields, and every name can be had back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from threshcli.report.cuts import slots_of
from threshcli.report.terminal import safe
from threshcli.results import FileResult, TensorResult, ThresholdUsed

_FILE = ("file", "status")
_TENSOR = ("tensor", "shape", "dtype", "out_dtype", "applied", "reason")
_SLOTS = ("spec", "threshold", "threshold_min", "threshold_max")
_COUNTS = ("elements", "selected", "kept", "changed", "zeros_before", "zeros_after", "nan", "inf")
_VALUES = ("min", "max", "mean", "norm_before", "norm_after")
_END = ("output", "error")
_RANKS = ("asked", "tied", "usable", "unusable")

_COLUMNS = (*_FILE, *_TENSOR, *_SLOTS, *_COUNTS, *_VALUES, *_END, *_RANKS, "steps", "packing")

_GETTERS: dict[str, Callable[[TensorResult], object]] = {
    "tensor": lambda item: item.name,
    "shape": lambda item: "x".join(map(str, item.shape)),
    "steps": lambda item: ",".join(item.steps) or None,
    "spec": lambda item: _slots(item, lambda used: used.spec),
    "threshold": lambda item: _slots(item, lambda used: used.value),
    "threshold_min": lambda item: _slots(item, lambda used: used.min),
    "threshold_max": lambda item: _slots(item, lambda used: used.max),
    "asked": lambda item: _slots(item, lambda used: used.asked, worked_out=True),
    "tied": lambda item: _slots(item, lambda used: used.tied, worked_out=True),
    "usable": lambda item: _slots(item, lambda used: used.usable, worked_out=True),
    "unusable": lambda item: _slots(item, lambda used: used.unusable, worked_out=True),
}


def head() -> str:
    """The line of names of a run's report."""
    return "\t".join(_COLUMNS) + "\n"


def lines(file: FileResult) -> str:
    """The lines of one file of a run."""
    tensors: Sequence[TensorResult | None] = file.tensors or (None,)
    return "".join("\t".join(_field(_value(name, file, item)) for name in _COLUMNS) + "\n" for item in tensors)


def _value(name: str, file: FileResult, tensor: TensorResult | None) -> object:
    match name:
        case "file":
            return file.input
        case "status":
            return file.status
        case "output":
            return file.output
        case "error":
            return file.error.message if file.error else None
    if tensor is None:
        return None
    return _GETTERS[name](tensor) if name in _GETTERS else getattr(tensor, name)


def _slots(tensor: TensorResult, part: Callable[[ThresholdUsed], object], *, worked_out: bool = False) -> str | None:
    """One part of every slot's threshold, commas between; on request only where one was worked out from data."""
    used = slots_of(tensor)
    if worked_out and not any(slot.worked_out for slot in used):
        return None
    values = [part(slot) for slot in used]
    return ",".join("" if value is None else str(value) for value in values) if values else None


def _field(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    text = value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return safe(text)
