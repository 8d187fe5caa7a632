"""What users write, read exactly once: numbers, sizes, axes, the policy for NaN."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from threshcli.dtypes import DType, Real
from threshcli.errors import UsageError

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE](?P<exponent>[+-]?\d+))?", re.ASCII)
_SPECIAL = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}
_SIZE = re.compile(r"(\d{1,18})\s*(|k|m|g|t)(i?b)?", re.ASCII | re.IGNORECASE)
_AXES = re.compile(r"-?\d{1,3}(,-?\d{1,3})*", re.ASCII)
_N_OF_M = re.compile(r"(\d{1,9}):(\d{1,9})", re.ASCII)
_FARTHEST_EXPONENT = 5000  # beyond every dtype by far; keeps 1e999999999 from being spelled out


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written, and its exact value (`9007199254740993` and `0.1` are just that)."""

    text: str
    value: Real
    _codes: dict[DType, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Number:
        """Read decimal digits with an optional exponent, `inf`, `-inf` or `nan`; raises UsageError."""
        word = text.strip()
        sign = -1 if word.startswith("-") else 1
        special = _SPECIAL.get(word.lstrip("+-").lower()) if len(word) <= 9 else None
        if special is not None and word.lstrip("+-") in (word, word[1:]):
            return cls(word, sign * special)
        match = _NUMBER.fullmatch(word)
        if match is None or len(word) > 4000:
            raise UsageError(f"{text!r} is not a number", hint="write it as 0.5, -1e-3, inf or nan")
        if match["exponent"] is not None and abs(int(match["exponent"])) > _FARTHEST_EXPONENT:
            mantissa, _, exponent = word.lower().partition("e")
            word_value = Fraction(mantissa + "e" + ("-" if exponent.startswith("-") else "") + str(_FARTHEST_EXPONENT))
            return cls(word, word_value)
        return cls(word, Fraction(word))

    @classmethod
    def of(cls, value: int | float | Fraction) -> Number:
        """The Number of a Python number, exact."""
        if isinstance(value, float) and not math.isfinite(value):
            return cls(repr(value), value)
        return cls(str(value), Fraction(value))

    @property
    def is_nan(self) -> bool:
        return isinstance(self.value, float) and math.isnan(self.value)

    @property
    def plain(self) -> int | float:
        """Python's own nearest number, for reports."""
        if isinstance(self.value, float):
            return self.value
        if self.value.denominator == 1 and not re.search(r"[.eE]", self.text):
            return int(self.value)
        try:
            return float(self.value)
        except OverflowError:
            return math.inf if self.value > 0 else -math.inf

    def stored(self, dtype: DType) -> int:
        """The bits that store this number in `dtype`, worked out once; UsageError where it has none."""
        code = self._codes.get(dtype)
        if code is None:
            code = self._codes[dtype] = self.code(dtype, "value")
        return code

    def code(self, dtype: DType, option: str) -> int:
        """The bits that store this number in `dtype`; UsageError, naming the option, where it has none."""
        code = dtype.encode(self.value)
        if code is None:
            raise UsageError(
                f"{option} {self.text} is not representable in {dtype.name}",
                hint=f"choose a value that {dtype.name} can hold, or another --out-dtype",
            )
        if self.value == 0 and self.text.startswith("-") and dtype.negative_zero:
            return dtype.sign  # -0.0 was asked for
        return code

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Numbers:
    """Several numbers, as they were written with commas between."""

    items: tuple[Number, ...]

    @classmethod
    def parse(cls, text: str) -> Numbers:
        """Read `0,0.5,1`; raises UsageError."""
        return cls(tuple(map(Number.parse, text.split(","))))

    @property
    def plain(self) -> list[int | float]:
        """Python's own nearest numbers, for reports."""
        return [number.plain for number in self.items]

    def __str__(self) -> str:
        return ",".join(map(str, self.items))


ZERO = Number("0", Fraction(0))
ONE = Number("1", Fraction(1))


class NanPolicy(NamedTuple):
    """What becomes of NaN elements: kept, treated as below or above the threshold, replaced, or refused."""

    action: str  # "keep", "below", "above", "fill" or "error"
    fill: Number | None = None

    @classmethod
    def parse(cls, text: str) -> NanPolicy:
        """Read keep, below, above, error or fill=V; raises UsageError."""
        action, equals, value = text.strip().partition("=")
        if action == "fill" and equals:
            return cls("fill", Number.parse(value))
        if action in ("keep", "below", "above", "error") and not equals:
            return cls(action)
        raise UsageError(f"--nan {text!r} is not a policy for NaN", hint="use keep, below, above, fill=V or error")

    def __str__(self) -> str:
        return self.action if self.fill is None else f"fill={self.fill}"


@dataclass(frozen=True, slots=True)
class NofM:
    """`2:4`: of every 4 neighbours 2."""

    n: int
    m: int

    @classmethod
    def parse(cls, text: str) -> NofM:
        """Read N:M with 0 < N <= M; raises UsageError."""
        match = _N_OF_M.fullmatch(text.strip())
        if match is None:
            hint = "write it as 2:4: of every 4 neighbours the 2 largest stay"
            raise UsageError(f"--threshold {text!r} is not of the form N:M", hint=hint)
        found = cls(int(match[1]), int(match[2]))
        if not 0 < found.n <= found.m:
            raise UsageError(f"--threshold {text} keeps {found.n} of {found.m}", hint="give 0 < N <= M, such as 2:4")
        return found

    @property
    def plain(self) -> str:
        """As it is written, for reports."""
        return str(self)

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"


def parse_size(text: str) -> int:
    """Bytes from `65536`, `64MiB`, `64M`, `1g`; all units are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a size", hint="write it as 64MiB, 1GiB or a number of bytes")
    return int(match[1]) << (10 * ["", "k", "m", "g", "t"].index(match[2].lower()))


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes along which elements are neighbours, as `--axes` names them: `1,2`; negative ones count from the end."""

    numbers: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Axes:
        """Read axes with commas between; raises UsageError."""
        if _AXES.fullmatch(text.strip()) is None:
            raise UsageError(f"--axes {text!r} names no axes", hint="write them as 1,2, or -2,-1 for the last two")
        return cls(tuple(map(int, text.split(","))))

    def of(self, rank: int) -> tuple[int, ...]:
        """These axes of a tensor of so many, counted from the first, in the order given; UsageError where it lacks one,
        or one is named twice."""
        if any(not -rank <= number < rank for number in self.numbers):
            raise UsageError(f"has {rank} axes, and --axes is {self}", hint="choose tensors with --tensor GLOB")
        found = tuple(number % rank for number in self.numbers)
        if len(set(found)) < len(found):
            raise UsageError(f"--axes {self} names an axis twice where there are {rank}", hint="name each axis once")
        return found

    def __str__(self) -> str:
        return ",".join(map(str, self.numbers))
