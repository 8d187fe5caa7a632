"""`thresh check`: what is wrong with a file is found, said where it is, and is exit status 1."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests import reference
from tests.files import write_codes
from tests.harness import Ran, refused, thresh
from tests.reference import pack, special
from tests.strategies import FLOATS, REAL
from tests.studying import Runner
from tests.test_report_machine import parsed
from threshcli.dtypes import DType
from threshcli.kernels._numpy_convert import storage
from threshcli.studies.unsound import unsound


def document(*arguments: object, status: int) -> Any:
    """The report for programs, which keeps to the schema."""
    ran = thresh("check", *arguments, "--json")
    assert (ran.status, ran.err) == (status, "")
    return parsed(ran.out)


def found(*arguments: object, status: int = 1) -> Any:
    """The first tensor."""
    return document(*arguments, status=status)["files"][0]["tensors"][0]


def test_a_sound_file_is_ok(folder: Path) -> None:
    """Of every format, and what has no NaN: integers, bools, nothing at all, a scalar."""
    torch.save({"a": torch.ones(3, 2).T, "b": [torch.tensor(1.5), torch.zeros(0, 3)]}, "t.pt")
    save_file({"b": torch.tensor([True, False]), "h": torch.ones(3, dtype=torch.bfloat16)}, "s.safetensors")
    np.save("f.npy", np.asfortranarray(np.ones((2, 3), ">f8")))
    ran = thresh("check", "v.npy", "i.npy", "t.pt", "s.safetensors", "f.npy")
    assert (ran.status, ran.err) == (0, "")
    rows = [line.split() for line in ran.out.splitlines()]
    assert [(row[0], row[-1]) for row in rows[2:7]] == [
        (name, "ok") for name in ("v.npy", "i.npy", "t.pt", "s.safetensors", "f.npy")
    ]
    assert ran.out.splitlines()[-1].endswith(": 5 ok")
    assert "8 tensors in 5 files" in ran.out


def test_nan_and_infinities_are_found_where_they_are(folder: Path) -> None:
    """Counted, the first of each by its index, whatever the order in memory."""
    data = np.zeros((3, 4, 5), "f4")
    data[2, 3, 1] = data[1, 2, 3] = np.nan
    data[0, 3, 4], data[2, 0, 0], data[1, 0, 0] = np.inf, -np.inf, np.inf
    for made in (data, np.asfortranarray(data), data.astype(">f8"), data.astype("f2")):
        np.save("x.npy", made)
        tensor = found("x.npy")
        assert (tensor["nan"], tensor["first_nan"], tensor["inf"], tensor["first_inf"]) == (2, [1, 2, 3], 3, [0, 3, 4])
    row = thresh("check", "x.npy").out.splitlines()[2]
    assert row.split()[:4] == ["x.npy", "3x4x5", "float16", "bad"]
    assert row.endswith("2 NaN, the first at [1, 2, 3]; 3 infinite, the first at [0, 3, 4]")


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_every_dtype_has_its_own_nan_and_infinity(dtype: DType, tmp_path: Path) -> None:
    """All codes of narrow formats, those where things go wrong of others."""
    codes = list(range(1 << dtype.bits)) if dtype.bits <= 16 and dtype.is_float else special(dtype)
    values = [reference.decode(code, dtype) for code in codes]
    nan = [index for index, value in enumerate(values) if value != value]
    inf = [index for index, value in enumerate(values) if value in (float("inf"), float("-inf"))]
    write_codes(tmp_path / "x.safetensors", {"x": (dtype, codes)})
    tensor = found(tmp_path / "x.safetensors", status=1 if nan or inf else 0)
    assert (tensor["nan"], tensor["inf"]) == (len(nan), len(inf))
    assert (tensor["first_nan"], tensor["first_inf"]) == (nan[:1] or None, inf[:1] or None)


@pytest.mark.parametrize("kind", ["c8", "c16"])
def test_complex_elements_have_them_in_either_part(kind: str, tmp_path: Path) -> None:
    """Once, however many parts: that abs(x) of inf+NaN is infinite hides nothing."""
    nan, inf = np.nan, np.inf
    data = [[1, complex(0, nan)], [complex(nan, nan), complex(inf, nan)], [complex(1, -inf), 0]]
    np.save(tmp_path / "z.npy", np.array(data, kind))
    tensor = found(tmp_path / "z.npy")
    assert (tensor["nan"], tensor["first_nan"], tensor["inf"], tensor["first_inf"]) == (3, [0, 1], 2, [1, 1])


@pytest.mark.filterwarnings("ignore:ComplexHalf support")
def test_half_complex_elements_are_looked_at_too(tmp_path: Path) -> None:
    torch.save(torch.complex(torch.tensor([1.0, 2.0]).half(), torch.tensor([float("nan"), 0.0]).half()), tmp_path / "z")
    tensor = found(tmp_path / "z")
    assert (tensor["dtype"], tensor["nan"], tensor["first_nan"]) == ("complex32", 1, [0])


@given(st.sampled_from(FLOATS), st.data())
def test_tiles_change_nothing_of_what_is_found(dtype: DType, data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.sampled_from(special(dtype)), max_size=40))
    array = np.frombuffer(bytes(pack(codes, dtype)), storage(dtype))
    whole, cut = (Runner(longest)(unsound(), array, dtype) for longest in (100, 3))
    assert whole == cut


def test_the_first_is_found_behind_many_that_are_sound(tmp_path: Path) -> None:
    """Beyond the first tile, by several workers."""
    data = np.zeros(3_000_000, "f4")
    data[2_345_678] = np.nan
    np.save(tmp_path / "x.npy", data)
    for jobs in (1, 3):
        tensor = found(tmp_path / "x.npy", "-j", jobs)
        assert (tensor["nan"], tensor["first_nan"]) == (1, [2_345_678])


def test_what_is_allowed_is_shown_and_no_fault(folder: Path) -> None:
    np.save("x.npy", np.array([1, np.nan, np.inf]))
    for words, status in (
        (["nan"], 1),
        (["inf"], 1),
        (["nan,inf"], 0),
        (["nan", "inf"], 0),
        ([" NaN, trailing"], 1),
    ):
        options = [part for word in words for part in ("--allow", word)]
        ran = thresh("check", "x.npy", *options)
        assert ran.status == status
        assert "1 NaN at [1]; 1 infinite at [2]" in ran.out
    assert found("x.npy", "--allow", "nan,inf", status=0)["verdict"] == "ok"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("zeros>0", True),
        ("zeros>20%", False),
        ("zeros>=20%", True),
        ("nan>0", False),
        ("min<-1", False),
        ("max>=3", True),
        ("mean>1", False),
        ("std<1", False),
        ("norm1>=7", True),
        ("norm-max==3", True),
        ("density<0.8", False),
        ("elements!=5", False),
    ],
)
def test_conditions_are_faults_where_they_hold(condition: str, holds: bool, folder: Path) -> None:
    """Of the numbers that stats shows: here of -1, 0, 1, 2, 3."""
    tensor = found("v.npy", "--fail-if", condition, status=int(holds))
    assert [item["condition"] for item in tensor["conditions"]] == [condition] * holds
    assert (f"{condition} holds: " in thresh("check", "v.npy", "--fail-if", condition).out) is holds


def test_conditions_on_nan_need_no_second_look_and_count_what_is_allowed(folder: Path) -> None:
    tensor = found("nan.npy", "--allow", "nan", "--fail-if", "nan>30%", "--fail-if", "inf>0")
    assert tensor["conditions"] == [{"condition": "nan>30%", "value": 1}]
    tensor = found("z.npy", "--fail-if", "norm_max>1")
    assert tensor["conditions"] == [{"condition": "norm_max>1", "value": pytest.approx(2**0.5)}]


def test_only_chosen_tensors_are_looked_at(folder: Path) -> None:
    save_file({"good": torch.ones(2), "bad": torch.tensor([float("nan")])}, "s.safetensors")
    assert thresh("check", "s.safetensors", "-x", "bad").status == 0
    assert thresh("check", "s.safetensors", "-k", "b*").status == 1
    refused(thresh("check", "s.safetensors", "-k", "nope"), 2, "'nope'")
    assert thresh("check", "s.safetensors", "v.npy", "-k", "good").status == 0
    refused(thresh("check", "s.safetensors", "v.npy", "-k", "nope"), 2, "'nope'")


def test_elements_without_values_are_not_looked_at(tmp_path: Path) -> None:
    """Packed floats: their bytes are there, which is all that is known."""
    header = b'{"w":{"dtype":"F4","shape":[2,2],"data_offsets":[0,2]}}'
    (tmp_path / "s.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    tensor = found(tmp_path / "s.safetensors", status=0)
    assert (tensor["verdict"], tensor["reason"]) == (None, "the values of F4 are not looked at")
    assert "the values of F4" in thresh("check", tmp_path / "s.safetensors", "-v").out


def test_what_cannot_be_read_has_failed(folder: Path) -> None:
    """Missing, no regular file: 4; 3 where other files could be looked at, whatever was found in them."""
    refused(thresh("check", "missing.npy"), 4, "no such file")
    refused(thresh("check", "/dev/null"), 4, "regular", hint=False)
    ran = thresh("check", "v.npy", "missing.npy", "nan.npy")
    assert (ran.status, ran.lines[0]) == (3, "thresh: error: missing.npy: no such file")
    assert ran.out.splitlines()[-1].endswith(": 1 ok, 1 bad, 1 failed")
    refused(thresh("check", "v.npy", "--allow", "everything"), 2, "'everything'")
    refused(thresh("check", "v.npy", "--fail-if", "much"), 2, "'much'")


def test_quiet_says_nothing_but_the_status(folder: Path) -> None:
    assert thresh("check", "nan.npy", "-q") == Ran(1, "", "")
    assert thresh("check", "v.npy", "-q") == Ran(0, "", "")
    refused(thresh("check", "missing.npy", "-q"), 4, "missing.npy")


def test_a_share_without_files_is_sound(folder: Path) -> None:
    Path("list").write_text("")
    assert thresh("check", "--files-from", "list", "--shard", "0/2").out.startswith("0 tensors in 0 files, 0 B, ")
    assert ":" not in thresh("check", "--files-from", "list", "--shard", "0/2").out


def test_of_many_files_only_those_with_a_fault_have_rows(folder: Path) -> None:
    many = [f"v{number:02}.npy" for number in range(20)]
    for name in many:
        np.save(name, np.ones(2))
    ran = thresh("check", *many, "nan.npy")
    assert [line.split()[0] for line in ran.out.splitlines()[2:]] == ["nan.npy", "21", "-v"]
    assert "20 ok, 1 bad" in ran.out
    assert len(thresh("check", *many, "nan.npy", "-v").out.splitlines()) == 2 + 21 + 1


def test_a_pipe_can_be_checked(folder: Path) -> None:
    """Once, even where names are asked for before."""
    os.mkfifo("pipe")
    for options, status in (([], 1), (["v.npy", "-k", "*"], 1)):
        writer = threading.Thread(target=lambda: Path("pipe").write_bytes(Path("nan.npy").read_bytes()), daemon=True)
        writer.start()
        assert thresh("check", "pipe", *options).status == status
        writer.join()


def test_names_cannot_break_the_table(tmp_path: Path) -> None:
    save_file({"a\x1b[31m\nb": torch.tensor([float("nan")]), "b": torch.ones(1)}, tmp_path / "s.safetensors")
    out = thresh("check", tmp_path / "s.safetensors").out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 5
