"""Looking at files without writing: every chosen tensor, a bad file costs itself, pipes can be read."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.harness import Ran, refused, thresh
from threshcli.errors import InputError, UsageError
from threshcli.executors.examine import Means, Subject, examine
from threshcli.plan.selection import Selection
from threshcli.results import FileResult, TensorResult
from threshcli.studies.base import MAGNITUDE, VALUE
from threshcli.studies.summary import summary


def look(subject: Subject) -> TensorResult:
    """Two studies of a tensor, in one pass."""
    plain, sizes = subject.answers(summary(VALUE), summary(MAGNITUDE))
    return replace(
        TensorResult(**subject.about()), mean=plain.mean, norm_before=plain.norm2, norm_after=sizes.norm2, nan=plain.nan
    )


def examined(paths: Sequence[str | Path], means: Means | None = None) -> list[FileResult]:
    return list(examine([str(path) for path in paths], means or Means(), look))


def selecting(*keep: str, exclude: tuple[str, ...] = ()) -> Means:
    return Means(selection=Selection(keep, exclude))


def told(file: FileResult) -> dict[str, str | None]:
    """The tensors that were not looked at, with the reason; None for the others."""
    return {item.name: item.reason for item in file.tensors}


@pytest.fixture
def files(folder: Path) -> Path:
    save_file({"a.w": np.arange(6, dtype="f2"), "a.b": np.ones(3, "i8"), "z": np.ones(2)}, "m.safetensors")
    torch.save({"w": torch.arange(100.0), "c": torch.ones(2, dtype=torch.complex64)}, "m.pt")
    return folder


def test_every_tensor_of_every_file_is_looked_at(files: Path) -> None:
    """In the order of the files and of their tensors, with what the header says."""
    first, second = examined(["m.safetensors", "v.npy"])
    assert (first.status, first.format, first.bytes_in) == (
        "read",
        "safetensors",
        (files / "m.safetensors").stat().st_size,
    )
    found = {item.name: (item.mean, item.dtype, item.shape, item.elements, item.applied) for item in first.tensors}
    assert found["a.w"] == (2.5, "float16", (6,), 6, True)
    assert found["a.b"] == (1.0, "int64", (3,), 3, True)
    assert [(item.name, item.mean) for item in second.tensors] == [("v", 1.0)]


def test_a_tensor_that_is_not_looked_at_says_why(files: Path) -> None:
    (file,) = examined(["m.safetensors"], selecting("a.*", exclude=("*.b",)))
    assert told(file) == {"a.w": None, "a.b": "not selected", "z": "not selected"}
    (file,) = examined(["m.pt"])
    assert told(file) == {"w": None, "c": "complex64 has no order; --magnitude looks at abs(x)"}
    assert file.tensors[1].applied is False


def test_a_file_that_fails_costs_that_file(files: Path) -> None:
    """What is damaged, missing or a folder."""
    (files / "bad.npy").write_bytes((files / "m.npy").read_bytes()[:-8])
    result = examined(["v.npy", "bad.npy", "missing.npy", ".", "i.npy"])
    assert [item.status for item in result] == ["read", "failed", "failed", "failed", "read"]
    error = result[1].error
    assert error is not None
    assert (error.exit_code, error.elsewhere) == (4, False)
    assert "truncated" in error.message


def test_a_pattern_that_matches_nothing_is_an_error(files: Path) -> None:
    """Of one file it is that file's, of several that of the call; in a batch another file may have the tensor."""
    (file,) = examined(["m.safetensors"], selecting("b*"))
    assert file.error is not None
    assert (file.error.exit_code, file.error.hint) == (2, "list the names with: thresh info FILE")
    with pytest.raises(UsageError, match="no tensor matches 'b"):
        examined(["m.safetensors", "missing.npy", "v.npy"], selecting("b*"))
    first, second = examined(["m.safetensors", "v.npy"], selecting("v"))
    assert set(told(first).values()) == {"not selected"}
    assert told(second) == {"v": None}


@pytest.mark.parametrize("command", ["stats", "check", "info"])
def test_a_pattern_may_match_one_of_many_names_in_any_file(command: str, tmp_path: Path) -> None:
    """Though only some of the names are kept, to say what there is."""
    many = {f"layer.{number:04}": np.zeros(1, "f4") for number in range(1200)}
    save_file(many, tmp_path / "a.safetensors")
    save_file({**many, "last": np.zeros(1, "f4")}, tmp_path / "b.safetensors")
    given = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for name in ("last", "layer.1199"):
        assert thresh(command, *given, "-k", name).status == 0
    refused(thresh(command, *given, "-k", "last", "-x", "lost"), 2, "no tensor matches 'lost'")


def test_what_there_is_to_note_of_a_file_is_told_to_those_who_ask_for_all(tmp_path: Path) -> None:
    """Below the table, of each file."""
    save_file({"a": np.ones(2, "f4")}, tmp_path / "x.safetensors")
    index = tmp_path / "x.safetensors.index.json"
    index.write_text('{"metadata": {}, "weight_map": {"a": "x.safetensors"}}')
    noted = f"{index}: 1 names in 1 shards"
    assert noted in thresh("check", index, "-v").out.replace("\n", " ")
    assert "names in" not in thresh("check", index).out


def test_stored_checksums_are_compared(files: Path) -> None:
    """Nobody else does, when only some tensors are read; what is not looked at need not be sound."""
    raw = (files / "m.pt").read_bytes()
    place = raw.index(np.float32(77.0).tobytes())
    (files / "m.pt").write_bytes(raw[:place] + b"\x01" + raw[place + 1 :])
    (file,) = examined(["m.pt"])
    assert file.error is not None
    assert "CRC-32" in file.error.message
    (file,) = examined(["m.pt"], selecting("c"))
    assert file.status == "read"


@pytest.mark.parametrize("means", [Means(), selecting("v")], ids=["all", "chosen"])
def test_a_pipe_is_read_once_and_looked_at_as_often_as_needed(means: Means, files: Path) -> None:
    """Patterns over several files need the headers first."""
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: (files / "pipe").write_bytes((files / "v.npy").read_bytes()))
    writer.start()
    result = examined(["pipe", "v.npy"], replace(means, selection=Selection(means.selection.keep and ("v", "pipe"))))
    writer.join()
    assert [item.status for item in result] == ["read", "read"]
    assert [item.tensors[0].mean for item in result] == [1.0, 1.0]
    assert result[0].tensors[0].name == "pipe"


def test_workers_and_memory_change_nothing(folder: Path) -> None:
    np.save("big.npy", np.random.default_rng(5).standard_normal(900_000))
    every = [Means(), Means(jobs=3), Means(jobs=2, max_memory=1 << 20)]
    first, *others = [examined(["big.npy"], means)[0].tensors for means in every]
    assert first[0].norm_before is not None
    assert [item == first for item in others] == [True, True]


def test_too_little_memory_costs_a_file(folder: Path) -> None:
    def full(subject: Subject) -> TensorResult:
        raise MemoryError

    (file,) = examine(["v.npy"], Means(), full)
    assert file.error is not None
    assert file.error.exit_code == 6


def test_an_error_elsewhere_names_its_own_file(folder: Path) -> None:
    def elsewhere(subject: Subject) -> TensorResult:
        raise UsageError("does not fit", file="map.npy")

    (file,) = examine(["v.npy"], Means(), elsewhere)
    assert file.error is not None
    assert (file.error.message, file.error.elsewhere) == ("map.npy: does not fit", True)


def test_a_survey_sees_all_tensors_before_they_are_looked_at(files: Path) -> None:
    """In the order in which they are looked at then, pipes among them."""
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: (files / "pipe").write_bytes((files / "v.npy").read_bytes()))
    writer.start()
    seen: list[str] = []
    means: list[float] = []

    def survey(subjects: Sequence[Subject]) -> None:
        seen.extend(subject.name for subject in subjects)
        means.extend(subject.answers(summary(VALUE))[0].mean for subject in subjects)

    result = list(examine(["m.safetensors", "pipe", "z.npy"], selecting(exclude=("z",)), look, survey))
    writer.join()
    looked_at = [item for file in result for item in file.tensors if item.applied]
    assert seen == [item.name for item in looked_at] == ["a.b", "a.w", "pipe"]
    assert means == [item.mean for item in looked_at]


def test_a_survey_takes_nothing_that_is_damaged(files: Path) -> None:
    """What is worked out over all files would be wrong: the call ends before anything is."""
    raw = (files / "m.pt").read_bytes()
    (files / "m.pt").write_bytes(raw.replace(np.float32(77.0).tobytes(), b"\x01\x02\x03\x04"))
    for bad, said in (("m.pt", "m.pt: is damaged"), ("missing.npy", "missing.npy: no such file")):
        with pytest.raises(InputError, match=said):
            list(examine(["v.npy", bad], Means(), look, survey=lambda subjects: pytest.fail("too late")))


@pytest.mark.parametrize("command", ["info", "stats", "hist", "sweep", "check"])
def test_quiet_says_nothing_but_errors(command: str, tmp_path: Path) -> None:
    """And the exit status, whether the files can be read."""
    np.save(tmp_path / "x.npy", np.arange(9.0))
    assert thresh(command, tmp_path / "x.npy", "-q") == Ran(0, "", "")
    refused(thresh(command, tmp_path / "missing.npy", "-q"), 4, "no such file")
    both = thresh(command, tmp_path / "x.npy", tmp_path / "missing.npy", "--quiet")
    assert (both.status, both.out, len(both.lines)) == (3, "", 2)
