"""Populations: pieces of files in a row, read by position."""

from __future__ import annotations

import weakref
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from threshcli.dtypes import DTYPES, FLOAT32, FLOAT64, INT64, DType
from threshcli.engine.crew import Crew
from threshcli.engine.population import Piece, Population
from threshcli.engine.studying import Desk
from threshcli.errors import InputError, UsageError
from threshcli.kernels.numpy import NumpyKernels
from threshcli.plan.files import read_header
from threshcli.plan.sharing import shared_dtype
from threshcli.studies._gather import Gather
from threshcli.studies.base import MAGNITUDE, VALUE, Sample, Study
from threshcli.studies.ranks import Percentile, median, ranking
from threshcli.studies.summary import summary
from threshcli.studies.ties import tie_position

Three = tuple[Population, npt.NDArray[np.float64]]
DESK = Desk(Crew(2, NumpyKernels), 1 << 21)


def piece(path: Path) -> Piece:
    """The only tensor of an .npy."""
    contents, fingerprint = read_header(str(path))
    (tensor,) = contents.tensors
    return Piece(path.name, str(path), fingerprint, tensor.view, tensor.dtype)


@pytest.fixture
def three(tmp_path: Path) -> Three:
    """Files of three sizes and two dtypes, one in Fortran order, and all their elements in flat order."""
    random = np.random.default_rng(3)
    parts: list[npt.NDArray[Any]] = [
        random.integers(-9, 9, (70, 3)).astype(np.float32),
        np.asfortranarray(random.integers(-9, 9, (5, 7)).astype(np.float16)),
        random.integers(-9, 9, 4).astype(">f8"),
    ]
    for number, part in enumerate(parts):
        np.save(tmp_path / f"{number}.npy", part)
    population = Population([piece(tmp_path / f"{number}.npy") for number in range(3)])
    return population, np.concatenate([part.ravel().astype(np.float64) for part in parts])


def test_positions_go_on_from_piece_to_piece(three: Three) -> None:
    population, flat = three
    assert population.elements == flat.size == 249
    assert [population.start(index) for index in range(3)] == [0, 210, 245]
    whole = [(item.position, item.tile.start, item.tile.stop) for item in population.everything(1)]
    assert whole == [(0, 0, 210), (210, 0, 35), (245, 0, 4)]
    some = [(item.position, item.tile.start, item.tile.stop) for item in population.some([(200, 247)], 20)]
    assert some == [(200, 200, 210), (210, 0, 20), (230, 20, 35), (245, 0, 2)]


def test_one_read_serves_all_studies(three: Three) -> None:
    population, flat = three
    found, middle, ranks = DESK.answers(
        population, [summary(VALUE), median(MAGNITUDE), ranking(VALUE, lambda n: [0, n - 1])], "they"
    )
    assert (found.elements, found.low, found.high) == (249, flat.min(), flat.max())
    assert found.mean == pytest.approx(flat.mean())
    assert middle.value == np.median(np.abs(flat))
    assert [rank.value for rank in ranks.found] == [flat.min(), flat.max()]


def test_ties_are_found_in_flat_order_whatever_the_memory_order(three: Three) -> None:
    population, flat = three
    places = np.flatnonzero(flat == 3) + 1
    asked = [tie_position(VALUE, Fraction(3), ordinal) for ordinal in range(len(places) + 1)]
    assert DESK.answers(population, asked, "they") == [0, *places.tolist()]


def test_slices_along_an_axis_are_studied_on_their_own(tmp_path: Path) -> None:
    values = np.asfortranarray(np.random.default_rng(5).standard_normal((6, 50, 4)).astype(np.float32))
    np.save(tmp_path / "x.npy", values)
    whole = piece(tmp_path / "x.npy")
    for axis in range(3):
        found = DESK.slices(whole, axis, lambda: [median(VALUE), summary(VALUE)], "it")
        wide = np.moveaxis(values.astype(np.float64), axis, 0).reshape(values.shape[axis], -1)
        assert [row[0].value for row in found] == np.median(wide, axis=1).tolist()
        assert [row[1].elements for row in found] == [wide.shape[1]] * len(wide)


def test_large_slices_are_studied_like_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threshcli.engine.studying._GROUP", 8)
    test_slices_along_an_axis_are_studied_on_their_own(tmp_path)


def test_studies_of_slices_begin_when_their_turn_comes(tmp_path: Path) -> None:
    """However many indices there are, no more studies are held than are at work."""
    np.save(tmp_path / "x.npy", np.arange(400, dtype=np.float32).reshape(200, 2))
    begun: list[weakref.ref[Study[Percentile]]] = []
    held: list[int] = []

    def begin() -> list[Study[Percentile]]:
        held.append(sum(study() is not None for study in begun))
        studies = [median(VALUE)]
        begun.extend(map(weakref.ref, studies))
        return studies

    found = DESK.slices(piece(tmp_path / "x.npy"), 0, begin, "it")
    assert [row[0].value for row in found] == (np.arange(200) * 2 + 0.5).tolist()
    assert max(held) <= 2


def test_zeros_can_be_left_out(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([0, -0.0, 1, 2, 9], np.float32))
    desk = Desk(Crew(1, NumpyKernels), 1 << 21, ignore_zero=True)
    (found,) = desk.answers(Population([piece(tmp_path / "x.npy")]), [median(VALUE)], "it")
    assert (found.value, found.usable) == (2, 3)


def test_a_file_that_has_changed_since_it_was_planned_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(4, np.float32))
    population = Population([piece(path)])
    np.save(path, np.zeros(5, np.float32))
    with pytest.raises(InputError, match="changed while it was read") as caught:
        DESK.answers(population, [median(VALUE)], "it")
    assert caught.value.file == "x.npy"


def test_a_population_without_elements_has_answers_too() -> None:
    (found,) = DESK.answers(Population([]), [summary(VALUE)], "nothing")
    assert (found.elements, found.low, found.mean) == (0, None, None)


@pytest.mark.parametrize(
    ("names", "shared"),
    [
        ("float32", FLOAT32),
        ("float32 bfloat16", FLOAT64),
        ("float8_e4m3fn uint32 bool", FLOAT64),
        ("int8 int64", INT64),
        ("uint64 uint8 bool", DTYPES["uint64"]),
        ("int8 uint8", FLOAT64),
    ],
)
def test_dtypes_meet_in_one_that_holds_both(names: str, shared: DType) -> None:
    assert shared_dtype({DTYPES[name] for name in names.split()}) is shared


@pytest.mark.parametrize("names", ["int64 float32", "uint64 int8", "uint64 int64", "float64 uint64"])
def test_dtypes_that_no_other_holds_are_refused(names: str) -> None:
    with pytest.raises(UsageError, match="cannot be exact"):
        shared_dtype({DTYPES[name] for name in names.split()})


def test_studies_that_ask_the_same_are_answered_from_one_fold(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with a state of its own, which it may consume."""
    population, flat = three
    read: list[int] = []
    fold = Gather.fold

    def watched(self: Gather, sample: Sample) -> object:
        read.append(sample.count)
        return fold(self, sample)

    monkeypatch.setattr(Gather, "fold", watched)
    found = DESK.answers(population, [median(VALUE), median(VALUE), median(MAGNITUDE)], "they")
    assert [one.value for one in found] == [np.median(flat), np.median(flat), np.median(np.abs(flat))]
    assert sum(read) == 2 * population.elements
