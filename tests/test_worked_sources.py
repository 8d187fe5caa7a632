"""Every source in every dtype under several rules, against the plain reference: thresholds, reports and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.files import read_codes, write_codes
from tests.harness import thresh
from tests.reference import decode, is_finite, is_nan, nearest, size
from tests.worked import COMPUTED, ORDER, Found, Nothing, all_samples, close, values_of, work
from threshcli.dtypes import DType, Real
from threshcli.kernels.base import MapCompare

Tensors = dict[str, tuple[DType, list[int]]]


@dataclass(frozen=True)
class Kind:
    """A rule as it is called, how it compares, and what becomes of elements that it does not select."""

    arguments: tuple[str, ...]
    compare: MapCompare
    magnitude: bool
    other: int
    decides: bool = False

    def outcome(self, codes: list[int], dtype: DType, found: Found) -> list[int]:
        """What must come out."""
        one, other = dtype.encode(Fraction(1)), dtype.encode(Fraction(self.other))
        assert one is not None
        assert other is not None
        written = []
        for position, code in enumerate(codes):
            if is_nan(decode(code, dtype)):
                written.append(other if self.decides else code)
            elif found.holds(code, dtype, position, self.compare, self.magnitude):
                written.append(one if self.decides else code)
            else:
                written.append(other)
        return written


KINDS = {
    "gradient": Kind(("gradient",), "gt", True, 0),
    "gradient ge": Kind(("gradient", "--compare", "ge"), "ge", True, 0),
    "hard": Kind(("hard", "--fill", "1"), "ge", True, 1),
    "variable": Kind(("variable",), "gt", False, 0),
    "binary": Kind(("binary",), "gt", False, 0, decides=True),
    "replace ge": Kind(("replace", "--compare", "ge", "--value", "1"), "ge", False, 1),
}


def usable(kind: Kind, spec: str, ties: str, tensors: Tensors) -> dict[str, Found]:
    """The thresholds that are to be found, of the tensors that have one."""
    found = {}
    for name, (dtype, codes) in tensors.items():
        if dtype.encode(Fraction(kind.other)) is None:
            continue  # float8_e8m0fnu has no zero
        try:
            cut = (
                work(spec, values_of(codes, dtype), magnitude=kind.magnitude, ties=ties)
                if codes
                else Found(Fraction(0))
            )
        except Nothing:
            continue
        if not (kind.magnitude and cut.value < 0):
            found[name] = cut
    return found


def check(kind: Kind, spec: str, ties: str, tensors: Tensors, folder: Path) -> None:
    """Run it on all tensors at once, and compare what is reported and what is written."""
    found = usable(kind, spec, ties, tensors)
    write_codes(folder / "x.safetensors", {name: tensors[name] for name in found})
    modifiers = ("--ties", ties) if ties != "first" else ()
    ran = thresh(
        *kind.arguments, folder / "x.safetensors", "-t", spec, *modifiers, "-o", folder / "y.safetensors", "--json"
    )
    assert ran.status == 0, ran.err
    reported = {item["name"]: item["threshold"] for item in ran.json["files"][0]["tensors"]}
    written = read_codes(folder / "y.safetensors")
    for name, cut in found.items():
        dtype, codes = tensors[name]
        used = check_report(reported[name], cut, dtype, codes, kind.magnitude or spec.startswith("zero"))
        assert written[name] == (dtype, kind.outcome(codes, dtype, used)), name


def check_report(item: dict[str, Any], cut: Found, dtype: DType, codes: list[int], magnitude: bool) -> Found:
    """The threshold that was reported, once it is what it should be."""
    if not codes:
        assert item["value"] is None
        return cut
    told: Real = float(item["value"]) if isinstance(item["value"], str) else Fraction(item["value"])
    wanted = nearest(cut.value, dtype) if dtype.is_float and cut.above is None else cut.value
    if cut.exact:
        assert told == wanted, (told, wanted)
    elif dtype.name == "float64" or not dtype.is_float:
        assert close(float(told), wanted, values_of(codes, dtype))
    assert (item["usable"], item["unusable"], item["asked"]) == (cut.usable, cut.unusable, cut.asked)
    if cut.above is None:
        assert item["above"] is None
        return Found(told)
    sizes = [size(value) if magnitude else value for value in values_of(codes, dtype)]
    tied = {position for position, value in enumerate(sizes) if value == cut.value}
    assert item["tied"] == len(tied)
    assert {position for position in tied if position < item["above"]} == cut.above
    return cut


@pytest.mark.parametrize(("spec", "kind"), list(zip(ORDER, cycle(["hard", "binary", "gradient", "binary"]))))
def test_an_order_statistic_is_exact_in_every_dtype(spec: str, kind: str, tmp_path: Path) -> None:
    """NaN, infinities, signed zeros, ties, constants and single elements among the data: to the last bit."""
    check(KINDS[kind], spec, "first", all_samples(), tmp_path)


@pytest.mark.parametrize("kind", ["hard", "gradient ge", "variable", "replace ge"])
@pytest.mark.parametrize("spec", ["p50", "top30%", "zero50%"])
def test_equality_is_as_the_rule_or_compare_has_it_but_at_ranks(spec: str, kind: str, tmp_path: Path) -> None:
    check(KINDS[kind], spec, "first", all_samples(2), tmp_path)


@pytest.mark.parametrize("ties", ["all", "none"])
@pytest.mark.parametrize(("spec", "kind"), [("top7", "gradient"), ("top50%", "hard"), ("top1", "replace ge")])
def test_ties_at_a_rank_stay_or_go_together_if_that_is_asked(spec: str, kind: str, ties: str, tmp_path: Path) -> None:
    check(KINDS[kind], spec, ties, all_samples(1), tmp_path)


@pytest.mark.parametrize("kind", ["gradient", "binary"])
@pytest.mark.parametrize("spec", COMPUTED)
def test_a_computed_threshold_is_its_formula_in_float64(spec: str, kind: str, tmp_path: Path) -> None:
    """But for rounding; the elements are then compared with the number that is reported."""
    moderate = {
        name: (
            dtype,
            [code for code in codes if not is_finite(decode(code, dtype)) or size(decode(code, dtype)) < 2**100],
        )
        for name, (dtype, codes) in all_samples().items()
    }
    check(KINDS[kind], spec, "first", moderate, tmp_path)
