"""Automatic thresholds: what holds for all of them."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_studies_summary import in_stretches
from threshcli import thresholds
from threshcli.dtypes import BOOL, DTYPES, FLOAT32, FLOAT64, INT64, UINT8, DType, Real
from threshcli.errors import InputError, UsageError
from threshcli.kernels._numpy_convert import storage
from threshcli.studies.base import Array, run_in_memory
from threshcli.thresholds.base import Answer, Terms, Worked
from threshcli.tiles import LEAF

SINGLE = ("otsu", "li", "yen", "triangle", "isodata", "minimum", "mean")
ALL = (*SINGLE, "multiotsu:2")


def source(text: str) -> Worked:
    found = thresholds.parse(text)
    assert isinstance(found, Worked)
    return found


def solved(text: str, data: Array, dtype: DType | None = None, terms: Terms | None = None) -> Answer:
    own = dtype or DTYPES[data.dtype.name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run_in_memory(source(text).work(terms or Terms()), data.reshape(-1), own)


def value(text: str, data: Array, dtype: DType | None = None) -> Real:
    return solved(text, data, dtype).values[0]


BELLS = np.append(np.random.default_rng(1).normal(-1, 0.5, 150_000), np.random.default_rng(2).normal(2, 0.5, LEAF))


@pytest.mark.parametrize("text", ALL)
@given(cuts=st.sets(st.integers(1, 3)), kind=st.sampled_from(["int32", "float64"]))
@settings(max_examples=6)
def test_neither_stretches_nor_their_order_change_a_threshold(text: str, cuts: set[int], kind: str) -> None:
    data = (BELLS * 1000).astype(kind)
    whole = solved(text, data)
    assert in_stretches(source(text).work(Terms()), data, DTYPES[kind], [cut * LEAF for cut in cuts]) == whole


BELLS = np.concatenate(
    [np.random.default_rng(1).normal(-1, 0.5, 150_000), np.random.default_rng(2).normal(2, 0.5, LEAF)]
)


@pytest.mark.parametrize("text", [*ALL, "multiotsu:4"])
def test_nan_and_infinities_are_left_out(text: str) -> None:
    """And counted apart."""
    data = BELLS[::31].astype(np.float32)
    plain, found = solved(text, data), solved(text, np.append(data, np.array([np.nan, np.inf, -np.inf], np.float32)))
    assert found.values == plain.values
    assert (found.usable, found.unusable, plain.unusable) == (data.size, 3, 0)


@pytest.mark.parametrize("text", ALL)
def test_two_bells_are_told_apart(text: str) -> None:
    """Whatever the method, the cut is between them, or at the edge of the larger one."""
    assert -1 < value(text, BELLS) < 2


@pytest.mark.parametrize("text", SINGLE)
@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (np.full(70_000, 7, np.uint8), UINT8),
        (np.full(9, 2**62 + 1), INT64),
        (np.full(70_001, 0.1), FLOAT64),
        (np.array([-1e308]), FLOAT64),
        (np.array([0.3, np.nan, np.inf], np.float32), FLOAT32),
        (np.array([0.0, -0.0]), FLOAT64),
        (np.array([1, 1], np.uint8), BOOL),
    ],
    ids=lambda item: str(item) if isinstance(item, DType) else str(item[:1]),
)
def test_a_constant_is_its_own_threshold(text: str, data: Array, dtype: DType) -> None:
    """Exactly, a single element too."""
    assert value(text, data, dtype) == Fraction(data[0].item())


@pytest.mark.parametrize("text", [*ALL, "multiotsu:8"])
@pytest.mark.parametrize("values", [[np.nan], [np.inf, -np.inf, np.nan]], ids=str)
def test_without_usable_elements_there_is_no_threshold(text: str, values: list[float]) -> None:
    for dtype in (np.float32, np.float64, np.float16):
        data = np.array(values, dtype)
        with pytest.raises(InputError, match=f"work out {text} from: .* NaN or infinite") as caught:
            solved(text, data.view(storage(DTYPES[data.dtype.name])), DTYPES[data.dtype.name])
        assert caught.value.hint


@pytest.mark.parametrize("text", ["otsu", "li", "yen", "triangle", "isodata", "multiotsu:2"])
def test_bools_are_cut_between(text: str) -> None:
    assert 0 <= value(text, np.array([1, 0, 0, 1, 1], np.uint8), BOOL) < 1


def test_the_mean_of_bools_is_the_share_of_true() -> None:
    assert value("mean", np.array([1, 0, 0, 1], np.uint8), BOOL) == Fraction(1, 2)


@pytest.mark.parametrize("text", [*SINGLE, "multiotsu:3"])
@pytest.mark.parametrize("offset", [-(2**63), 2**60 + 1, 10])
def test_integers_far_from_zero_have_the_same_thresholds_there(text: str, offset: int) -> None:
    """Neighbours that float64 cannot tell apart; but the mean, which is one of float64."""
    data = ((BELLS[::7] - BELLS.min()) * 100).astype(np.int64)
    near, far = solved(text, data).values, solved(text, data + offset).values
    if text == "mean":
        assert float(far[0]) == pytest.approx(float(near[0] + offset), rel=1e-15)
    else:
        assert far == tuple(item + offset for item in near)


@pytest.mark.parametrize("text", ALL)
def test_rules_that_compare_magnitudes_have_thresholds_of_magnitudes(text: str) -> None:
    found = solved(text, BELLS, terms=Terms(magnitude=True))
    assert found.values == solved(text, abs(BELLS)).values
    assert found.values != solved(text, BELLS).values


@pytest.mark.parametrize("text", [text for text in ALL if text not in ("mean", "li", "minimum")])
def test_a_threshold_of_floats_is_the_centre_of_one_of_the_bins_that_were_asked_for(text: str) -> None:
    for bins in (5, 64):
        edges = np.histogram_bin_edges(BELLS, bins)
        assert float(solved(text, BELLS, terms=Terms(bins=bins)).values[0]) in ((edges[:-1] + edges[1:]) / 2).tolist()


@pytest.mark.parametrize("text", [text for text in ALL if text != "mean"])
def test_ranges_that_overflow_have_thresholds(text: str) -> None:
    data = BELLS[::11] / np.abs(BELLS[::11]).max()
    large = float(value(text, data * 1.75e308))
    assert large / 1.75e308 == pytest.approx(float(value(text, data)), rel=1e-9)


def test_only_multiotsu_gives_several() -> None:
    assert [text for text in (*SINGLE, "multiotsu:3") if source(text).several] == ["multiotsu:3"]


@pytest.mark.parametrize("text", ["Otsu", "otsu ", "otsu:3", "means", "LI", "multi", "multiotsus:3"])
def test_words_are_written_exactly(text: str) -> None:
    with pytest.raises(UsageError):
        thresholds.parse(text)


@pytest.mark.parametrize("number", ["", ":", ":1", ":9", ":x", ":3.0", ":12", ": 3"])
def test_multiotsu_has_two_to_eight_classes(number: str) -> None:
    with pytest.raises(UsageError, match="number of classes from 2 to 8") as caught:
        thresholds.parse("multiotsu" + number)
    assert caught.value.hint == "write multiotsu:4"
