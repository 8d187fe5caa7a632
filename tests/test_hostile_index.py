"""Every hostile or strange index of a sharded checkpoint, with its shards, through every command that reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Ran, thresh
from tests.hostile import index
from tests.hostile.case import Case
from tests.test_hostile import named, one_line, read
from tests.test_hostile_processes import RESIDENT, limited, within_limits

CASES = list(index.cases())
LIGHT = [case for case in CASES if not case.heavy]


def commands(path: Path, out: Path) -> dict[str, Ran]:
    """What each command that reads makes of an index."""
    lines: dict[str, tuple[Any, ...]] = {"diff": (path, path), "hard": (path, "-t", 0, "-O", out, "-q")}
    return {name: thresh(name, *lines.get(name, (path,))) for name in ("info", "stats", "diff", "hard")}


def there(folder: Path) -> list[str]:
    """All that is in a folder and in those within it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    assert len(CASES) >= 25
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", [case for case in LIGHT if case.said], ids=named)
def test_what_cannot_be_trusted_is_refused_in_one_line(case: Case, tmp_path: Path) -> None:
    """By every command, and nothing is written; of what is found in a shard those that are sound are told of, too."""
    (tmp_path / "in").mkdir()
    path = case.write(tmp_path / "in")
    before = there(tmp_path / "in")
    ran = commands(path, tmp_path / "out")
    one_line(ran["diff"], case)
    if case.fault is None:
        one_line(ran["hard"], case)
        assert there(tmp_path / "out") == []
    else:  # which only shows when all of a shard is read; without it no index is written
        assert ran.pop("info").status == 0
        assert ran["hard"].status == 3
        assert path.name not in there(tmp_path / "out")
    for name in set(ran) & {"info", "stats"}:
        one_line(ran[name], case, status=ran[name].status)
        assert ran[name].status in (3, 4)
    checked = thresh("check", path, "--json")
    if checked.err:  # a shard cannot be looked at
        one_line(checked, case, status=3)
    else:
        assert checked.status == 1
        assert case.fault or re.search(str(case.said), str(checked.json["files"][-1]["faults"]))
    assert there(tmp_path / "in") == before


@pytest.mark.parametrize("case", [case for case in LIGHT if not case.said], ids=named)
def test_what_is_strange_and_sound_has_the_right_values(case: Case, tmp_path: Path) -> None:
    """A rule that keeps everything gives back each tensor of each shard, and the index byte for byte."""
    (tmp_path / "in").mkdir()
    path, out = case.write(tmp_path / "in"), tmp_path / "out"
    for ran in commands(path, out).values():
        assert ran.status == 0, ran.err
        assert not set(ran.out) & {"\x1b", "\x9b", "\u202e", "\0"}
    shards = sorted(set(json.loads(path.read_bytes())["weight_map"].values()))
    assert there(out) == sorted([*shards, path.name])
    for name in shards:
        assert list(read(out / name)) == list(read(path.parent / name))
    assert (out / path.name).read_bytes() == path.read_bytes()
    assert thresh("check", path).status == 0
    assert thresh("diff", path, out / path.name, "-q").status == 0


@pytest.mark.parametrize("case", [case for case in CASES if case.heavy], ids=named)
def test_a_bomb_takes_neither_memory_nor_time(case: Case, tmp_path: Path) -> None:
    within_limits(case, "-O", tmp_path, damaged={1, 3}, refused={3, 4})


def test_one_process_survives_all_of_them(tmp_path: Path) -> None:
    """A line for each that is refused, and the rest is done."""
    (tmp_path / "in").mkdir()
    paths = [case.write(tmp_path / "in").relative_to(tmp_path) for case in LIGHT]
    for command in ("stats", "check"):
        status, said, peak = limited(command, *paths, cwd=tmp_path)
        assert "Traceback" not in said
        assert status in (1, 3)
        assert peak < RESIDENT
        if command == "stats":
            assert said.count("thresh: error: ") >= sum(case.said is not None for case in LIGHT)
