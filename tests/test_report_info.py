"""The table of `info`: what headers say."""

from __future__ import annotations

import pytest

from tests.reports import render
from tests.test_report_examples import UNRUN, failed, file, run, tensor
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult, TensorResult


def header(name: str, shape: tuple[int, ...], layout: str | None = None) -> TensorResult:
    """A tensor as `info` finds it."""
    found = tensor(name, shape, applied=False, threshold=None, **UNRUN)
    return TensorResult(
        name=name,
        shape=shape,
        dtype="float32",
        out_dtype="float32",
        applied=False,
        elements=found.elements,
        nbytes=4 * found.elements,
        layout=layout,
    )


def headers() -> RunResult:
    """What `info` has to tell of four files."""
    about = (("format", "pt"), ("long", "x" * 300), ("new\nline", "\x1b[2J"))
    files: list[FileResult] = [
        file("m.safetensors", header("embed", (300, 40)), header("scale", ()), metadata=about, notes=("2 are tied",)),
        file("a.npy", header("a", (5, 6), "Fortran")),
        file("e.safetensors"),
        failed("bad.npy"),
    ]
    return run(*files, command="info", operator="")


def test_info_lists_what_the_headers_say() -> None:
    """Tensors, then metadata and notes a line each, then the totals."""
    assert render(headers(), "table", Terminal(is_terminal=True, width=72), verbose=False).splitlines() == [
        "FILE / TENSOR      SHAPE  DTYPE     BYTES  LAYOUT",
        "\u2500" * 72,
        "m.safetensors",
        "  embed           300x40  float32  48,000  -",
        "  scale           scalar  float32       4  -",
        "a.npy                5x6  float32     120  Fortran",
        "e.safetensors  0 tensors  -             -",
        "bad.npy           failed  -             -  the file is truncated: 100 b\u2026",
        "m.safetensors",
        "  format = pt",
        "  long = " + "x" * 62 + "\u2026",
        "  new\\x0aline = \\x1b[2J",
        "  2 are tied",
        "4 files, 3 tensors, 12,031 elements, 47.0 KiB (48,124 bytes)",
    ]


@pytest.mark.parametrize("width", [16, 20, 40, 60, 80, 200])
def test_info_is_never_wider_than_the_terminal(width: int) -> None:
    """Where the width does not suffice, LAYOUT and BYTES go, then the rows become blocks."""
    text = render(headers(), "table", Terminal(is_terminal=True, width=width), verbose=False)
    assert max(map(len, text.splitlines())) <= width
    assert "embed" in text
