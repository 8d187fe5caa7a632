"""`.pt`: what torch saved comes out as it was, changed tensors in the places of the old."""

from __future__ import annotations

import time
import warnings
from collections import Counter, OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.harness import thresh
from tests.pt_files import (
    again,
    alike,
    bits,
    elements,
    filled,
    loaded,
    mapped,
    plain,
    read,
    repacked,
    saved,
    sound,
    storage_bytes,
    trained,
    written,
)
from threshcli.containers.base import Contents, OutTensor
from threshcli.containers.pt import Pt
from threshcli.dtypes import DTYPES
from threshcli.errors import UsageError

BASE = torch.arange(24.0)
VIEWS = {
    "plain": BASE,
    "matrix": BASE.reshape(4, 6),
    "transposed": BASE.reshape(4, 6).t(),
    "permuted": BASE.reshape(2, 3, 4).permute(2, 0, 1),
    "columns": BASE.reshape(4, 6)[:, 1:3],
    "every other": BASE[1::2],
    "offset": BASE[5:9],
    "expanded": BASE[3:5].reshape(2, 1).expand(2, 7),
    "diagonal": BASE[:16].reshape(4, 4).diagonal(),
    "scalar": BASE[7],
    "empty": BASE[3:3],
    "empty matrix": torch.empty(0, 3),
}


def tied() -> Any:
    weight = torch.nn.Parameter(torch.ones(3, 4))
    return OrderedDict([("embed", weight), ("head", weight), ("again", weight.detach()), ("t", weight.detach().t())])


VALUES: list[Any] = [
    torch.arange(5),
    {},
    [],
    trained(torch.optim.Adam),
    trained(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
    tied(),
    VIEWS,
    {name: view.clone() for name, view in VIEWS.items()},
    {1: torch.ones(2), None: torch.ones(1), 2.5: torch.zeros(1), False: 0, (1, "a"): torch.ones(3)},
    [torch.Size([2, 3]), torch.float16, torch.device("cuda", 1), torch.strided, 1 + 2j, b"raw", bytearray(b"bytes")],
    [
        {1, 2},
        Counter("abba"),
        1 << 70,
        -(1 << 70),
        -5,
        70000,
        float("inf"),
        "\ud800",
        (1, (2, (3, (4,)))),
        (1, 2, 3, 4),
    ],
    [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)],
    [torch.ones(2, requires_grad=True), torch.ones(2, dtype=torch.complex64, requires_grad=True)],
    list(range(2001)),
    dict.fromkeys(range(2000)),
]


@pytest.mark.parametrize("value", VALUES)
def test_what_torch_saved_comes_out_byte_for_byte(value: object) -> None:
    """All but the last record, a hash of the checksums that torch puts behind everything and nobody reads."""
    data = saved(value)
    contents = read(data)
    out = sound(written(data, contents, plain(contents)))
    last = data.index(b"archive/.data/serialization_id") - 30
    assert out[:last] == data[:last]
    assert alike(loaded(out), loaded(data))


@pytest.mark.parametrize("value", VALUES)
def test_tensors_written_anew_load_as_the_same_values(value: object, tmp_path: Path) -> None:
    """Every view dense and apart, read and mapped."""
    data = saved(value)
    contents = read(data)
    out = sound(written(data, contents, plain(contents, copied=False)))
    assert alike(loaded(out), loaded(data))
    assert alike(mapped(out, tmp_path), loaded(data))


@pytest.mark.parametrize("dtype", [*DTYPES, "float4_e2m1fn_x2", "bits8", "bits16"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3)])
def test_every_dtype_keeps_its_bits(dtype: str, shape: tuple[int, ...]) -> None:
    """Copied with its storage, or written apart from it."""
    with warnings.catch_warnings(action="ignore"):  # complex32 is experimental
        made = torch.empty(shape, dtype=getattr(torch, dtype))
    held = made.untyped_storage()
    held.copy_(torch.arange(1, held.nbytes() + 1, dtype=torch.uint8).untyped_storage())
    (tensor,) = read(saved([made])).tensors
    assert (tensor.dtype.name, tensor.shape, tensor.nbytes) == (dtype, shape, held.nbytes())
    for copied in (True, False):
        (out,) = again([made], copied=copied)
        assert (out.dtype, out.shape, storage_bytes(out)) == (made.dtype, made.shape, storage_bytes(made))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_found_where_it_lies(name: str) -> None:
    """Whatever its strides and its offset."""
    data = saved(VIEWS[name])
    (tensor,) = read(data).tensors
    assert tensor.name == ""
    assert elements(data, tensor).tobytes() == bits(VIEWS[name])


def test_a_dense_view_keeps_the_order_of_its_axes() -> None:
    """A transposed weight is written transposed; only what is not dense becomes C-ordered."""
    assert Pt().axes((2, 0, 1)) == (2, 0, 1)
    assert again(VIEWS["permuted"], copied=False).stride() == VIEWS["permuted"].stride()
    assert again(VIEWS["columns"], copied=False).stride() == (2, 1)
    assert again(VIEWS["columns"]).stride() == (6, 1)


def test_the_same_view_is_one_tensor_and_stays_shared() -> None:
    """Ties by the same object or by an equal view; a view of another shape is a tensor of its own."""
    data = saved(tied())
    contents = read(data)
    assert [tensor.name for tensor in contents.tensors] == ["embed", "t"]
    out = loaded(sound(written(data, contents, plain(contents, copied=False))))
    assert out["embed"] is out["head"]
    assert isinstance(out["embed"], torch.nn.Parameter)
    assert out["embed"].data_ptr() == out["again"].data_ptr() != out["t"].data_ptr()


def test_a_storage_goes_over_whole_only_if_none_of_its_views_changes() -> None:
    """Overlapping views stay views of one storage, until one of them is worked on."""
    data = saved({"all": BASE, "part": BASE[3:5], "other": torch.ones(2)})
    contents = read(data)
    kept = loaded(written(data, contents, plain(contents)))
    assert kept["part"].untyped_storage().data_ptr() == kept["all"].untyped_storage().data_ptr()
    outs = (plain(contents)[0], replace(plain(contents)[1], copied=False), plain(contents)[2])
    changed = loaded(sound(written(data, contents, outs, {1: np.array([-1, -2], "f4")})))
    assert changed["part"].tolist() == [-1, -2]
    assert changed["all"].tolist() == BASE.tolist()


def test_a_changed_dtype_keeps_structure_and_drops_impossible_gradients() -> None:
    """Parameters stay Parameters; an integer cannot require a gradient, and torch 2.13 fails to load a float8 tensor
    that does unless it is a Parameter."""
    data = saved({"p": torch.nn.Parameter(torch.ones(2, 3)), "q": torch.ones(2, requires_grad=True)})
    contents = read(data)
    for dtype, grads in (("float16", "pq"), ("float8_e5m2", "p"), ("complex64", "pq"), ("bool", ""), ("int16", "")):
        outs = tuple(replace(out, dtype=DTYPES[dtype], copied=False) for out in plain(contents))
        zeros = {index: np.zeros(out.shape, f"V{out.dtype.itemsize}") for index, out in enumerate(outs)}
        out = loaded(sound(written(data, contents, outs, zeros)))
        assert {value.dtype for value in out.values()} == {getattr(torch, dtype)}
        assert "".join(name for name, value in out.items() if value.requires_grad) == grads
        assert isinstance(out["p"], torch.nn.Parameter)


def test_attributes_of_tensors_and_of_state_dicts_survive() -> None:
    """`_metadata` of a state_dict; attributes that somebody hung on a tensor."""
    state = torch.nn.Linear(2, 2).state_dict()
    tensor, parameter = torch.ones(2), torch.nn.Parameter(torch.ones(3))
    vars(tensor)["note"], vars(parameter)["axes"] = "kept", {"in": 0}
    for copied in (True, False):
        out = again([state, tensor, parameter], copied=copied)
        assert out[0]._metadata == state._metadata  # type: ignore[attr-defined]
        assert (out[1].note, out[2].axes) == ("kept", {"in": 0})
        assert isinstance(out[2], torch.nn.Parameter)


def test_a_device_that_is_not_here_is_no_matter() -> None:
    """A checkpoint of a GPU is read anywhere, and says afterwards what it said before."""
    here = saved([torch.ones(3)])
    there = repacked(here, lambda name, data: data.replace(b"\3\0\0\0cpu", b"\6\0\0\0cuda:0"))
    contents = read(there)
    for copied in (True, False):
        assert b"cuda:0" in written(there, contents, plain(contents, copied=copied))


def test_names_are_paths_and_no_two_are_equal() -> None:
    """A path that is taken gets a number."""
    value = {"a.b": torch.ones(1), "a": {"b": torch.ones(1)}, "state": {0: {"x": torch.ones(1)}}, 1: [torch.ones(2)]}
    assert [tensor.name for tensor in read(saved(value)).tensors] == ["a.b", "a.b#2", "state.0.x", "1.0"]


def test_other_values_are_counted_for_people() -> None:
    """What another format could not hold."""
    value = {"w": torch.ones(1), "epoch": 3, "lr": 0.1, "names": ["a", {"b"}], "size": torch.Size([1])}
    assert read(saved(value)).notes == ("5 other values (epoch, lr, names.0, ...) cannot go to another format",)
    assert read(saved(torch.nn.Linear(1, 1).state_dict())).notes == ()


def test_some_tensors_of_a_file_become_a_flat_dict() -> None:
    """A residual holds only what was worked on."""
    data = saved(trained(torch.optim.Adam))
    contents = read(data)
    outs = tuple(replace(out, copied=False) for out in plain(contents)[1:4])
    out = loaded(sound(written(data, contents, outs)))
    assert list(out) == [tensor.name for tensor in contents.tensors[1:4]]


def test_tensors_of_other_formats_become_a_dict_or_one_tensor() -> None:
    """Without a structure to keep: the name decides."""
    source = read(saved({"x": BASE.reshape(4, 6), "y": torch.ones(3, dtype=torch.uint16)}))
    data = saved({"x": BASE.reshape(4, 6), "y": torch.ones(3, dtype=torch.uint16)})
    assert alike(loaded(anew(data, source, plain(source))), loaded(data))
    assert alike(loaded(anew(data, source, (replace(plain(source)[0], name=""),))), BASE.reshape(4, 6))
    with pytest.raises(UsageError, match="two tensors would be called 'x'"):
        anew(data, source, tuple(replace(out, name="x") for out in plain(source)))
    packed = read(saved({"x": torch.empty(2, dtype=torch.uint8).view(torch.bits8)}))
    with pytest.raises(UsageError, match="bits8 of tensor 'x' can only be copied"):
        anew(data, packed, plain(packed))


def anew(data: bytes, source: Contents, outs: tuple[OutTensor, ...]) -> bytes:
    return sound(filled(Pt().skeleton(outs, None, {}), data, source, outs, {}))


def test_ten_thousand_tensors_take_a_moment() -> None:
    """A second or two would be too long for a header."""
    data = saved({f"layers.{index}.weight": torch.ones(1) for index in range(10_000)})
    start = time.perf_counter()
    contents = read(data)
    out = written(data, contents, plain(contents, copied=False))
    assert len(loaded(out)) == 10_000
    assert time.perf_counter() - start < 20, "it takes about two"


@pytest.mark.parametrize("value", [trained(torch.optim.Adam), tied(), VIEWS, torch.arange(5), [], {"b": BASE > 3}])
def test_a_threshold_that_keeps_everything_gives_back_the_file(value: object, tmp_path: Path) -> None:
    """From the command line, through the engine."""
    (tmp_path / "x.pt").write_bytes(saved(value))
    ran = thresh("clamp", tmp_path / "x.pt", "--low", "-inf", "-o", tmp_path / "y.pt", "-q")
    assert ran.status == 0, ran.err
    assert alike(loaded(sound((tmp_path / "y.pt").read_bytes())), value)


def test_further_names_of_a_tensor_are_told() -> None:
    """The same object again, a view like it, a Parameter; not those that have a tensor of their own."""
    shared, weight = torch.arange(4.0), torch.nn.Parameter(torch.ones(2))
    contents = read(saved({"a": shared, "b": [shared, shared[:], shared[1:]], "w": weight, "v": {"w": weight}}))
    assert [tensor.name for tensor in contents.tensors] == ["a", "b.2", "w"]
    assert sorted(contents.tied) == [("b.0", 0), ("b.1", 0), ("v.w", 2)]
    assert read(saved([torch.ones(1), torch.ones(1)])).tied == ()
