"""Reports for programs: JSON and NDJSON, exact, with the schema that they keep to (`schema.json`).

The shape is a promise: what is there stays, additions come at the end of an object. Names are exact; only what no
JSON text can carry, a lone surrogate, is written as a backslash escape, and a file name that has one comes as
base64 of its bytes as well.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping

from threshcli.report.document import line
from threshcli.report.tally import Tally
from threshcli.report.terminal import valid
from threshcli.results import Failure, FileResult, RunResult, TensorResult, ThresholdUsed

SCHEMA = "thresh.report/1"

_COUNTS = ("elements", "selected", "kept", "changed", "zeros_before", "zeros_after", "nan", "inf")
_VALUES = ("min", "max", "mean", "norm_before", "norm_after")


def render_event(file: FileResult, index: int) -> str:
    """One line of NDJSON for a file that has ended, the `index`-th of the run from 0."""
    return line({"event": "file", "index": index, **file_fields(file)})


def schema_text() -> str:
    """The JSON Schema of everything that this module renders."""
    from importlib import resources  # late: only documentation and tests ask for it

    return resources.files(__package__).joinpath("schema.json").read_text(encoding="utf-8")


def recipe(run: RunResult) -> dict[str, object]:
    """The recipe, last in a report, if there is one."""
    return {} if run.recipe is None else {"recipe": run.recipe}


def around(run: RunResult, tally: Tally) -> dict[str, object]:
    """The report of a run without its files and warnings."""
    totals = tally.totals
    return {
        "schema": SCHEMA,
        "version": run.version,
        "command": run.command,
        "status": tally.status,
        "params": run.params,
        "device": run.device,
        "totals": {
            "files": tally.files,
            "failed": tally.failed,
            "elements": totals.elements,
            "selected": totals.sum("selected"),
            "changed": totals.sum("changed"),
            "seconds": run.seconds,
        },
    }


def file_fields(file: FileResult) -> dict[str, object]:
    """A file as it stands in the report of a run."""
    found: dict[str, object] = {
        **_name("input", file.input),
        **_name("output", file.output),
        "status": file.status,
        "format": file.format,
        "bytes_in": file.bytes_in,
        "bytes_out": file.bytes_out,
        "seconds": file.seconds,
        "error": _failure(file.error),
        "tensors": [tensor_fields(item) for item in file.tensors],
    }
    if file.residual is not None:
        found |= _name("residual", file.residual)
    if file.sidecar is not None:
        found |= _name("sidecar", file.sidecar)
    if file.warnings:
        found["warnings"] = file.warnings
    return found


def info_file(file: FileResult) -> dict[str, object]:
    return {
        **_name("input", file.input),
        "status": "failed" if file.status == "failed" else "ok",
        "format": file.format,
        "bytes_in": file.bytes_in,
        "error": _failure(file.error),
        "metadata": dict(file.metadata),
        "notes": file.notes,
        "tensors": [
            {
                "name": item.name,
                "shape": item.shape,
                "dtype": item.dtype,
                "elements": item.elements,
                "nbytes": item.nbytes,
                "layout": item.layout,
            }
            for item in file.tensors
        ],
    }


def looked_at(file: FileResult, shown: Callable[[TensorResult], Mapping[str, object]]) -> dict[str, object]:
    """A file of whose tensors the elements were looked at; `reason` is null where they were."""
    return {
        **_name("input", file.input),
        "status": "failed" if file.status == "failed" else "ok",
        "format": file.format,
        "bytes_in": file.bytes_in,
        "error": _failure(file.error),
        "tensors": [
            {
                "name": item.name,
                "shape": item.shape,
                "dtype": item.dtype,
                "elements": item.elements,
                "reason": item.reason,
                **shown(item),
            }
            for item in file.tensors
        ],
    }


def tensor_fields(tensor: TensorResult) -> dict[str, object]:
    """A tensor as it stands there."""
    found: dict[str, object] = {
        "name": tensor.name,
        "shape": tensor.shape,
        "dtype": tensor.dtype,
        "out_dtype": tensor.out_dtype,
        "applied": tensor.applied,
        "threshold": _threshold(tensor.threshold),
        **{name: getattr(tensor, name) for name in (*_COUNTS, *_VALUES)},
    }
    if tensor.reason is not None:
        found["reason"] = tensor.reason
    if tensor.steps:
        found["steps"] = tensor.steps
    if tensor.packing is not None:
        found["packing"] = tensor.packing
    return found


def _threshold(used: ThresholdUsed | tuple[ThresholdUsed, ...] | None) -> object:
    if isinstance(used, tuple):
        return [_threshold(slot) for slot in used]
    if used is None:
        return None
    found: dict[str, object] = {"spec": used.spec, "value": used.value, "min": used.min, "max": used.max}
    if used.slot != "threshold":
        found["slot"] = used.slot
    if used.worked_out:
        found |= {"usable": used.usable, "unusable": used.unusable}
        found |= {"asked": used.asked, "tied": used.tied, "above": used.above}
    if used.axis is not None:
        found |= {"axis": used.axis, "values": used.values, "above": used.places}
    return found


def _failure(error: Failure | None) -> object:
    return None if error is None else {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}


def _name(key: str, name: str | None) -> dict[str, object]:
    """A file name under its key; one that is not UTF-8 with its bytes beside it."""
    if name is None or valid(name) == name:
        return {key: name}
    try:
        raw = os.fsencode(name)
    except UnicodeEncodeError:  # no name that the system has given
        return {key: name}
    return {key: name, f"{key}_bytes": base64.b64encode(raw).decode("ascii")}
