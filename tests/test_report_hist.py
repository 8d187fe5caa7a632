"""The picture of `hist`: bars that fit, a line where the cut is, and what is removed told apart by its character."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reports import render
from tests.test_report_examples import ANSI, UNHURRIED, anything, check_lines, failed, file, run, terminals
from tests.test_report_machine import parsed
from threshcli.findings import Mark, TensorHist
from threshcli.report._bars import ASCII, Glyphs, labels, length, offsets
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult, TensorResult, ThresholdUsed

WIDE, NARROW = Terminal(is_terminal=True, width=80), Terminal(is_terminal=True, width=40)
EDGES, COUNTS = (-1.0, -0.5, 0.0, 0.5, 1.0), (10, 400, 1000, 1)


def mark(row: int, before: int | None, **more: Any) -> Mark:
    given: dict[str, Any] = {"spec": "otsu", "slot": "threshold", "value": 0.25, "removing": "below"}
    return Mark(row=row, before=before, **given | more)


def histogram(*marks: Mark, **more: Any) -> TensorHist:
    """A tensor of four rows."""
    fields: dict[str, Any] = {
        **{"name": "w", "shape": (3, 470), "dtype": "float32", "out_dtype": "float32", "applied": True},
        **{"elements": sum(COUNTS), "nan": 0, "inf": 0, "min": -1.0, "max": 1.0, "edges": EDGES, "counts": COUNTS},
        **{"marks": marks},
    }
    return TensorHist(**fields | more)


CUT = histogram(
    mark(2, 600),
    threshold=ThresholdUsed(spec="otsu", value=0.25, worked_out=True, usable=1411, unusable=0),
    kept=401,
    removed=1010,
    removed_counts=(10, 400, 600, 0),
)


def drawn(*items: TensorResult | FileResult, **params: object) -> RunResult:
    """A run that has looked at these tensors, all of one file, and at these files."""
    tensors = [item for item in items if isinstance(item, TensorResult)]
    files = [item for item in items if isinstance(item, FileResult)]
    held = [file("m.safetensors", *tensors, format="safetensors")] if tensors else []
    return replace(run(*held, *files, params=params), command="hist", operator="")


def picture(item: TensorResult, terminal: Terminal = WIDE, **params: object) -> list[str]:
    return render(drawn(item, **params), "table", terminal, False).splitlines()


def bars(lines: list[str], axis: str = "\u2502") -> list[str]:
    """The bars alone, without numbers."""
    return [re.sub(r" +[\d,]+( +[<>]?[\d.]+%)?$", "", line.partition(axis)[2]) for line in lines if axis in line]


def test_a_histogram_at_eighty_columns() -> None:
    """Edges, bars, counts and shares; the row that is cut goes on below the line where it ended above."""
    room, light, full, line = 80 - len("-1.00") - 2 - 6 - 8, "\u2591", "\u2588", "\u2500"
    removed = round(room * 0.6)
    assert picture(CUT) == [
        "m.safetensors::w",
        "  float32 3x470, 1,411 elements, -1 .. 1",
        f"-1.00 \u2502{light:<{room}}    10    0.7%",
        f"-0.50 \u2502{light * round(room * 0.4):<{room}}   400   28.3%",
        f" 0.00 \u2502{light * removed:<{room}}   600   42.5%",
        f"{line * 6}\u253c{line} T = 0.25 (otsu) {line * (80 - 8 - 17)}",
        f"      \u2502{' ' * removed + full * (room - removed)}   400   28.3%",
        f" 0.50 \u2502\u258f{' ' * (room - 1)}     1    0.1%",
        "  \u2588 kept 28.4% (401 of 1,411), \u2591 removed 71.6% (1,010)",
    ]


def test_what_is_in_no_row_is_told_beside_the_shape() -> None:
    """NaN and infinities; of one dimension, the elements are the shape; magnitudes are called that."""
    lines = picture(histogram(nan=3, inf=1000, shape=(1411,), min=0.0), magnitude=True)
    assert lines[1] == "  float32, 1,411 elements, |x| 0 .. 1, 3 NaN, 1,000 infinite"


def test_without_colour_the_removed_are_told_by_their_character() -> None:
    """Light above the line, full below it, in blocks and in ASCII; colour only dims the same lines."""
    for terminal, params, light, full, axis in (
        (WIDE, {}, "\u2591", "\u2588\u258f", "\u2502"),
        (WIDE, {"ascii": True}, ".", "#", "|"),
        (NARROW, {}, "\u2591", "\u2588\u258d\u258f\u2589\u258c\u258b\u258a\u258e", "\u2502"),
    ):
        found = bars(picture(CUT, terminal, **params), axis)
        assert [set(bar.strip()) <= set(light) for bar in found] == [True] * 3 + [False] * 2
        assert [set(bar.strip()) <= set(full) for bar in found] == [False] * 3 + [True] * 2
    coloured = picture(CUT, replace(WIDE, colour=True))
    assert [ANSI.sub("", line) for line in coloured] == picture(CUT)
    assert [line.startswith("\x1b[2m") for line in coloured if "\u2502" in line] == [True] * 3 + [False] * 2


@pytest.mark.parametrize("width", [16, 20, 27, 40, 60, 80, 120, 250])
@pytest.mark.parametrize("log", [False, True])
def test_the_picture_fills_the_terminal_and_no_more(width: int, log: bool) -> None:
    """The longest bar, or the line of the cut, takes what there is; where that is little, shares and counts go."""
    terminal = Terminal(is_terminal=True, width=width)
    lines = picture(CUT, terminal, log=log)
    check_lines("\n".join(lines) + "\n", terminal)
    assert max(map(len, lines)) == width
    assert any("%" in line for line in lines if "\u2502" in line) == (width >= 43)
    assert any("600" in line for line in lines if "\u2502" in line) == (width >= 20)


def test_what_is_kept_and_what_is_removed_are_two_lines_where_one_is_too_long() -> None:
    assert [line.split(" (")[0] for line in picture(CUT, NARROW)[-2:]] == [
        "  \u2588 kept 28.4%",
        "  \u2591 removed 71.6%",
    ]


def test_what_is_no_terminal_has_eighty_columns() -> None:
    assert picture(CUT, Terminal()) == picture(CUT)


@pytest.mark.parametrize("terminal", [Terminal(encoding="ascii", unicode=False), Terminal(encoding="cp437")])
def test_a_charset_without_all_blocks_gets_ascii(terminal: Terminal) -> None:
    """Code page 437 has some of them."""
    lines = picture(CUT, terminal)
    assert all(line.isascii() for line in lines)
    assert lines[2:] == picture(CUT, WIDE, ascii=True)[2:]


def test_ascii_is_asked_for() -> None:
    """Names included."""
    lines = picture(replace(CUT, name="\u00e9"), WIDE, ascii=True)
    assert all(line.isascii() for line in lines)
    assert lines[0] == "m.safetensors::\\xe9"
    assert lines[5].startswith("------+- T = 0.25 (otsu) ---")
    assert lines[-1] == "  # kept 28.4% (401 of 1,411), . removed 71.6% (1,010)"


@pytest.mark.parametrize(("row", "place"), [(0, 2), (1, 3), (3, 5), (4, 6)])
def test_a_cut_between_rows_stands_between_them(row: int, place: int) -> None:
    """Before the first and after the last as well; what lies above the line is removed."""
    lines = picture(histogram(mark(row, None, value=7, spec="7")))
    assert [number for number, line in enumerate(lines) if " T = 7 \u2500" in line] == [place]
    assert [bar[0] for bar in bars(lines)] == ["\u2591"] * row + [bar[0] for bar in bars(lines)][row:]
    assert "\u2591" not in "".join(bars(lines)[row:])


def test_a_band_is_full_between_its_ends() -> None:
    """Each end has its line, in one row too; the parts of a row follow each other."""
    low = mark(1, None, slot="low", value=-0.5, spec="-0.5")
    lines = picture(histogram(low, mark(2, 600, slot="high", removing="above")))
    assert [bar.strip()[0] for bar in bars(lines)] == ["\u2591", "\u2588", "\u2588", "\u2591", "\u2591"]
    assert [line.strip("\u2500\u253c ") for line in lines if "\u253c" in line] == ["low = -0.5", "high = 0.25 (otsu)"]
    low, high = mark(2, 300, slot="low"), mark(2, 900, slot="high", removing="above")
    parts = bars(picture(histogram(low, high)))[2:5]
    assert [part.strip()[0] for part in parts] == ["\u2591", "\u2588", "\u2591"]
    starts, ends = [len(part) - len(part.lstrip()) for part in parts], [len(part) for part in parts]
    assert starts == [0, ends[0], ends[1]]


def test_cuts_that_remove_nothing_leave_all_bars_full() -> None:
    lines = picture(histogram(mark(1, 5, removing=None), mark(2, None, removing=None)))
    assert sum("T = " in line for line in lines) == 2
    assert "\u2591" not in "".join(lines)


def test_the_logarithm_shows_what_is_rare() -> None:
    """One element beside a thousand is a tenth of its bar; it is said what the bars are."""
    plain, log = (bars(picture(histogram(), log=flag)) for flag in (False, True))
    assert len(plain[3]) == 1
    assert len(log[3]) == math.ceil(59 * math.log10(2) / math.log10(1001))
    assert picture(histogram(), log=True)[-1] == "  bars: log10(1 + count)"


def test_nothing_has_no_bar_and_next_to_nothing_the_thinnest() -> None:
    lines = picture(histogram(edges=(0, 1, 2, 3), counts=(0, 1, 10**9), elements=10**9 + 1))
    assert [bar[:1] for bar in bars(lines)] == ["", "\u258f", "\u2588"]
    ascii_bars = bars(picture(histogram(counts=(0, 1, 10**9), edges=(0, 1, 2, 3)), ascii=True), "|")
    assert [bar[:2].strip() for bar in ascii_bars] == ["", "#", "##"]


def test_a_bar_is_as_long_as_its_count_to_an_eighth_of_a_cell() -> None:
    glyphs = Glyphs()
    assert [glyphs.bar(cells / 8, False) for cells in (0, 1, 7, 8, 12)] == [
        "",
        "\u258f",
        "\u2589",
        "\u2588",
        "\u2588\u258c",
    ]
    assert [glyphs.bar(cells, True) for cells in (0.0, 0.1, 1.4, 1.6)] == ["", "\u2591", "\u2591", "\u2591\u2591"]
    assert [ASCII.bar(cells, False) for cells in (0.0, 0.1, 1.6)] == ["", "#", "##"]
    assert (length(0, 5, 10, False), length(5, 5, 10, False), length(5, 5, 10, True)) == (0, 10, 10)
    assert offsets([1, 0, 99], 10.0) == [0, 1, 1]
    assert offsets([0, 0], 0.0) == [0, 0]


@pytest.mark.parametrize(
    ("edges", "shown"),
    [
        ((0, 13, 26), ["0", "13", "26"]),
        ((-(2**63), 0, 2**63), ["-9.2e+18", "0.0e+00", "9.2e+18"]),
        ((-1.0, -0.001, 0.998), ["-1.00", "0.00", "1.00"]),
        ((0.0001, 0.0002), ["0.00010", "0.00020"]),
        ((1e-12, 2e-12), ["1.0e-12", "2.0e-12"]),
        ((1e9, 1e9 + 1, 1e9 + 2), ["1.0000000000e+09", "1.0000000010e+09", "1.0000000020e+09"]),
        ((7.5, 7.5), ["7.5", "7.5"]),
        ((-1.7e308, 0.0, 1.7e308), ["-1.7e+308", "0.0e+00", "1.7e+308"]),
        ((0.0, 5e-324), ["0", "4.941e-324"]),
    ],
    ids=str,
)
def test_labels_are_as_short_as_rows_allow(edges: tuple[float, ...], shown: list[str]) -> None:
    """Two digits of a row's width; an exponent only for what is very large or very small."""
    assert labels(edges) == shown


@given(st.floats(-1e300, 1e300), st.floats(1e-300, 1e300), st.integers(2, 200))
def test_no_two_rows_have_one_label(low: float, width: float, rows: int) -> None:
    """Whatever the range."""
    found = [low + width * row for row in range(rows + 1)]
    if all(first < second for first, second in pairwise(found)):
        assert len(set(labels(found))) == len(found)


def test_tensors_follow_each_other_with_an_empty_line_between() -> None:
    """What was not drawn is counted; what could not be says why; what was not chosen says nothing."""
    plain = TensorResult(
        name="c", shape=(3,), dtype="complex64", out_dtype="complex64", applied=False, reason="no order"
    )
    others = [replace(plain, name="n", reason="not selected"), replace(plain, name="later", applied=True, reason=None)]
    result = drawn(CUT, plain, *others, failed("bad.npy"), file("e.safetensors"), file("x.npy", CUT))
    lines = render(result, "table", WIDE, False).splitlines()
    blocks = "\n".join(lines).split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        "m.safetensors::w",
        "m.safetensors::c",
        "bad.npy: failed: the file is truncated: 100 bytes are missing",
        "e.safetensors: 0 tensors",
        "x.npy",
        "1 more tensor: -v shows each, --tensor GLOB chooses",
    ]
    assert blocks[1].endswith("  no order")


def test_the_document_holds_all_of_it() -> None:
    """Sums over the tensors that were cut; null without any."""
    document = parsed(render(drawn(CUT, histogram(nan=2)), "json", WIDE, False))
    assert document["schema"] == "thresh.hist/1"
    first, second = document["files"][0]["tensors"]
    assert (first["edges"], first["counts"], first["removed_counts"]) == (list(EDGES), list(COUNTS), [10, 400, 600, 0])
    assert (first["threshold"]["spec"], first["threshold"]["usable"]) == ("otsu", 1411)
    assert (second["threshold"], second["kept"], second["removed_counts"], second["nan"]) == (None, None, None, 2)
    assert (document["totals"]["kept"], document["totals"]["removed"]) == (401, 1010)
    assert parsed(render(drawn(histogram()), "json", WIDE, False))["totals"]["kept"] is None


@st.composite
def histograms(draw: st.DrawFn) -> TensorHist:
    """Any rows, with a cut or both ends of a band anywhere in them."""
    counts = tuple(draw(st.lists(st.integers(0, 10**12) | st.integers(0, 3), min_size=1, max_size=12)))
    low, width = draw(st.floats(-1e6, 1e6)), draw(st.floats(1e-3, 1e6))
    places = sorted(draw(st.lists(st.integers(0, len(counts)), max_size=2)))
    sides: tuple[Literal["below", "above"], ...] = ("below", "above")
    marks: list[Mark] = []
    for place, removing in zip(places, sides, strict=False):
        inside = place < len(counts) and place not in [item.row for item in marks]
        before = draw(st.none() | st.integers(0, counts[place])) if inside else None
        spec = draw(anything)
        marks.append(mark(place, before, spec=spec, removing=removing, value=draw(st.floats() | st.integers())))
    ordered = sorted(marks, key=lambda item: (item.row, item.before or 0))
    edges = tuple(low + width * row for row in range(len(counts) + 1))
    kept = draw(st.none() | st.integers(0, sum(counts)))
    removed = None if kept is None else sum(counts) - kept
    return histogram(
        *ordered, name=draw(anything), edges=edges, counts=counts, elements=sum(counts), kept=kept, removed=removed
    )


@UNHURRIED
@given(st.lists(histograms(), max_size=2), terminals, st.booleans(), st.booleans())
def test_no_histogram_can_break_a_terminal(
    items: list[TensorHist], terminal: Terminal, log: bool, ascii_only: bool
) -> None:
    """Every line fits, and obeys no name."""
    text = render(drawn(*items, log=log, ascii=ascii_only), "table", terminal, False)
    for block in text.split("\n\n"):
        check_lines(block.removesuffix("\n") + "\n", terminal)
    assert text.isascii() or not ascii_only
