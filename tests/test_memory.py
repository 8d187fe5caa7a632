"""What a call keeps in memory: no more of a file, and of what comes of it, than its name."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.harness import peak, thresh
from threshcli.errors import ThreshError
from threshcli.plan.inputs import gather
from threshcli.plan.names import Job, Names

FEW, MANY = 1000, 3000
FULL, FULLER = 2500, 5000
"""Files of which what waits for the end of a report is on disk in either case."""


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Lists of files, each of which has something to warn of."""
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "first.npy", np.array([np.nan, 1, 2], "f4"))
    content = (folder / "first.npy").read_bytes()
    names = [str(folder / f"{number:04}.npy") for number in range(FULLER)]
    for name in names:
        Path(name).write_bytes(content)

    def of(count: int) -> Path:
        found = folder / f"{count}.txt"
        found.write_text("\n".join(names[:count]), encoding="utf-8")
        return found

    return of


@pytest.fixture
def garbage() -> Iterator[list[object]]:
    """What the collector finds when it is asked to, and keeps."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def test_of_each_input_there_is_little_more_than_its_name() -> None:
    """No more than 32 bytes; nor is there much more for as long as names are compared."""
    many, name = 20_000, "some-folder/{:06}.npy"
    tracemalloc.start()
    jobs = Names(out_dir="out").jobs(gather(name.format(number) for number in range(many)))
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert jobs[-1] == Job(name.format(many - 1), f"out/{many - 1:06}.npy")
    each = sys.getsizeof(name.format(0))
    assert kept < many * (each + 32)
    assert most < many * (each + 96)


@pytest.mark.parametrize("kind", ["table", "json"])
def test_memory_does_not_grow_with_the_number_of_files(
    kind: str, listing: Callable[[int], Path], tmp_path: Path
) -> None:
    """Each with a warning, they take no more than a few of them but for their names."""
    words = ("binary", "-t", "0.5", "-O", tmp_path / "out", "--overwrite", "--report", kind, "--files-from")
    few, many = (peak(*words, listing(count)) for count in (FULL, FULLER))
    assert many < few + 2200, "KiB"


@pytest.mark.parametrize(
    "words",
    [
        ("info",),
        ("stats", "--json"),
        ("check", "--verbose"),
        ("sweep", "-t", "0.5,1", "-v"),
        ("hist", "-v"),
    ],
)
def test_memory_does_not_grow_with_the_number_of_files_that_are_looked_at(
    words: tuple[str, ...], listing: Callable[[int], Path]
) -> None:
    """What was found is told of, and forgotten."""
    status = 1 if "check" in words else 0
    few, many = (peak(*words, "--files-from", listing(count), status=status) for count in (FEW, MANY))
    assert many < few + 4500, "KiB"


@pytest.mark.parametrize("told", ["--verbose", "--json", "--quiet"])
def test_memory_does_not_grow_with_the_number_of_files_whose_thresholds_are_worked_out(
    told: str, listing: Callable[[int], Path]
) -> None:
    """The same of thresholds, and of what there is to warn of."""
    few, many = (peak("solve", "-t", "p50", told, "--files-from", listing(count)) for count in (FEW, MANY))
    assert many < few + 4500, "KiB"


def test_of_each_file_that_shares_a_threshold_there_is_little(listing: Callable[[int], Path]) -> None:
    """What says where its elements are, and what was found; no plan, which is made again when its turn comes."""
    words = ("solve", "-t", "p50", "--scope", "global", "--quiet", "--files-from")
    few, many = (peak(*words, listing(count)) for count in (FEW, MANY))
    assert many < few + 5800, "KiB"


def test_memory_does_not_grow_with_the_number_of_files_that_are_compared(tmp_path: Path) -> None:
    """The same of two folders: there is little more than the names of the files in both."""
    for folder, shift in (("a", 0), ("b", 1)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "0000.npy", np.arange(3) + shift)
        content = (tmp_path / folder / "0000.npy").read_bytes()
        for number in range(1, MANY):
            (tmp_path / folder / f"{number:04}.npy").write_bytes(content)
    words = "diff", tmp_path / "a", tmp_path / "b", "-v", "--glob"
    few, many = (peak(*words, glob, status=1) for glob in ("0*.npy", "*.npy"))
    assert many < few + 5000, "KiB"


def test_memory_does_not_grow_with_the_number_of_files_that_fail(
    listing: Callable[[int], Path], tmp_path: Path
) -> None:
    """What was known of them is forgotten with them."""
    words = ("binary", "-t", "0.5", "-O", tmp_path, "-q", "--files-from")
    peak(*words, listing(MANY))
    few, many = (peak(*words, listing(count), "-n", status=5) for count in (FEW, MANY))
    assert many < few + 4000, "KiB"


@pytest.mark.parametrize("words", [("binary", "-t", "0.5", "-O", "{out}", "-n"), ("stats",), ("check",)])
def test_a_file_that_fails_leaves_nothing_to_the_garbage_collector(
    words: tuple[str, ...], garbage: list[object], tmp_path: Path
) -> None:
    """An error is no cycle: it would hold all that the work on its file had in hand."""
    names, out = [tmp_path / name for name in ("damaged.npy", "exists.npy", "none.npy")], tmp_path / "out"
    out.mkdir()
    for name in names[:2]:
        np.save(name, np.ones(3))
        (out / name.name).touch()
    names[0].write_bytes(names[0].read_bytes()[:-1])
    ran = thresh(*(word.format(out=out) for word in words), *names)
    assert ran.status in (1, 3, 4), ran.err
    gc.collect()
    assert [item for item in garbage if isinstance(item, ThreshError)] == []


@pytest.mark.parametrize(("report", "most"), [("table", 2700), ("json", 4200)])
def test_of_each_tensor_of_a_file_there_is_little(report: str, most: int, tmp_path: Path) -> None:
    """Its plan, its counts, the sums that programs are told of; not all of the text that says it."""
    sizes = (1000, 6000)
    for many in sizes:
        tensors = {f"layer.{number}.weight": np.ones(4, "f4") for number in range(many)}
        save_file(tensors, tmp_path / f"{many}.safetensors")
    words = ("-t", "0.5", "-O", tmp_path / "out", "--report", report)
    few, many = (peak("binary", tmp_path / f"{number}.safetensors", *words) for number in sizes)
    assert 1024 * (many - few) < most * (sizes[1] - sizes[0])
