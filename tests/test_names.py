"""Which output belongs to which input."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.harness import listed, refused, thresh
from threshcli.errors import UsageError
from threshcli.plan.inputs import Search, gather
from threshcli.plan.names import Names


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of one name in several folders, beside which the test works."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("data/x.npy", "data/one/x.npy", "data/one/two/y.npy", "../above.npy"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        np.save(name, np.arange(4, dtype=np.float32))
    return tmp_path


def everything() -> list[str]:
    return sorted(str(path) for path in Path("out").rglob("*.*"))


def test_keep_tree_keeps_the_folders_below_an_argument() -> None:
    assert thresh("hard", "data", "--recursive", "-t", 1, "-O", "out", "--keep-tree").status == 0
    assert everything() == ["out/one/two/y.npy", "out/one/x.npy", "out/x.npy"]


def test_keep_tree_keeps_the_folders_of_plain_paths_within_the_output_folder(tree: Path) -> None:
    files = ["data/x.npy", "data/one/x.npy", "../above.npy", f"{tree}/here/data/one/two/y.npy"]
    assert thresh("hard", *files, "-t", 1, "-O", "out", "--keep-tree", "--to", "safetensors").status == 0
    absolute = f"{tree}/here/data/one/two/y.safetensors".removeprefix("/")
    kept = ("above.safetensors", "data/one/x.safetensors", "data/x.safetensors", absolute)
    assert everything() == sorted(f"out/{name}" for name in kept)


@pytest.mark.parametrize(("template", "names"), [
    ("out/{rel}{ext}", ["out/one/two/y.npy", "out/one/x.npy", "out/x.npy"]),
    ("out/{dir}/{stem}-{rule}{ext}", ["out/data/one/two/y-hard.npy", "out/data/one/x-hard.npy", "out/data/x-hard.npy"]),
    ("out/{rel}/{i}-{name}", ["out/one/two/y/0-y.npy", "out/one/x/1-x.npy", "out/x/2-x.npy"]),
])  # fmt: skip
def test_folders_of_templates_are_made(template: str, names: list[str]) -> None:
    ran = thresh("hard", "data", "--recursive", "-t", 1, "-o", template)
    assert (ran.status, ran.err) == (0, "")
    assert everything() == names


def test_folders_that_no_input_names_are_not_made() -> None:
    for dry in ([], ["-n"]):
        ran = thresh("hard", "data/x.npy", "-t", 1, "-o", "nowhere/{name}", *dry)
        refused(ran, 5, "nowhere/x.npy: cannot be written: its folder does not exist")
    assert thresh("hard", "data/x.npy", "-t", 1, "-O", "nowhere", "-n").status == 0
    refused(thresh("hard", "data/x.npy", "-t", 1, "-O", "data/x.npy/out"), 5, "cannot be made a folder", hint=False)


def test_folders_of_residuals_are_made() -> None:
    ran = thresh("gradient", "data/x.npy", "-t", 2, "-o", "y.npy", "--residual", "left/{rel}{ext}")
    assert (ran.status, ran.err) == (0, "")
    assert listed("left/data") == ["x.npy"]


def test_a_dry_run_makes_nothing() -> None:
    ran = thresh("hard", "data", "--recursive", "-t", 1, "-O", "out", "--keep-tree", "-n")
    assert (ran.status, Path("out").exists()) == (0, False)
    assert "out/one/x.npy" in ran.out


@pytest.mark.parametrize(("words", "said", "hint"), [
    ("data --recursive -O out", "data/one/x.npy and data/x.npy would both be written to out/x.npy", "--keep-tree"),
    ("data/x.npy data/one/x.npy -o {stem}.npy", "would both be written to x.npy", "template"),
    ("data/x.npy -o out.npy --residual ./out.npy", "output and residual of data/x.npy would both be", "two names"),
    ("data/x.npy data/one/x.npy -o data/one/../{rule}{i}.npy --keep-tree", "--keep-tree is for -O", "{rel}"),
    ("data/x.npy -o {what}.npy", "{what} is no field of a template", "{rel}"),
    ("data/x.npy data/one/x.npy -o {dir}/one/x.npy --overwrite", "data/one/x.npy is the output of data/x.npy", "-O"),
    ("data/x.npy data/one/x.npy -o y{i}.npy --residual data/one/../one/{name} --overwrite", "both be written", "templ"),
    ("data/x.npy -o y.npy -O out", "exclude each other", "once"),
    ("data/x.npy data/one/x.npy -o y.npy", "-o names one file, and there are 2 inputs", "-O"),
    ("data/x.npy", "nowhere to write", "--in-place"),
    ("data/x.npy --in-place --to pt", "--in-place keeps the format", "--to"),
])  # fmt: skip
def test_collisions_are_found_before_any_work(words: str, said: str, hint: str) -> None:
    ran = thresh("gradient", *words.split(), "-t", 1)
    refused(ran, 2, said)
    assert hint in ran.lines[1]
    assert listed(".") == ["data"]
    assert listed("data") == ["one", "x.npy"]


def test_outputs_that_are_links_to_one_file_meet() -> None:
    Path("a.npy").symlink_to("c.npy")
    Path("b.npy").symlink_to("c.npy")
    Path("in").mkdir()
    for name in ("a.npy", "b.npy"):
        np.save(f"in/{name}", np.ones(3))
    refused(thresh("hard", "in/a.npy", "in/b.npy", "-t", 1, "-O", ".", "--overwrite"), 2, "would both be written")


def test_links_to_one_file_are_not_both_replaced_in_place() -> None:
    Path("link.npy").symlink_to("data/x.npy")
    refused(thresh("soft", "link.npy", "data/x.npy", "-t", 1, "--in-place"), 2, "would both be written")


def test_the_folder_of_the_outputs_is_no_input_of_the_next_call() -> None:
    """A batch over the folder that its outputs go to may be run again."""
    words = ["hard", ".", "--recursive", "-t", 1, "-O", "out", "--keep-tree", "--report", "json"]
    assert thresh(*words).status == 0
    ran = thresh(*words, "--skip-existing")
    assert [file["status"] for file in ran.json["files"]] == ["skipped"] * 3


def test_names_without_folders_and_extensions() -> None:
    np.save("z.npy", np.ones(3))
    Path("z.npy").rename("z")
    (job,) = Names(output="{dir}|{stem}|{ext}|{name}|{rel}", rule="hard").jobs(["z"])
    assert job.output == ".|z||z|z"
    (job,) = Names(output="{dir}/{stem}", rule="hard").jobs(["-"])
    assert job.output == "./stdin"


def test_no_inputs_are_no_jobs_only_where_there_may_be_none() -> None:
    with pytest.raises(UsageError, match="no input files"):
        Names(out_dir="out").jobs([])


def test_ten_thousand_outputs_are_settled_from_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is resolved once, whatever is in it."""
    asked: list[str] = []
    real = os.path.realpath

    def told(path: str) -> str:
        asked.append(path)
        return real(path)

    monkeypatch.setattr(os.path, "realpath", told)
    inputs = gather([f"data/{number}.npy" for number in range(10_000)], Search())
    assert len(Names(out_dir="out").jobs(inputs)) == 10_000
    assert len(asked) == 2


@pytest.mark.parametrize("alike", [False, True])
def test_names_are_compared_as_they_are_whatever_their_hashes(alike: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are the same are refused, and no others where all have one hash."""
    if alike:
        monkeypatch.setattr("threshcli.plan.places.hash", lambda text: 7, raising=False)
    for name in ("a.npy", "b.npy", "out/a.npy"):
        Path(name).parent.mkdir(exist_ok=True)
        np.save(name, np.ones(3))
    words = ("hard", "-t", "1", "-n", "--overwrite", "-O", "out")
    assert thresh(*words, "a.npy", "b.npy").status == 0
    refused(thresh(*words, "b.npy", "a.npy", "./a.npy"), 2, "a.npy and ./a.npy are the same file")
    refused(thresh(*words, "b.npy", "data/x.npy", "data/one/x.npy"), 2, "data/x.npy and data/one/x.npy would both be")
    refused(thresh(*words, "b.npy", "a.npy", "out/a.npy", "--keep-tree"), 2, "out/a.npy is the output of a.npy, and an")
    assert thresh("hard", "-t", "1", "--in-place", "a.npy", "b.npy", "out/a.npy").status == 0
