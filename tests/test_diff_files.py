"""`thresh diff` of whole files: names, containers, metadata, damage, folders; and its reports."""

from __future__ import annotations

import itertools
import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.harness import refused, thresh
from tests.reports import render
from tests.test_diff import document
from tests.test_report_examples import UNHURRIED, anything, check_lines, failed, run, terminals
from tests.test_report_machine import parsed, validator
from threshcli.report.terminal import Terminal
from threshcli.results import FileResult, RunResult
from threshcli.verdicts import FileDiff, TensorDiff


def tensors(*arguments: object, status: int) -> dict[str, list[str]]:
    """In what each tensor differs."""
    (file,) = document(*arguments, status=status)["files"]
    return {item["name"]: item["differs"] for item in file["tensors"]}


@pytest.fixture
def files(folder: Path) -> Path:
    """Two checkpoints, and the first in another format."""
    a = {"w": torch.arange(12.0).reshape(3, 4), "b": torch.ones(3, dtype=torch.bfloat16), "gone": torch.ones(2)}
    save_file(a, "a.safetensors", metadata={"run": "1", "by": "hand"})
    torch.save(a, "a.pt")
    b = {"new": torch.ones(2), "w": a["w"].clone(), "b": a["b"].float()}
    b["w"][1, 2] = 0
    torch.save(b, "b.pt")
    save_file(b, "b.safetensors", metadata={"run": "2", "on": "cpu"})
    return folder


def test_tensors_are_compared_by_their_names_whatever_the_format(files: Path) -> None:
    """Those of the first in order, then those that only the second has."""
    assert list(tensors("a.safetensors", "a.pt", status=0).values()) == [[], [], []]
    for one in ("a.pt", "a.safetensors"):
        for other in ("b.pt", "b.safetensors"):
            found = tensors(one, other, status=1)
            assert found == {"w": ["values"], "b": ["dtype"], "gone": ["only in a"], "new": ["only in b"]}
            assert list(found)[-1] == "new"


def test_nested_names_are_those_that_info_shows(folder: Path) -> None:
    torch.save({"model": {"layers": [torch.ones(2), torch.zeros(3)]}, "step": 3}, "a.pt")
    save_file({"model.layers.0": torch.ones(2), "model.layers.1": torch.zeros(3)}, "b.safetensors")
    assert thresh("diff", "a.pt", "b.safetensors").status == 0


def test_a_tensor_without_a_name_is_compared_with_the_only_other_one(folder: Path) -> None:
    """However it is called; where there are several it is one of no name."""
    np.save("a.npy", np.ones(3, "f4"))
    save_file({"weight": torch.ones(3)}, "b.safetensors")
    torch.save(torch.ones(3), "c.pt")
    for a, b, name in (
        ("a.npy", "b.safetensors", "weight"),
        ("b.safetensors", "c.pt", "weight"),
        ("a.npy", "c.pt", "a"),
        ("a.npy", "a.npy", "a"),
    ):
        assert tensors(a, b, status=0) == {name: []}
    save_file({"weight": torch.ones(3), "bias": torch.ones(3)}, "d.safetensors")
    found = tensors("a.npy", "d.safetensors", status=1)
    assert found == {"a": ["only in a"], "bias": ["only in b"], "weight": ["only in b"]}
    assert tensors("d.safetensors", "a.npy", status=1)["a"] == ["only in b"]
    save_file({"other": torch.ones(3)}, "e.safetensors")
    assert tensors("b.safetensors", "e.safetensors", status=1) == {"weight": ["only in a"], "other": ["only in b"]}


def test_tied_tensors_are_compared_under_each_name(folder: Path) -> None:
    """A file that ties two names holds what one that does not tie them does."""
    shared = torch.arange(4.0)
    torch.save({"embed": shared, "head": shared, "b": [shared, torch.ones(1)]}, "a.pt")
    apart = {"embed": shared.clone(), "head": shared.clone(), "b.0": shared.clone(), "b.1": torch.ones(1)}
    save_file(apart, "b.safetensors")
    assert thresh("diff", "a.pt", "b.safetensors").status == 0
    assert thresh("diff", "b.safetensors", "a.pt").status == 0
    apart["head"][3] = 7
    save_file(apart, "b.safetensors")
    assert {name for name, what in tensors("a.pt", "b.safetensors", status=1).items() if what} == {"head"}


def test_metadata_is_compared_on_request(files: Path) -> None:
    save_file({"w": torch.ones(1)}, "c.safetensors", metadata={"run": "1", "by": "hand\x1b[31m"})
    save_file({"w": torch.ones(1)}, "d.safetensors", metadata={"run": "2", "on": "cpu"})
    assert thresh("diff", "c.safetensors", "d.safetensors").status == 0
    (file,) = document("c.safetensors", "d.safetensors", "--metadata", status=1)["files"]
    assert {item["key"]: (item["a"], item["b"]) for item in file["metadata"]} == {
        "by": ("hand\x1b[31m", None),
        "on": (None, "cpu"),
        "run": ("1", "2"),
    }
    out = thresh("diff", "c.safetensors", "d.safetensors", "--metadata").out
    assert "metadata run: '1' | '2'" in out
    assert "\x1b" not in out
    assert thresh("diff", "c.safetensors", "c.safetensors", "--metadata").status == 0


def test_only_chosen_tensors_are_compared(files: Path) -> None:
    """A pattern has to match a tensor of one of them."""
    assert tensors("a.pt", "b.pt", "-k", "w", "-k", "new", status=1) == {"w": ["values"], "new": ["only in b"]}
    assert thresh("diff", "a.pt", "b.pt", "-x", "w", "-x", "gone", "-x", "new", "--ignore-dtype").status == 0
    refused(thresh("diff", "a.pt", "b.pt", "-k", "nope"), 2, "'nope'")


def test_what_has_no_values_is_compared_by_its_bytes(tmp_path: Path) -> None:
    """Packed floats; of another dtype they are just that."""
    for name, code, data in (("a", b"F4", b"\x10\x20"), ("b", b"F4", b"\x10\x21"), ("c", b"U8", b"\x10\x20")):
        shape = b"[2,2]" if code == b"F4" else b"[2]"
        header = b'{"w":{"dtype":"' + code + b'","shape":' + shape + b',"data_offsets":[0,2]}}'
        (tmp_path / f"{name}.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    a, b, c = (tmp_path / f"{name}.safetensors" for name in "abc")
    assert thresh("diff", a, a).status == 0
    (tensor,) = document(a, b, status=1)["files"][0]["tensors"]
    assert (tensor["differs"], tensor["differing"], tensor["first"], tensor["max_abs"]) == (["values"], 1, [1], None)
    assert tensors(a, c, "--ignore-dtype", status=1) == {"w": ["shape"]}


def test_what_cannot_be_read_is_named(files: Path) -> None:
    """Whichever of the two it is: missing, damaged, changed by a bit."""
    refused(thresh("diff", "missing.pt", "a.pt"), 4, "error: missing.pt: no such file")
    refused(thresh("diff", "a.pt", "missing.pt"), 4, "error: missing.pt: no such file")
    raw = bytearray(Path("a.pt").read_bytes())
    raw[raw.find(torch.arange(12.0).numpy().tobytes()) + 20] ^= 1
    Path("bad.pt").write_bytes(raw)
    refused(thresh("diff", "a.pt", "bad.pt"), 4, "bad.pt: is damaged")
    refused(thresh("diff", "bad.pt", "a.pt"), 4, "bad.pt: is damaged")
    assert thresh("diff", "a.pt", "bad.pt", "-k", "b").status == 0
    Path("cut.pt").write_bytes(bytes(raw[:200]))
    refused(thresh("diff", "a.pt", "cut.pt"), 4, "cut.pt: is truncated")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("v.npy v.npy --rtol x", "--rtol: 'x'"),
        ("v.npy v.npy --atol -1", "--atol -1"),
        ("v.npy v.npy --atol nan", "--atol nan"),
        ("v.npy v.npy --bits --rtol 0.1", "--bits and --rtol"),
        ("v.npy v.npy --bits --nan-differs", "--bits and --nan-differs"),
        ("v.npy v.npy --bits --ignore-dtype", "--bits and --ignore-dtype"),
        ("- -", "standard input"),
        (". v.npy", ". is a folder"),
        ("v.npy .", ". is a folder"),
        ("v.npy v.npy --recursive", "folders"),
        ("v.npy v.npy --glob *.npy", "folders"),
        ("v.npy", "missing argument"),
        ("v.npy i.npy m.npy", "m.npy"),
        ("v.npy v.npy -j 0", "--jobs"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: str, said: str, folder: Path) -> None:
    refused(thresh("diff", *words.split()), 2, said)


def test_pipes_can_be_compared(folder: Path) -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(Path("m.npy").read_bytes()), daemon=True)
    writer.start()
    assert thresh("diff", "m.npy", "pipe").status == 0
    writer.join()


def test_an_index_stands_for_all_shards(folder: Path) -> None:
    """Compared with another, and with one file of all tensors; errors name the shard, or the index."""
    tensors_ = {f"w{number}": torch.full((3,), float(number)) for number in range(4)}
    save_file(tensors_, "whole.safetensors")
    for name, cuts in (("a", (0, 2, 4)), ("b", (0, 1, 4))):
        Path(name).mkdir()
        shards = [dict(list(tensors_.items())[first:last]) for first, last in itertools.pairwise(cuts)]
        for number, shard in enumerate(shards):
            save_file(shard, f"{name}/s{number}.safetensors")
        listed = {key: f"s{number}.safetensors" for number, shard in enumerate(shards) for key in shard}
        Path(name, "x.index.json").write_text(json.dumps({"weight_map": listed}))
    for one, other in itertools.product(["a/x.index.json", "b/x.index.json", "whole.safetensors"], repeat=2):
        assert thresh("diff", one, other).status == 0
    tensors_["w3"][1] = 7
    save_file({name: tensors_[name] for name in ("w2", "w3")}, "a/s1.safetensors")
    assert tensors("a/x.index.json", "whole.safetensors", "-k", "w[23]", status=1) == {"w2": [], "w3": ["values"]}
    save_file({"w3": tensors_["w3"]}, "a/s1.safetensors")
    refused(thresh("diff", "a/x.index.json", "b/x.index.json"), 4, "a/x.index.json: lists tensor 'w2'")
    Path("a/s1.safetensors").unlink()
    refused(thresh("diff", "b/x.index.json", "a/x.index.json"), 4, "a/s1.safetensors: no such file")


def test_rows_are_limited_unless_all_are_asked_for(folder: Path) -> None:
    save_file({f"w{number:02}": torch.ones(1) for number in range(30)}, "a.safetensors")
    save_file({f"w{number:02}": torch.zeros(1) for number in range(30)}, "b.safetensors")
    for options, rows in (([], 30), (["--max", 5], 5), (["--max", 0], 0), (["--max", 5, "-v"], 30)):
        lines = thresh("diff", "a.safetensors", "b.safetensors", *options).out.splitlines()
        assert len([line for line in lines if line.startswith("w")]) == rows
        assert ("more row" in lines[-1]) is (rows < 30)
    assert "25 more rows: -v shows all" in thresh("diff", "a.safetensors", "b.safetensors", "--max", 5).out


indices = st.none() | st.lists(st.integers(0, 2**40), max_size=4).map(tuple)
numbers: st.SearchStrategy[Any] = st.none() | st.floats(0, allow_nan=False) | st.integers(0, 2**64)
different = st.builds(
    TensorDiff,
    name=anything,
    shape=st.just((3, 4)),
    dtype=st.just("float32"),
    out_dtype=st.just("float32"),
    applied=st.just(True),
    elements=st.just(12),
    differs=st.lists(st.sampled_from(["shape", "dtype", "values", "only in a"]), unique=True).map(tuple),
    other_shape=indices,
    other_dtype=st.sampled_from([None, "int8"]),
    differing=st.none() | st.integers(0, 12),
    first=indices,
    one_nan=st.none() | st.integers(0, 12),
    max_abs=numbers,
    max_abs_at=indices,
    max_rel=st.none() | st.floats(0, allow_nan=False),
    max_rel_at=indices,
)
pairs = st.builds(
    FileDiff,
    input=anything,
    output=st.none(),
    status=st.just("read"),
    format=st.just("pt"),
    other=anything,
    tensors=st.lists(different, max_size=3).map(tuple),
    keys=st.lists(st.tuples(anything, st.none() | anything, anything), max_size=2).map(tuple),
    only=st.sampled_from([None, "a"]),
) | st.just(failed("gone.npy"))


def told(*files: FileResult) -> RunResult:
    return replace(run(*files, params={"max": 3}), command="diff", operator="")


@UNHURRIED
@given(st.lists(pairs, max_size=3).map(lambda files: told(*files)), terminals, st.booleans())
def test_no_run_can_break_the_reports(result: RunResult, terminal: Terminal, verbose: bool) -> None:
    check_lines(render(result, "table", terminal, verbose), terminal)
    parsed(render(result, "json", terminal, verbose))


@pytest.mark.parametrize("change", [{"schema": "thresh.diff/2"}, {"totals": {}}, {"files": [{}]}])
def test_the_schema_refuses_what_is_not_a_report(change: dict[str, object]) -> None:
    document = json.loads(render(told(FileDiff(input="a", output=None, status="read")), "json", Terminal(), False))
    validator().validate(document | {"added": 1})
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(document | change)
