"""The summary table and that of `info`: what they say, and what they leave out where there is no room."""

from __future__ import annotations

import math

import pytest

from tests.reports import render_table
from tests.test_report_examples import ANSI, EXAMPLES, checkpoint, copied, failed, file, run, tensor
from threshcli.report.cuts import describe
from threshcli.report.terminal import Terminal
from threshcli.results import RunResult, ThresholdUsed

PIPE = Terminal()


def table(result: RunResult, width: int = 0, *, verbose: bool = False) -> list[str]:
    """The lines of a table, on a terminal of that width or (0) in a pipe."""
    terminal = Terminal(is_terminal=True, width=width) if width else PIPE
    return render_table(result, terminal, verbose=verbose).splitlines()


def test_a_plain_table_looks_like_this() -> None:
    """The columns, the alignment, the totals, and the lines below."""
    result = run(
        file("prob.npy", tensor("prob", (512, 512), min=0.0, max=1.0), output="p.npy", bytes_in=1048704),
        file("map.npy", tensor("map", (3, 3), kept=0, zeros_before=0, zeros_after=9, nan=2), output="o/m.npy"),
    )
    assert (
        render_table(result, Terminal(unicode=False, encoding="ascii"), verbose=False)
        == """\
FILE / TENSOR      SHAPE  DTYPE    THRESHOLD   KEPT  ZERO before -> after  NAN/INF         min..max  OUTPUT
------------------------------------------------------------------------------------------------------------
prob.npy         512x512  float32  > 0.5      43.2%         1.0% -> 56.8%        0       0 ..     1  p.npy
map.npy              3x3  float32  > 0.5         0%           0% ->  100%      2/0  -1.235 .. 3.457  o/m.npy
------------------------------------------------------------------------------------------------------------
TOTAL          2 tensors                      43.2%         1.0% -> 56.8%      2/0  -1.235 .. 3.457
262,153 elements in 0.5 s, 524 k/s on cpu, 1.0 MiB in, 2.0 KiB out
2 files written
"""
    )


def test_what_a_decision_selects_is_not_called_kept() -> None:
    """`kept` is null for a rule that writes constants."""
    lines = table(EXAMPLES["one"])
    assert "SELECTED" in lines[0]
    assert "KEPT" not in lines[0]
    assert "float32 -> uint8  > 0.5         43.2%" in lines[2]


def test_in_a_pipe_nothing_is_clipped() -> None:
    """Long names stay whole, without blanks at line ends and without escape sequences."""
    name = "long/" * 40 + "name.npy"
    text = "\n".join(table(run(file(name, tensor(), output=name), file("b.npy", tensor()))))
    assert text.count(name) == 2
    assert "\x1b" not in text
    assert " \n" not in text


def test_one_monstrous_name_does_not_widen_every_other_row() -> None:
    """Rows beside it stay short, or a hostile file could fill the memory."""
    lines = table(run(file("a.safetensors", tensor("x" * 100_000), *(tensor(f"w{i}") for i in range(18)))))
    assert max(map(len, lines[4:])) < 400


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (250, ["FILE", "/", "TENSOR", "SHAPE", "DTYPE", "THRESHOLD", "KEPT", "ZERO"]),
        (74, ["NAME", "SHAPE", "DTYPE", "THRESHOLD", "KEPT", "ZERO", "NAN/INF"]),
        (56, ["NAME", "SHAPE", "DTYPE", "THRESHOLD", "KEPT", "ZERO"]),
        (48, ["NAME", "DTYPE", "THRESHOLD", "KEPT", "ZERO"]),
        (40, ["NAME", "THRESHOLD", "KEPT", "ZERO"]),
        (30, ["NAME", "THRESHOLD", "KEPT"]),
    ],
)
def test_the_least_important_columns_go_first(width: int, titles: list[str]) -> None:
    """The name, the threshold and what was kept stay to the last."""
    assert table(run(file("a.npy", tensor())), width)[0].split()[:8] == titles


def test_counts_of_nan_do_not_go() -> None:
    """Where all are sound their column may, where some are not it may not."""
    assert "NAN/INF" not in table(run(file("a.npy", tensor())), 60)[0]
    assert table(run(file("a.npy", tensor(nan=1))), 60)[0].split()[-1] == "NAN/INF"


def test_where_no_table_fits_every_row_is_a_block() -> None:
    """Nothing is left out then."""
    result = run(file("a.npy", tensor(threshold=ThresholdUsed(spec="@limits.npy", min=0.1, max=0.9), nan=1)))
    assert table(result, 30)[:9] == [
        "a.npy",
        "  SHAPE      10x100",
        "  DTYPE      float32",
        "  THRESHOLD  > 0.1 .. 0.9",
        "             (@limits.npy)",
        "  KEPT       43.2%",
        "  ZERO       1.0% -> 56.8%",
        "  NAN/INF    1/0",
        "  min..max   -1.235 .. 3.457",
    ]


def test_names_lose_their_middle_when_there_is_no_room() -> None:
    """The start and the end of a name say most."""
    (line,) = (line for line in table(checkpoint(), 80) if line.startswith("model-00001"))
    assert line.split()[0].endswith(".safetensors")
    assert "\u2026" in line


def test_columns_go_rather_than_what_tells_names_apart() -> None:
    """A row that could be any of four is worth nothing, whatever stands in it."""
    names = [f"decoder.model.layers.{i}.self_attn.{part}_proj.weight_quantizer" for i in (0, 1) for part in "qk"]
    lines = table(run(file("m.pt", *map(tensor, names), format="pt")), 80)
    rows = [line.split()[0] for line in lines if line.startswith("  decoder")]
    assert len(set(rows)) == len(rows) == 4
    assert "ZERO" not in lines[0]
    assert "ZERO" in table(run(file("m.pt", *[tensor(names[0])] * 2, format="pt")), 80)[0]


def test_markup_in_names_is_just_text() -> None:
    """A name like [red] or [/x] is printed as it is."""
    assert any(line.startswith("[red]map[/x].npy ") for line in table(EXAMPLES["several"]))


def test_the_tensors_of_a_container_stand_below_its_name() -> None:
    """Its output is told once; what was only copied has its reason."""
    lines = table(EXAMPLES["container"])
    assert lines[2] == "m.safetensors -> out.npy"
    assert lines[3].startswith("  embed ")
    assert lines[4].startswith("  norm ")
    assert "copied" in lines[4]
    assert lines[4].endswith("not selected")


def test_a_container_of_one_tensor_takes_one_row() -> None:
    """Its tensor's name is added with `::`, as in a threshold; an .npy has no names."""
    lines = table(run(file("m.safetensors", tensor("w"), format="safetensors"), file("a.npy", tensor("a"))))
    assert lines[2].startswith("m.safetensors::w ")
    assert lines[3].startswith("a.npy ")


def test_copied_tensors_do_not_count() -> None:
    """The totals are over the tensors that the rule worked on."""
    (total,) = (line for line in table(EXAMPLES["container"]) if line.startswith("TOTAL"))
    assert "43.2%" in total
    assert "1,000 elements" in "\n".join(table(EXAMPLES["container"]))


def test_many_tensors_give_a_row_a_file() -> None:
    """More than twenty; and it is said how to see them all."""
    lines = table(checkpoint())
    assert [line.split()[0] for line in lines[2:4]] == [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert "15 tensors  float32, bfloat16  |x| > 0.001 .. 0.015 (zero90%)" in lines[2]
    assert lines[-1] == "30 tensors in 2 files: -v shows each"


def test_types_of_many_kinds_are_counted() -> None:
    """Two are named, three are not."""
    tensors = [tensor(dtype, dtype=dtype) for dtype in ("float32", "bfloat16", "int8")] * 10
    assert "  3 dtypes  " in table(run(file("m.pt", *tensors)))[2]


def test_twenty_tensors_are_shown_one_by_one() -> None:
    """Twenty is not too many, and `verbose` shows any number."""
    assert sum("q_proj" in line for line in table(checkpoint(20))) == 20
    assert sum("q_proj" in line for line in table(checkpoint(), verbose=True)) == 30


def test_gradients_tell_what_is_left_of_their_norm() -> None:
    """A column, and a line over all tensors; other rules have neither."""
    lines = table(run(file("g.npy", tensor(norm_before=4.0, norm_after=3.0)), command="gradient"))
    assert "NORM before -> after" in lines[0]
    assert "norm 4 -> 3 (75.0% of it left)" in lines
    assert "NORM" not in table(run(file("g.npy", tensor(norm_before=4.0, norm_after=3.0)), command="soft"))[0]


def test_norms_add_up_as_norms() -> None:
    """Two tensors of norms 3 and 4 have norm 5 together."""
    tensors = tensor("a", norm_before=3.0, norm_after=0.0), tensor("b", norm_before=4.0, norm_after=0.0)
    assert "norm 5 -> 0 (0% of it left)" in table(run(file("g.pt", *tensors), command="gradient"))


def test_a_failed_file_is_marked_and_the_rest_counted() -> None:
    """Its message stands short in the last column; the whole of it is told on stderr."""
    lines = table(EXAMPLES["several"])
    (row,) = (line for line in lines if line.startswith("bad.npy"))
    assert "failed" in row
    assert row.endswith("the file is truncated: 100 bytes are missing")
    assert "4 files: 2 written, 1 skipped, 1 failed" in lines
    long = next(line for line in table(run(failed("x", "m" * 200))) if line.startswith("x "))
    assert long.endswith("m" * 57 + "...")


def test_a_dry_run_shows_what_would_happen() -> None:
    """No counts, but the threshold as it was asked for."""
    lines = table(EXAMPLES["dry"])
    assert lines[2].split() == ["a.npy", "10x100", "float32", ">", "p90", "-", "-", "-", "-", "out.npy"]
    assert lines[3] == "dry run on cpu, nothing was written, 3.9 KiB in, 0 B out"


def test_outputs_name_the_residual_and_stdout() -> None:
    """`-` is spelled out."""
    assert table(run(file("a.npy", tensor(), output="-")))[2].endswith("  (stdout)")
    assert table(run(file("a.npy", tensor(), residual="left.pt")))[2].endswith("out.npy, residual left.pt")


def test_warnings_come_last_and_not_in_thousands() -> None:
    """Each once, with its file; `verbose` shows all."""
    result = run(*(file(f"{i}.npy", tensor(), warnings=("3 NaN",)) for i in range(25)), warnings=("0.npy: 3 NaN", "hm"))
    lines = [line for line in table(result) if "warning" in line]
    assert lines[:3] == ["warning: 0.npy: 3 NaN", "warning: hm", "warning: 1.npy: 3 NaN"]
    assert lines[20:] == ["6 more warnings: -v shows them"]
    assert len([line for line in table(result, verbose=True) if "warning" in line]) == 26


def test_colour_marks_what_matters() -> None:
    """Failed is red, skipped and copied dim, NaN yellow."""
    text = render_table(EXAMPLES["several"], Terminal(colour=True), verbose=False)
    assert "\x1b[31mfailed\x1b[0m" in text
    assert "\x1b[2mskipped\x1b[0m" in text
    assert "\x1b[33m3/1,000\x1b[0m" in text
    assert ANSI.sub("", text) == render_table(EXAMPLES["several"], PIPE, verbose=False)


@pytest.mark.parametrize(
    ("operator", "used", "shown"),
    [
        ("x > T", [ThresholdUsed(spec="0.5", value=0.5)], "> 0.5"),
        ("|x| >= T", [ThresholdUsed(spec="0.5", value=0.5)], "|x| >= 0.5"),
        ("x > T", [ThresholdUsed(spec="p90", value=0.123456)], "> 0.1235"),
        ("x > T", [ThresholdUsed(spec="9007199254740993", value=9007199254740993)], "> 9007199254740993"),
        ("x > T", [ThresholdUsed(spec="@m.npy", min=0.1, max=0.9)], "> 0.1 .. 0.9 (@m.npy)"),
        ("x > T", [ThresholdUsed(spec="@m.npy", min=0.5, max=0.5)], "> 0.5"),
        ("x > T", [ThresholdUsed(spec="otsu")], "> otsu"),
        ("x > T", [ThresholdUsed(spec="inf", value=math.inf)], "> inf"),
        ("low <= x <= high", [ThresholdUsed(spec=s, value=float(s)) for s in ("0.1", "0.9")], "0.1 <= x <= 0.9"),
        ("not low < x < high", [ThresholdUsed(spec=s, value=float(s)) for s in ("0.1", "0.9")], "not 0.1 < x < 0.9"),
        ("", [ThresholdUsed(spec=s, value=float(s)) for s in ("1", "2", "3")], "1, 2, 3"),
        ("", [ThresholdUsed(spec=str(s), value=s) for s in range(9)], "0, ... 8 (9 cuts)"),
        ("x > T", [], "-"),
    ],
)
def test_a_threshold_stands_in_its_comparison(operator: str, used: list[ThresholdUsed], shown: str) -> None:
    """The number used takes the place of T; a map is the range of its values."""
    slots = tuple(used) if len(used) > 1 else used[0] if used else None
    assert describe(operator, [tensor(threshold=slots)]) == shown


def test_thresholds_of_several_tensors_are_a_range() -> None:
    """One number where all are equal, `varies` where they are not of one kind."""
    one, other = (tensor(threshold=ThresholdUsed(spec="p90", value=value)) for value in (0.25, 0.75))
    assert describe("x > T", [one, one]) == "> 0.25"
    assert describe("x > T", [one, other, copied("c")]) == "> 0.25 .. 0.75 (p90)"
    assert describe("x > T", [one, tensor(threshold=(ThresholdUsed(spec="1"),) * 2)]) == "varies"


def test_a_tensor_of_nothing_but_nan_does_not_hide_the_extremes() -> None:
    """NaN is no extreme."""
    lines = table(run(file("a.pt", tensor("a", min=math.nan, max=math.nan), tensor("b", min=1, max=2))))
    assert "1 .. 2" in " ".join(lines[-2].split())


def test_nothing_to_do_says_so() -> None:
    """No table then, only the closing line."""
    assert table(run()) == ["0 elements in 0.5 s on cpu, 0 B in, 0 B out"]
