"""`.safetensors`: what is read, what is refused, what is written."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.files import CODES, read_codes, write_codes
from tests.harness import refused, thresh
from tests.strategies import mutated
from threshcli import containers
from threshcli.containers.base import Contents
from threshcli.dtypes import DTYPES
from threshcli.errors import InputError, ThreshError
from threshcli.storage.local import Source


def read(path: Path) -> Contents:
    with Source(str(path)) as source:
        return containers.identify(source).read(source)


def raw(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: str = "F32", shape: tuple[int, ...] = (2,), first: int = 0, last: int = 8) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [first, last]}


@pytest.mark.parametrize("name", sorted(CODES))
def test_every_dtype_of_the_format_keeps_its_bytes(name: str, tmp_path: Path) -> None:
    """A tensor that is not selected, beside one that is; 0-d and empty ones too."""
    dtype = DTYPES[name]
    codes = [0, 1, 0] if name == "bool" else [0, 1, (1 << dtype.bits) - 1]
    tensors = {"x": (dtype, codes), "none": (dtype, []), "one": (dtype, [1]), "f": (DTYPES["float32"], [0])}
    write_codes(tmp_path / "x.safetensors", tensors, shapes={"one": [], "none": [0, 3]}, metadata={"format": "pt"})
    for more in ((), ("-k", "f")):
        ran = thresh(
            "clamp", tmp_path / "x.safetensors", "--low", "-inf", *more, "-o", tmp_path / "y.safetensors", "--overwrite"
        )
        assert ran.status == 0, ran.err
        found = read_codes(tmp_path / "y.safetensors")
        assert {item: found[item] for item in tensors} == tensors
        assert list(found) == list(tensors)


def test_the_header_is_deterministic_and_keeps_its_metadata(tmp_path: Path) -> None:
    """The same command twice writes the same bytes; `thresh` is the only key that is added, and is replaced later."""
    metadata = {"format": "pt", "b": "2", "a": "1", "\u00e9": "\U0001f600"}
    write_codes(tmp_path / "x.safetensors", {"x": (DTYPES["float32"], [0, 1 << 30])}, metadata=metadata)
    for name in ("y", "z"):
        assert (
            thresh("binary", tmp_path / "x.safetensors", "-t", "0.10", "-o", tmp_path / f"{name}.safetensors").status
            == 0
        )
    assert (tmp_path / "y.safetensors").read_bytes() == (tmp_path / "z.safetensors").read_bytes()
    noted = dict(read(tmp_path / "y.safetensors").metadata)
    recipe = json.loads(noted.pop("thresh"))
    assert noted == metadata
    assert recipe.pop("rule") == "binary"
    assert recipe.pop("threshold") == "0.10"
    assert recipe == {"compare": "gt", "above": "1", "below": "0", "nan": "below", "scope": "tensor"}
    assert thresh("clamp", tmp_path / "y.safetensors", "--low", "0", "--in-place", "-q").status == 0
    assert json.loads(read(tmp_path / "y.safetensors").metadata["thresh"])["rule"] == "clamp"


def test_a_smaller_output_dtype_keeps_every_tensor_aligned(tmp_path: Path) -> None:
    """Readers view bytes in place: after a bool of 3 bytes a float32 must not begin at 3."""
    tensors = {"mask": (DTYPES["float32"], [0, 1, 2]), "rest": (DTYPES["float32"], [5, 6])}
    write_codes(tmp_path / "x.safetensors", tensors)
    words = ("-k", "mask", "--out-dtype", "bool", "-o", tmp_path / "y.safetensors")
    assert thresh("binary", tmp_path / "x.safetensors", "-t", "0", *words).status == 0
    places = {tensor.name: tensor.view.offset for tensor in read(tmp_path / "y.safetensors").tensors}
    assert places["rest"] % 4 == 0
    assert list(places) == ["mask", "rest"]
    import torch
    from safetensors.torch import load_file

    assert load_file(tmp_path / "y.safetensors")["rest"].view(torch.int32).tolist() == [5, 6]


def test_packed_formats_are_carried_along_and_refused_by_rules(tmp_path: Path) -> None:
    """4-bit floats: copied byte for byte when others are worked on; a clear word when they are all there is."""
    header = {"w": entry("F4", (8,), 0, 4), "x": entry("F32", (1,), 4, 8)}
    (tmp_path / "x.safetensors").write_bytes(raw(header, b"\x12\x34\x56\x78" + b"\0\0\x80\x3f"))
    ran = thresh("binary", tmp_path / "x.safetensors", "-t", "0", "-o", tmp_path / "y.safetensors", "--json")
    assert ran.status == 0, ran.err
    assert "only be copied" in str(ran.json["warnings"]) + str(ran.json["files"])
    y = read(tmp_path / "y.safetensors")
    assert (tmp_path / "y.safetensors").read_bytes()[y.tensors[0].view.offset :][:4] == b"\x12\x34\x56\x78"
    refused = thresh("binary", tmp_path / "x.safetensors", "-t", "0", "-k", "w", "-n")
    assert refused.status == 2
    assert "F4" in refused.err


@pytest.mark.parametrize(
    "content",
    [
        raw({"x": entry()}, b"1234567"),
        raw({"x": entry()}, b"123456789"),
        raw({"x": entry(last=4)}, b"1234"),
        raw({"x": entry(shape=(1 << 62,))}, b"12345678"),
        raw({"x": entry("F99")}, b"12345678"),
        raw({"x": entry(), "y": entry()}, b"12345678"),
        raw({"x": entry(first=8, last=16)}, b"12345678" * 2),
        raw(
            b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            b"1234",
        ),
        raw({"__metadata__": {"a": 1}, "x": entry()}, b"12345678"),
        raw({"x": entry()}, b"12345678", length=10_000),
        raw({"x": entry()}, b"12345678", length=1 << 62),
        raw(b"{" * 5000),
        raw(b'{"x": ' + b"[" * 5000),
        raw(b"{}}"),
        raw(b"\xff{}"),
        raw({"x": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"12345678"),
        b"\x02\0\0\0\0\0\0\0{",
        b"\x02\0\0",
    ],
)
def test_a_file_that_the_library_would_not_load_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    """InputError, exit status 4, no output."""
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(InputError):
        read(tmp_path / "x.safetensors")
    ran = thresh("binary", tmp_path / "x.safetensors", "-t", "0", "-o", tmp_path / "y.safetensors")
    assert ran.status == 4
    assert len(ran.lines) <= 2
    assert sorted(item.name for item in tmp_path.iterdir()) == ["x.safetensors"]


def test_names_are_exact_in_json_and_harmless_on_a_terminal(tmp_path: Path) -> None:
    """Escapes, newlines, `../`, empty and Unicode names."""
    names = ["\x1b[31mred", "a\nb", "../../etc", "[bold]x[/bold]", "\u202eabc", "\U0001f600", " "]
    write_codes(tmp_path / "x.safetensors", {name: (DTYPES["uint8"], [1]) for name in names})
    ran = thresh("binary", tmp_path / "x.safetensors", "-t", "0", "-o", tmp_path / "y.safetensors")
    assert ran.status == 0
    assert not set(ran.out) & {"\x1b", "\u202e"}
    assert list(read_codes(tmp_path / "y.safetensors")) == names
    found = thresh("info", tmp_path / "x.safetensors", "--json")
    assert [item["name"] for item in found.json["files"][0]["tensors"]] == names


def test_two_tensors_of_one_path_keep_apart_where_nesting_is_lost(tmp_path: Path) -> None:
    """`a.b` beside `a` -> `b` cannot both be called a.b: the second gets a number."""
    import torch

    torch.save({"a.b": torch.ones(1), "a": {"b": torch.ones(1)}}, tmp_path / "x.pt")
    assert thresh("binary", tmp_path / "x.pt", "-t", "0", "-o", tmp_path / "y.safetensors", "-q").status == 0
    assert list(read_codes(tmp_path / "y.safetensors")) == ["a.b", "a.b#2"]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_give_nothing_but_our_own_errors(data: st.DataObject, tmp_path: Path) -> None:
    """Bytes changed, cut or put in anywhere in the header."""
    content = raw({"x": entry(), "__metadata__": {"a": "b"}, "y": entry("I8", (4,), 8, 12)}, b"123456789012")
    (tmp_path / "x.safetensors").write_bytes(data.draw(mutated(content, within=len(content), times=4)))
    with contextlib.suppress(ThreshError):
        read(tmp_path / "x.safetensors")


def test_a_thousand_tensors_are_not_slow_to_plan(tmp_path: Path) -> None:
    """Numbers of tensors that real checkpoints have; each comes out under its name."""
    tensors = {f"layer.{number}.weight": (DTYPES["uint8"], [number % 256]) for number in range(1000)}
    write_codes(tmp_path / "x.safetensors", tensors)
    assert thresh("binary", tmp_path / "x.safetensors", "-t", "255", "-o", tmp_path / "y.safetensors", "-q").status == 0
    assert np.array([codes for _, codes in read_codes(tmp_path / "y.safetensors").values()]).sum() == 0


def test_a_long_header_with_a_text_that_does_not_end_is_refused_soon(tmp_path: Path) -> None:
    """Each of its quotes could begin a text, which goes on to its end; none is looked at twice."""
    text = b'{"a":"' + b'\\"{' * 700_000
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    ran = thresh("info", tmp_path / "x.safetensors")
    refused(ran, 4, "is not a sound safetensors file")
