"""Every rule against a plain statement of what it means, element by element, through the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.files import read_codes, write_codes
from tests.harness import thresh
from tests.reference import decode, holds, is_nan, nearest, pack, unpack
from tests.shrinking import arithmetic, shrunk
from tests.strategies import FLOATS, REAL, blocks
from threshcli import rules
from threshcli.dtypes import BOOL, DTYPES, FLOAT32, INT64, DType, Real
from threshcli.kernels.base import Scalar
from threshcli.kernels.numpy import NumpyKernels
from threshcli.rules.replace import Replace
from threshcli.spec import ONE

CASES: dict[str, list[str]] = {
    "binary": ["-t 0.5", "-t -1 --compare ge", "-t 1 --compare lt", "-t 0 --compare le --above 0 --below 1"],
    "variable": ["-t 0.5", "-t 0 --compare ge", "-t 2 --compare lt --fill 1", "-t inf"],
    "gradient": ["-t 0.5", "-t 0 --compare ge", "-t 1 --compare le", "-t inf --compare ge"],
    "hard": ["-t 1", "-t 1 --compare gt --fill 1"],
    "replace": ["-t 0.5 --value 1", "-t 1 --value 0 --compare ge"],
    "clamp": ["--low 0 --high 1", "--low 0.5", "--high 1"],
    "band": ["--low 0 --high 1", "--low 0 --high 1 --closed left", "--low 0 --high 1 --closed neither --outside",
             "--low 0 --high 1 --closed right --binary", "--low 1 --high 1 --outside --binary"],
    "soft": ["-t 0.5", "-t 0", "-t 1.1", "-t inf"],
    "garrote": ["-t 0.5", "-t 0", "-t 1.1", "-t inf"],
    "firm": ["--low 0.5 --high 2", "--low 0 --high 1.1", "--low 1 --high 1", "--low 1 --high inf",
             "--low inf --high inf", "--low 0 --high 0"],
    "levels": ["-t 0.5", "-t -1,0.5,1,2", "-t 0,1 --compare ge", "-t 0.5 --values 1,0", "-t 0,1 --values 0,1,0",
               "-t inf"],
}  # fmt: skip
"""Options to try for each rule; a rule without an entry fails the test below. Those that look sideways have no meaning
element by element: what they select has tests of their own."""

MAGNITUDE = ("gradient", "hard")
SHRINKAGE = ("soft", "garrote", "firm")
CLOSED = {"both": ("ge", "le"), "left": ("ge", "lt"), "right": ("gt", "le"), "neither": ("gt", "lt")}


def test_every_rule_has_cases() -> None:
    """A new rule is not forgotten here."""
    sideways = {name for name, kind in rules.registered().items() if kind.sideways}
    assert CASES.keys() == rules.registered().keys() - sideways
    assert [name for name in sideways if not (Path(__file__).parent / f"test_{name}.py").exists()] == []


def meaning(rule: str, given: dict[str, str], dtype: DType) -> Callable[[Real], Real | None]:
    """What becomes of one value: another value, or None where it stays."""
    met = arithmetic(dtype) if rule in SHRINKAGE else dtype
    if rule == "levels":
        return level(given, dtype)
    number = {name: rounded(Fraction(text) if text != "inf" else math.inf, met) for name, text in given.items()
              if name in ("t", "low", "high")}  # fmt: skip
    constant = {name: Fraction(given.get(name, default)) for name, default in
                (("above", "1"), ("below", "0"), ("fill", "0"), ("value", "0"))}  # fmt: skip
    compare = given.get("compare", "ge" if rule == "hard" else "gt")

    def one(x: Real) -> Real | None:
        if is_nan(x):
            return constant["below"] if rule == "binary" or "binary" in given else None
        if rule in SHRINKAGE:
            return shrunk(rule, nearest(x, met), number.get("low", number.get("t", math.nan)), number.get("high"), met)
        if rule == "clamp":
            low, high = number.get("low", -math.inf), number.get("high", math.inf)
            if not dtype.is_float:
                low, high = (edge if isinstance(edge, float) else Fraction(way(edge))
                             for edge, way in ((low, math.ceil), (high, math.floor)))  # fmt: skip
            return low if x < low else high if x > high else None
        if rule == "band":
            first, second = CLOSED[given.get("closed", "both")]
            chosen = holds(x, first, number["low"]) and holds(x, second, number["high"])  # type: ignore[arg-type]
            chosen ^= "outside" in given
        else:
            chosen = holds(abs(x) if rule in MAGNITUDE else x, compare, number["t"])  # type: ignore[arg-type]
        if rule == "binary" or "binary" in given:
            return constant["above" if chosen else "below"]
        return None if chosen else constant["value" if rule == "replace" else "fill"]

    return one


def level(given: dict[str, str], dtype: DType) -> Callable[[Real], Real | None]:
    """What `levels` makes of one value."""
    cuts = [rounded(Fraction(text) if text != "inf" else math.inf, dtype) for text in given["t"].split(",")]
    values = [Fraction(text) for text in given["values"].split(",")] if "values" in given else range(len(cuts) + 1)
    compare = given.get("compare", "gt")
    return lambda x: Fraction(values[sum(holds(x, compare, cut) for cut in cuts)])  # type: ignore[arg-type]


def rounded(value: Real, dtype: DType) -> Real:
    """A number as it is compared: rounded to a float dtype, exact for integers."""
    return dtype.value(dtype.key(value)) if dtype.is_float else value


def options(text: str) -> dict[str, str]:
    """`-t 1 --outside` as {"t": "1", "outside": ""}."""
    found: dict[str, str] = {}
    for word in text.split():
        if word.startswith("-") and not word[1:2].isdigit():
            name = word.lstrip("-")
            found[name] = ""
        else:
            found[name] = word
    return found


@pytest.mark.parametrize("dtype", REAL, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("rule", sorted(CASES))
def test_a_rule_does_what_it_says_in_every_dtype(rule: str, dtype: DType, tmp_path: Path) -> None:
    """All values of an 8-bit dtype, hard ones of the others; kept elements keep their bits."""
    if not dtype.signed:
        pytest.skip("float8_e8m0fnu has no zero to fill with")
    codes = list(range(2 if dtype.kind == "bool" else 256)) if dtype.itemsize == 1 else specials(dtype)
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, codes)})
    for number, text in enumerate(CASES[rule]):
        out = tmp_path / f"{number}.safetensors"
        more = ["--out-dtype", "float16"] if rule in SHRINKAGE and not dtype.is_float else []
        ran = thresh(rule, tmp_path / "x.safetensors", *text.split(), *more, "-o", out, "-q")
        assert ran.status == 0, ran.err
        one, (kind, made) = meaning(rule, options(text), dtype), read_codes(out)["x"]
        whole = rule == "levels" and "values" not in text
        assert kind is (INT64 if whole else DTYPES[more[-1]] if more else dtype)
        for before, after in zip(codes, made, strict=True):
            wanted = one(decode(before, dtype))
            if wanted is None:
                assert after == before, f"{text}: {decode(before, dtype)} should stay"
            else:
                assert decode(after, kind) == (nearest(wanted, kind) if kind.is_float else wanted), (
                    f"{text}: {decode(before, dtype)}"
                )


def specials(dtype: DType) -> list[int]:
    """Codes where things go wrong: extremes, zeros, infinities, NaN, neighbours of the thresholds above."""
    keys = {0, 1, -1, 2, dtype.keys.low, dtype.keys.high, dtype.keys.high - 1}
    for value in (Fraction(1, 2), Fraction(1), Fraction(2), Fraction(-1)):
        key = dtype.key(value) if dtype.is_float else int(value)
        keys |= {key - 1, key, key + 1}
    codes = [dtype.code(key) for key in sorted(keys) if dtype.keys.low <= key <= dtype.keys.high]
    return codes + ([dtype.nan, dtype.sign, dtype.nan | dtype.sign] if dtype.is_float else [])


@settings(max_examples=60)
@given(data=st.data())
def test_a_rule_may_be_applied_piece_by_piece(data: st.DataObject) -> None:
    """The concatenation law: apply(cat(a, b)) == cat(apply(a), apply(b)). Rules that look sideways hold it with the
    mask of what they select."""
    name = data.draw(st.sampled_from(sorted(rules.registered())))
    kind = rules.registered()[name]
    rule = Replace(value=ONE) if kind is Replace else kind()
    dtype = data.draw(st.sampled_from([dtype for dtype in REAL if dtype.signed]))
    a, b = data.draw(blocks(dtype)), data.draw(blocks(dtype))
    numbers = [Scalar(Fraction(1, 2)), Scalar(Fraction(2))][: len(rule.slots)]
    marks = st.lists(st.integers(0, 1), min_size=len(a + b), max_size=len(a + b))
    mask = data.draw(marks) if rule.sideways else []
    out = dtype if rule.refusal(dtype, dtype) is None else FLOAT32
    k = NumpyKernels()

    def apply(codes: list[int], marks: list[int]) -> list[int]:
        k.reset()
        cuts = [k.load(pack(marks, BOOL), BOOL)] if rule.sideways else numbers
        with k.session():
            return unpack(k.store(rule.apply(k, k.load(pack(codes, dtype), dtype), out, *cuts).out), out)

    assert apply(a + b, mask) == apply(a, mask[: len(a)]) + apply(b, mask[len(a) :])


@pytest.mark.parametrize("policy", ["keep", "below", "above", "fill=7", "error"])
def test_a_decision_treats_nan_as_asked(policy: str, tmp_path: Path) -> None:
    """keep, below, above, fill=V and error, for binary."""
    dtype = DTYPES["float32"]
    codes = [dtype.code(dtype.key(Fraction(2))), dtype.nan, 0]
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, codes)})
    ran = thresh(
        "binary", tmp_path / "x.safetensors", "-t", "1", "--nan", policy, "-o", tmp_path / "y.safetensors", "--json"
    )
    if policy == "error":
        assert ran.status == 4
        assert not (tmp_path / "y.safetensors").exists()
        return
    after = [decode(code, dtype) for code in read_codes(tmp_path / "y.safetensors")["x"][1]]
    wanted = {"below": Fraction(0), "above": Fraction(1), "fill=7": Fraction(7)}
    assert after[0] == 1
    assert after[2] == 0
    assert is_nan(after[1]) if policy == "keep" else after[1] == wanted[policy]
    assert ran.tensor["selected"] == (2 if policy == "above" else 1)
    assert ran.tensor["nan"] == 1


@pytest.mark.parametrize("rule", ["variable -t 1", "hard -t 1", "clamp --low 1", "band --low 1 --high 2 --outside"])
def test_nan_passes_a_rule_that_keeps_values_unless_told_otherwise(rule: str, tmp_path: Path) -> None:
    """NaN keeps its bits, payload included; fill=V replaces it; below and above are refused."""
    for dtype in FLOATS:
        if not dtype.signed:
            continue
        write_codes(tmp_path / "x.safetensors", {"x": (dtype, [dtype.nan])})
        for policy, wanted in ((None, dtype.nan), ("fill=1", dtype.encode(Fraction(1)))):
            more = [] if policy is None else ["--nan", policy]
            ran = thresh(
                *rule.split(), tmp_path / "x.safetensors", *more, "-o", tmp_path / "y.safetensors", "--overwrite", "-q"
            )
            assert ran.status == 0
            assert read_codes(tmp_path / "y.safetensors")["x"][1] == [wanted]
        assert thresh(*rule.split(), tmp_path / "x.safetensors", "--nan", "above", "-n").status == 2
