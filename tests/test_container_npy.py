"""`.npy`: what is read, what is refused, what is written."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import thresh
from tests.strategies import mutated
from threshcli import containers
from threshcli.containers.base import Contents
from threshcli.errors import InputError, ThreshError
from threshcli.storage.local import Source

RNG = np.random.default_rng(3)


def read(path: Path) -> Contents:
    with Source(str(path)) as source:
        return containers.identify(source).read(source)


def raw_npy(fields: str, data: bytes = b"", *, version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """An .npy file with any header text."""
    text = fields.encode("latin1") + b"\n"
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", size) + text + data


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 0, 2), (2, 1, 3), (4, 5)])
def test_every_dtype_order_and_shape_comes_out_as_numpy_wrote_it(
    dtype: str, swapped: bool, shape: tuple[int, ...], tmp_path: Path
) -> None:
    """A threshold that keeps everything gives back an equal file, bytes of the elements included."""
    for fortran in (False, True):
        made: Any = (
            (RNG.standard_normal(shape) * 50)
            .astype(dtype)
            .astype(np.dtype(dtype).newbyteorder(">" if swapped else "<"))
        )
        data = np.asfortranarray(made) if fortran and made.ndim else made
        np.save(tmp_path / "x.npy", data)
        ran = thresh("clamp", tmp_path / "x.npy", "--low", "-inf", "-o", tmp_path / "y.npy", "--overwrite", "-q")
        assert ran.status == 0, ran.err
        out = np.load(tmp_path / "y.npy")
        assert (out.dtype, out.shape, out.flags.f_contiguous) == (data.dtype, data.shape, data.flags.f_contiguous)
        assert out.tobytes() == data.tobytes()
        assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "x.npy").read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\x93NUMPY", "truncated"),
        (b"\x93NUMPY\x09\x00" + b"\x10\x00" + b" " * 16, "version"),
        (raw_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }"), "truncated"),
        (raw_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", length=60000), "bytes"),
        (raw_npy("{}", version=(2, 0), length=1 << 31), "header"),
        (raw_npy("{'descr': '<f4', 'fortran_order': False}"), "header"),
        (raw_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), "shape"),
        (raw_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (True,), }", b"abcd"), "shape"),
        (raw_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976, 16), }"), "truncated"),
        (raw_npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"x" * 8), "objects"),
        (raw_npy("{'descr': '|V2', 'fortran_order': False, 'shape': (1,), }", b"x" * 8), "not numbers"),
        (raw_npy("{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }", b"x" * 16), "not numbers"),
        (raw_npy("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,), }", b"x" * 8), "not numbers"),
        (raw_npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", b"x" * 8), "not numbers"),
        (raw_npy("__import__('os').system('false')"), "header"),
        (raw_npy("{" * 3000), "header"),
        (b"\x00" * 100, "no format"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_in_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    """InputError, exit status 4, no output, no traceback."""
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read(tmp_path / "x.npy")
    ran = thresh("binary", tmp_path / "x.npy", "-t", "0", "-o", tmp_path / "y.npy")
    assert ran.status == 4
    assert len(ran.lines) <= 2
    assert sorted(item.name for item in tmp_path.iterdir()) == ["x.npy"]


def test_long_double_is_refused_where_it_is_not_float64(tmp_path: Path) -> None:
    """128-bit floats are no dtype of ours."""
    np.save(tmp_path / "x.npy", np.ones(3, np.longdouble))
    if np.dtype(np.longdouble).itemsize > 8:
        assert "float128" in thresh("binary", tmp_path / "x.npy", "-t", "0", "-n").err


def test_version_2_and_3_headers_are_read(tmp_path: Path) -> None:
    """NumPy writes them for long or non-Latin headers only, but they are legal for any."""
    for version in ((2, 0), (3, 0)):
        content = raw_npy("{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }", b"\1\0\5\0", version=version)
        (tmp_path / "x.npy").write_bytes(content)
        (tensor,) = read(tmp_path / "x.npy").tensors
        assert (tensor.dtype.name, tensor.shape) == ("int16", (2,))


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
def test_what_numpy_cannot_store_is_refused_with_a_hint(dtype: str, tmp_path: Path) -> None:
    """bfloat16 and float8 have no .npy form."""
    np.save(tmp_path / "x.npy", np.ones(3, np.float32))
    ran = thresh("binary", tmp_path / "x.npy", "-t", "0", "--out-dtype", dtype, "-o", tmp_path / "y.npy")
    assert ran.status == 2
    assert "cannot be stored in .npy" in ran.err
    assert (
        thresh("binary", tmp_path / "x.npy", "-t", "0", "--out-dtype", dtype, "-o", tmp_path / "y.pt", "-q").status == 0
    )


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_give_nothing_but_our_own_errors(data: st.DataObject, tmp_path: Path) -> None:
    """Bytes changed, cut or put in anywhere in the header."""
    stream = io.BytesIO()
    np.save(stream, np.arange(12.0).reshape(3, 4))
    (tmp_path / "x.npy").write_bytes(data.draw(mutated(stream.getvalue(), within=140, times=6)))
    with contextlib.suppress(ThreshError):
        read(tmp_path / "x.npy")
