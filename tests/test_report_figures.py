"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_report_examples import UNHURRIED
from threshcli.report import figures


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 10, "0%"),
        (10, 10, "100%"),
        (0, 0, "-"),
        (432, 1000, "43.2%"),
        (1, 1000, "0.1%"),
        (1, 10_000, "<0.1%"),
        (1, 2**64, "<0.1%"),
        (9_999, 10_000, ">99.9%"),
        (9_995, 10_000, ">99.9%"),
        (9_994, 10_000, "99.9%"),
        (2**64 - 1, 2**64, ">99.9%"),
        (1.5, 3.0, "50.0%"),
        (math.inf, math.inf, "-"),
        (math.nan, 1.0, "-"),
        (1.0, math.inf, "-"),
        (1e200, 1e-200, "-"),
        (1e308, 1e308, "100%"),
        (5e307, 1e308, "50.0%"),
        (3.0, 2.0, "150.0%"),
    ],
)
def test_percentages_have_one_decimal(part: float, whole: float, shown: str) -> None:
    """Very little is `<0.1%`, nearly all `>99.9%`."""
    assert figures.percent(part, whole) == shown


@UNHURRIED
@given(st.integers(0, 2**70), st.integers(1, 2**70))
def test_only_none_is_0_percent_and_only_all_is_100(part: int, rest: int) -> None:
    """No rounding ever makes a share look like none or all."""
    shown = figures.percent(part, part + rest)
    assert (shown == "0%") == (part == 0)
    assert shown not in ("100%", "100.0%", "0.0%")
    assert figures.percent(part + rest, part + rest) == "100%"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0.0, "0"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (float.fromhex("0x1.99999ap-4"), "0.1"),
        (-1.23456, "-1.235"),
        (65504.0, "65504"),
        (9999.96, "10000"),
        (1e6, "1e+06"),
        (1e-5, "1e-05"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        (9007199254740993, "9007199254740993"),
        (-128, "-128"),
        (True, "1"),
    ],
)
def test_numbers_are_short(value: float | None, shown: str) -> None:
    """Floats have four digits, integers all of theirs, so that they can be pasted back."""
    assert figures.number(value) == shown


@pytest.mark.parametrize(
    ("nbytes", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (4 * 2**20, "4.0 MiB"),
        (2**20 - 1, "1.0 MiB"),
        (295 * 2**20, "295 MiB"),
        (2**80, "1048576 EiB"),
    ],
)
def test_bytes_have_binary_units(nbytes: int, shown: str) -> None:
    """A unit begins where the one below would show 1024."""
    assert figures.size(nbytes) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 s"),
        (1e-9, "0.001 s"),
        (0.0123, "0.012 s"),
        (0.5, "0.5 s"),
        (9.99, "10 s"),
        (12.34, "12.3 s"),
        (119.4, "119.4 s"),
        (205, "3 min 25 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_get_coarser_as_they_grow(seconds: float, shown: str) -> None:
    """Two digits under ten seconds, minutes above two of them."""
    assert figures.duration(seconds) == shown


def test_speeds_shapes_and_counts_read_as_people_write_them() -> None:
    """Units of a thousand, `x` between sizes, commas, and the plural only where it belongs."""
    assert figures.rate(1_000_000, 0.5) == "2.0 M/s"
    assert figures.rate(30, 1.0) == "30/s"
    assert figures.shape((4096, 4096)) == "4096x4096"
    assert figures.shape(()) == "scalar"
    assert figures.counted(1, "tensor") == "1 tensor"
    assert figures.counted(1234, "tensor") == "1,234 tensors"
