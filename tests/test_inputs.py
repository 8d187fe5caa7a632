"""Which files a call takes: folders, lists, shards."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import threshcli
from tests.harness import listed, refused, thresh
from threshcli.errors import InputError, UsageError
from threshcli.plan.inputs import Files, Inputs, Search, Shard, confined, gather
from threshcli.plan.inputs import listed as names_in
from threshcli.plan.names import display_name
from threshcli.plan.places import Places

TREE = ("b.npy", "a.npy", "sub/c.npy", "sub/deep/d.NPY", "sub-x/e.npy", "readme.txt", ".hidden.npy", ".git/f.npy")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `data` with folders in it, beside which the test works."""
    monkeypatch.chdir(tmp_path)
    for name in TREE:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no tensor")
        else:
            with path.open("wb") as file:
                np.save(file, np.arange(4, dtype=np.float32))
    return tmp_path


def found(*names: str, **search: object) -> list[str]:
    return [item.path for item in gather(names, Search(**search)).files]  # type: ignore[arg-type]


def test_a_folder_stands_for_the_tensor_files_directly_in_it(tree: Path) -> None:
    assert found("data") == found("data/") == ["data/a.npy", "data/b.npy"]


def test_recursive_goes_folder_by_folder_in_the_order_of_bytes_and_leaves_out_what_is_hidden(tree: Path) -> None:
    wanted = ["data/a.npy", "data/b.npy", "data/sub/c.npy", "data/sub/deep/d.NPY", "data/sub-x/e.npy"]
    assert found("data", recursive=True) == wanted


@pytest.mark.parametrize(("patterns", "names"), [
    (("*",), ["a.npy", "b.npy", "readme.txt", "sub/c.npy", "sub/deep/d.NPY", "sub-x/e.npy"]),
    (("a*", "c*"), ["a.npy", "sub/c.npy"]),
    (("sub*/*.npy",), ["sub/c.npy", "sub-x/e.npy"]),
    (("*.txt",), ["readme.txt"]),
])  # fmt: skip
def test_patterns_choose_by_name_or_by_the_path_below_the_folder(
    patterns: tuple[str, ...], names: list[str], tree: Path
) -> None:
    inputs = gather(["data"], Search(recursive=True, patterns=patterns))
    assert [item.rel for item in inputs.files] == names


def test_links_to_files_are_followed_and_links_to_folders_only_as_arguments(tree: Path) -> None:
    (tree / "data" / "loop").symlink_to(tree / "data")
    (tree / "data" / "link.npy").symlink_to("a.npy")
    (tree / "data" / "gone.npy").symlink_to("nothing")
    os.mkfifo(tree / "data" / "pipe.npy")
    names = ["a.npy", "b.npy", "gone.npy", "link.npy"]
    assert found("data/loop") == [f"data/loop/{name}" for name in names]
    assert "data/loop/a.npy" not in found("data", recursive=True)
    ran = thresh("info", "data")
    assert (ran.status, "gone.npy: no such file" in ran.err) == (3, True)


def test_a_folder_that_cannot_be_listed_costs_itself_alone(tree: Path) -> None:
    """As root nothing is forbidden; a path may be too long for anyone."""
    here, name = Path.cwd(), "n" * 250
    os.chdir("data")
    for _ in range(17):
        Path(name).mkdir()
        os.chdir(name)
    os.chdir(here)
    ran = thresh("stats", "data", "--recursive", "--json")
    shutil.rmtree(f"data/{name}")
    assert ran.status == 3
    assert [file["status"] for file in ran.json["files"]].count("failed") == 1
    assert "File name too long" in ran.err


@pytest.mark.parametrize(("words", "said", "hint"), [
    ("info empty", "empty holds no files of these names: .npy", "--recursive"),
    ("info empty --recursive", "empty holds no files", "--glob"),
    ("info empty --glob *.dat", "these names: *.dat", "--recursive"),
    ("info --files-from empty.txt", "no input files", "--files-from"),
    ("info", "no input files", "--files-from"),
    ("info data/a.npy --glob *.npy", "--glob chooses files in folders", "folder"),
    ("info data/a.npy ./data/../data/a.npy", "data/a.npy and ./data/../data/a.npy are the same file", "once"),
    ("info data data/sub/.. --recursive", "are the same file", "once"),
    ("info - /dev/stdin", "standard input can be read once, and is named 2 times", "once"),
    ("info - --files-from -", "standard input can be read once", "once"),
    ("info data/a.npy -0", "--null is for --files-from", "--files-from"),
    ("info data --shard 3/3", "--shard '3/3' is not a share", "0/3"),
    ("info data --shard 1", "--shard '1' is not a share", "0/3"),
    ("info --files-from data/a.npy", "data/a.npy: holds a NUL in a line", "--null"),
    ("info --files-from -", "standard input is closed", "--files-from"),
    ("sweep data --scope global --shard 0/2", "--scope global and --shard exclude each other", "solve"),
    ("solve data -t p50 --scope global --shard 0/2", "--scope global and --shard", "solve"),
    ("gradient data -t p50 --scope global --shard 0/2 -O out", "--scope global and --shard", "solve"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_any_work(words: str, said: str, hint: str, tree: Path) -> None:
    (tree / "empty").mkdir()
    (tree / "empty.txt").write_text("\n\r\n\n")
    ran = thresh(*words.split())
    refused(ran, 4 if "closed" in said else 2, said)
    assert hint in ran.lines[1]


def test_a_list_that_is_missing_or_a_folder_is_told(tree: Path) -> None:
    refused(thresh("info", "--files-from", "nowhere"), 4, "nowhere: cannot be read: No such file")
    refused(thresh("info", "--files-from", "data"), 4, "data: cannot be read: Is a directory")


@pytest.mark.parametrize(("data", "null", "names"), [
    (b"a\nb c\n", False, ["a", "b c"]),
    (b"a\r\n\r\n\nb", False, ["a", "b"]),
    (b"a\nb\0c\r\0\0d", True, ["a\nb", "c\r", "d"]),
    (b"\xff\xfe.npy\n-\n", False, ["\udcff\udcfe.npy", "./-"]),
    (b"", True, []),
])  # fmt: skip
def test_names_in_a_list_may_be_any_bytes(data: bytes, null: bool, names: list[str]) -> None:
    for size in (1, 3, 100):
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        assert list(names_in("list", chunks, null=null)) == names


def test_what_is_no_list_is_refused_before_it_fills_the_memory() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * (1 << 16)

    with pytest.raises(UsageError, match="no list of names"):
        list(names_in("list", endless(), null=False))


@pytest.mark.parametrize("null", [False, True])
def test_files_come_from_a_list_as_well_as_from_arguments(null: bool, tree: Path) -> None:
    end = "\0" if null else "\n"
    names = end.join(["data/b.npy", "", "data/sub"])
    (tree / "list").write_text(names)
    flags = ["-0"] if null else []
    wanted = ["data/a.npy", "data/b.npy", "data/sub/c.npy"]
    ran = thresh("info", "data/a.npy", "--files-from", "list", *flags, "--json")
    assert [file["input"] for file in ran.json["files"]] == wanted
    ran = thresh("info", "data/a.npy", "--files-from", "-", *flags, "--json", given=names.encode())
    assert [file["input"] for file in ran.json["files"]] == wanted


def test_names_that_are_no_text_are_worked_on_and_told_exactly(tree: Path) -> None:
    odd = str(tree / "data" / "\udcff\n\x1b[31m.npy")
    shutil.copy(tree / "data" / "a.npy", odd)
    given = os.fsencode(odd) + b"\0"
    ran = thresh("hard", "--files-from", "-", "-0", "-t", 1, "-O", "out", "--report", "ndjson", given=given)
    assert (ran.status, ran.err) == (0, "")
    assert [os.fsencode(name) for name in listed("out")] == [b"\xff\n\x1b[31m.npy"]
    assert "\x1b" not in thresh("info", "--files-from", "-", "-0", given=given).out


@pytest.mark.parametrize("total", [1, 2, 3, 7])
def test_shards_are_disjoint_and_complete_and_know_no_order(total: int, tree: Path) -> None:
    names = [f"data/{number:02}.npy" for number in range(10)]
    shares = []
    for number in range(total):
        random.Random(number).shuffle(names)
        shares.append(gather(names, shard=Shard(number, total)).paths)
    assert sorted(path for share in shares for path in share) == sorted(names)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares[0] == sorted(shares[0])


def test_shards_of_a_run_write_each_file_once_and_number_them_over_all(tree: Path) -> None:
    for share in ("2/3", "0/3", "1/3"):
        words = ["hard", "data", "--recursive", "-t", 1, "--shard", share, "-o", "out{i}-{stem}.npy"]
        assert thresh(*words).status == 0
    assert [name for name in listed(".") if name != "data"] == [
        "out0-a.npy", "out1-b.npy", "out2-e.npy", "out3-c.npy", "out4-d.npy",
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["info", "stats", "hist", "sweep", "check", "solve -t p50", "hard -t 1 -O out"])
@pytest.mark.parametrize("form", ["--json", "table"])
def test_an_empty_share_is_a_success(command: str, form: str, tree: Path) -> None:
    words = [*command.split(), "data", "--shard", "5/6", *([form] if form == "--json" else [])]
    ran = thresh(*words)
    assert (ran.status, ran.err) == (0, "")
    if form == "--json":
        assert ran.json["files"] == []
        assert ran.json.get("status", "ok") == "ok"
    (tree / "none").mkdir()
    assert thresh(*command.split(), "none", "--shard", "0/6").status == 0


@pytest.mark.parametrize("command", ["info", "stats", "hist -t 1", "sweep", "check", "solve -t p50", "hard -t 1 -n"])
def test_every_command_takes_folders_and_shares(command: str, tree: Path) -> None:
    ran = thresh(*command.split(), "data", "--recursive", "--shard", "1/2", "--json")
    assert ran.status == 0
    assert [file["input"] for file in ran.json["files"]] == ["data/b.npy", "data/sub/c.npy"]


@pytest.mark.parametrize("command", ["stats", "check", "hard -t 1 -O out"])
def test_a_pattern_of_tensors_may_be_for_another_share(command: str, tree: Path) -> None:
    words = [*command.split(), "data", "-k", "b"]
    assert thresh(*words, "--shard", "0/2").status == 0
    assert thresh(*words, "--shard", "1/2").status == 0
    refused(thresh(*words, "-k", "nope"), 2, "nope")


@pytest.mark.parametrize(("path", "kept"), [
    ("a.npy", "a.npy"), ("x/y/a.npy", "x/y/a.npy"), ("/x/a.npy", "x/a.npy"), ("../../x/a.npy", "x/a.npy"),
    ("x/../../a.npy", "a.npy"), ("./x//a.npy", "x/a.npy"), ("-", "stdin"),
])  # fmt: skip
def test_a_path_is_kept_without_what_leads_out(path: str, kept: str) -> None:
    assert confined(path) == kept


def test_every_path_of_few_characters_is_confined_and_known_by_its_place(tmp_path: Path) -> None:
    """However it is spelled: no step is left that is none, or leads up; files of one name in one folder are one."""
    places = Places()
    for length in range(1, 7):
        for path in map("".join, product("./a", repeat=length)):
            kept = "/".join(step for step in os.path.normpath(path).split("/") if step not in ("", ".."))
            assert confined(path) == (kept if "/" in path else path)
            whole = str(tmp_path) + "/" + path
            folder, last = os.path.split(whole)
            if last not in ("", ".", ".."):
                assert places.of(whole) == f"{os.path.realpath(folder)}/{last}"
                assert display_name(path) == os.path.splitext(last)[0]  # noqa: PTH122 - a suffix is another thing to it


def test_a_place_is_known_by_every_spelling_and_a_link_by_its_own(tree: Path) -> None:
    (tree / "other").symlink_to("data")
    (tree / "data" / "link.npy").symlink_to("a.npy")
    places = Places()
    here = os.path.realpath(tree)
    assert {places.of(name) for name in ("data/a.npy", "other/a.npy", f"{tree}/data/sub/../a.npy")} == {
        f"{here}/data/a.npy"
    }
    assert places.of("data/link.npy") == f"{here}/data/link.npy"
    assert places.target("other/link.npy") == (f"{here}/data/a.npy", True)
    assert places.target("data/new.npy") == (f"{here}/data/new.npy", False)
    assert places.of("data/..") == here


def test_python_takes_folders_too(tree: Path) -> None:
    report = threshcli.apply("hard", "data", threshold=1, out_dir="out", recursive=True, glob="*.npy", keep_tree=True)
    assert [file.input for file in report.files] == [
        "data/a.npy", "data/b.npy", "data/sub/c.npy", "data/sub-x/e.npy",
    ]  # fmt: skip
    assert listed("out") == ["a.npy", "b.npy", "sub", "sub-x"]


def test_a_share_of_plain_values() -> None:
    inputs = Inputs(Files("abcde"), Shard(1, 2))
    assert (inputs.paths, inputs.share([1, 2, 3]), inputs.is_part) == (["b", "d"], [2], True)
    assert issubclass(InputError, ValueError)
