"""What users write is read exactly, or refused."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import REAL
from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64
from threshcli.errors import UsageError
from threshcli.spec import Axes, NanPolicy, Number, parse_size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", Fraction(1, 10)),
        ("9007199254740993", Fraction(9007199254740993)),
        ("-1e-3", Fraction(-1, 1000)),
        ("+5", Fraction(5)),
        ("1.", Fraction(1)),
        (".5", Fraction(1, 2)),
        ("1E+2", Fraction(100)),
        ("1e0000000000000000000002", Fraction(100)),
        (" 7 ", Fraction(7)),
        ("-0", Fraction(0)),
        ("inf", math.inf),
        ("+Inf", math.inf),
        ("-infinity", -math.inf),
        ("-INFINITY", -math.inf),
    ],
)
def test_a_number_is_read_exactly(text: str, value: Fraction | float) -> None:
    """Decimal text is not rounded; the text is kept for reports."""
    number = Number.parse(text)
    assert number.value == value
    assert str(number) == text.strip()
    assert not number.is_nan


@pytest.mark.parametrize("text", ["nan", "NaN", "+nan", "-nan"])
def test_nan_is_a_number_that_can_be_written(text: str) -> None:
    """It is known as what it is."""
    assert Number.parse(text).is_nan


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "e5", ".", "-", "+", "1e", "1e+", "1e5.5", "--1", "+-1", "1_0", "1 0", "0x10", "1,5", "1/2"),
        *("infinit", "infinityy", "+-inf", "--inf", "inf inf", "in", "nano", "nan(1)", "True", "None", "1j", "1f"),
        *("\uff11", "\u0661", "\u00bd", "\u221e", "\u22121", "1\x00", "0b1", "1e\uff11", "9" * 4001, "." * 5000),
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    """Digits of other scripts, underscores and whatever else Python itself would let through."""
    with pytest.raises(UsageError, match="is not a number"):
        Number.parse(text)


@given(st.text())
def test_any_text_is_a_number_or_is_refused(text: str) -> None:
    """Nothing else comes out, whatever goes in."""
    try:
        number = Number.parse(text)
    except UsageError:
        return
    assert isinstance(number.plain, int | float)


@given(st.from_regex(r"[+-]?[0-9]{0,30}\.?[0-9]{0,30}([eE][+-]?[0-9]{1,12})?", fullmatch=True))
def test_any_decimal_is_read_as_python_reads_it(text: str) -> None:
    """The nearest float64 of the number is what float() gives."""
    try:
        number = Number.parse(text)
    except UsageError:
        assert not any(digit.isdigit() for digit in text.lower().partition("e")[0])
        return
    assert FLOAT64.number(FLOAT64.key(number.value)) == float(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1e999999999", math.inf),
        ("-1e999999999", -math.inf),
        ("1e-999999999", 0.0),
        ("0e999999999", 0.0),
        ("1e" + "0" * 100 + "999999999", math.inf),
        ("1e-" + "0" * 100 + "999999999", 0.0),
        ("1e" + "9" * 3900, math.inf),
        ("1e400", math.inf),
        ("-1e400", -math.inf),
    ],
)
def test_a_huge_exponent_costs_nothing(text: str, plain: float) -> None:
    """It is not spelled out: every dtype takes it for infinite, or for zero."""
    start = time.monotonic()
    number = Number.parse(text)
    assert number.plain == plain
    assert FLOAT32.number(FLOAT32.key(number.value)) == plain
    for dtype in REAL:
        dtype.interval("gt", number.value)
        dtype.encode(number.value)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("text", "plain", "kind"),
    [("3", 3, int), ("-3", -3, int), ("3.0", 3.0, float), ("1e2", 100.0, float), ("0.1", 0.1, float)],
)
def test_the_plain_number_is_of_the_kind_that_was_written(text: str, plain: float, kind: type) -> None:
    """3 is an integer in reports, 3.0 is not."""
    number = Number.parse(text)
    assert number.plain == plain
    assert type(number.plain) is kind


def test_a_long_integer_stays_exact_in_reports() -> None:
    """JSON has integers of any size."""
    assert Number.parse("9007199254740993").plain == 9007199254740993


@given(st.one_of(st.floats(), st.integers()))
def test_a_python_number_becomes_a_number_exactly(value: float | int) -> None:
    """And comes back as it was."""
    number = Number.of(value)
    assert number.is_nan if value != value else number.value == value
    assert number.is_nan or number.plain == value


def test_a_number_that_a_dtype_cannot_hold_is_refused_by_its_option() -> None:
    """The message names the option, the number and the dtype."""
    with pytest.raises(UsageError, match=r"--fill 1000 is not representable in float8_e4m3fn"):
        Number.parse("1000").code(DTYPES["float8_e4m3fn"], "--fill")
    assert Number.parse("1").code(FLOAT32, "--fill") == 0x3F800000


@pytest.mark.parametrize("text", ["keep", "below", "above", "error", "fill=0", "fill=-1.5", "fill=inf", "fill=nan"])
def test_a_nan_policy_is_written_as_it_is_read(text: str) -> None:
    """Each form that the help names."""
    policy = NanPolicy.parse(text)
    assert str(policy) == text
    assert (policy.action, policy.fill is None) == (text.partition("=")[0], "=" not in text)


@pytest.mark.parametrize("text", ["", "fill", "keep=", "keep=1", "Keep", "drop", "=", "=1", "above=0"])
def test_what_is_no_nan_policy_is_refused(text: str) -> None:
    """The message shows what was written."""
    with pytest.raises(UsageError, match="is not a policy for NaN"):
        NanPolicy.parse(text)


@pytest.mark.parametrize("text", ["fill=", "fill=x", "fill==1", "fill=1=2", "fill=\uff11"])
def test_a_fill_for_nan_that_is_no_number_is_refused(text: str) -> None:
    """As any number is."""
    with pytest.raises(UsageError, match="is not a number"):
        NanPolicy.parse(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65536),
        ("64MiB", 64 << 20),
        ("64MB", 64 << 20),
        ("64M", 64 << 20),
        ("1g", 1 << 30),
        ("2 tib", 2 << 40),
        (" 512k ", 512 << 10),
        ("7b", 7),
        ("9" * 18, 10**18 - 1),
    ],
)
def test_a_size_is_in_powers_of_1024(text: str, size: int) -> None:
    """With or without B or iB, in any case."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "M", "-1", "+1", "1.5G", "1e3", "64i", "64X", "64MM", "1_0", "0x10", "\uff11", "1\u212a", "inf", "9" * 5000],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    """Signs, fractions, digits of other scripts, and numbers that no memory has."""
    with pytest.raises(UsageError, match="is not a size"):
        parse_size(text)


@given(st.text())
def test_any_text_is_a_size_or_is_refused(text: str) -> None:
    """Nothing else comes out, whatever goes in."""
    try:
        assert parse_size(text) >= 0
    except UsageError:
        return


@pytest.mark.parametrize(
    ("text", "rank", "axes"), [("1,2", 3, (1, 2)), ("-1", 4, (3,)), (" 2,-4", 4, (2, 0)), ("0", 1, (0,))]
)
def test_axes_count_from_either_end(text: str, rank: int, axes: tuple[int, ...]) -> None:
    """In the order in which they were named."""
    assert Axes.parse(text).of(rank) == axes
    assert str(Axes.parse(text)) == text.strip()


@pytest.mark.parametrize("text", ["", ",", "1,", ",1", "1 2", "x", "1.0", "+1", "--1", "0x1", "\uff11", "9999"])
def test_what_names_no_axes_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no axes"):
        Axes.parse(text)


@pytest.mark.parametrize(
    ("text", "rank", "said"), [("2", 2, "has 2 axes"), ("-3", 2, "has 2 axes"), ("0", 0, "has 0"), ("1,-1", 2, "twice")]
)
def test_axes_that_a_tensor_lacks_or_that_are_one_are_refused(text: str, rank: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Axes.parse(text).of(rank)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float8_e5m2", "float8_e4m3fnuz", "int8"])
def test_a_negative_zero_keeps_its_sign_where_there_is_one(name: str) -> None:
    """As `torch.where(x > t, x, -0.0)` has it; formats that have one zero take that."""
    dtype = DTYPES[name]
    signed = dtype.sign if dtype.is_float and "fnuz" not in name else 0
    assert [Number.parse(text).stored(dtype) for text in ("0", "-0.0", "-0")] == [0, signed, signed]
