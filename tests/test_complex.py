"""Complex elements: rules by their meaning, in every container."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.harness import refused, thresh
from tests.pairs import COMPLEX, code_of, done, made, magnitude, noise, pair
from tests.reference import is_nan, special
from threshcli.dtypes import DTYPES, FLOAT32, DType, Real

Array = npt.NDArray[Any]
C64, C128 = DTYPES["complex64"], DTYPES["complex128"]
every_dtype = pytest.mark.parametrize("dtype", COMPLEX, ids=str)


CASES: dict[str, list[str]] = {
    "gradient": ["-t 5", "-t 0 --compare ge", "-t 5 --compare le", "-t inf --compare ge", "-t 0.1"],
    "hard": ["-t 5", "-t 0.7071", "-t 5 --compare gt"],
    "soft": ["-t 0.5", "-t 0", "-t 5", "-t inf"],
    "garrote": ["-t 0.5", "-t 0", "-t 5", "-t inf"],
    "firm": ["--low 0.5 --high 5", "--low 5 --high 5", "--low 1 --high inf", "--low 0 --high 0"],
}


def elements(dtype: DType) -> list[int]:
    """All pairs of what is special in a part, thinned out; and triangles."""
    part = dtype.compared
    found = [part.encode(Fraction(value)) or 0 for value in (3, -4, 5, 0)] + special(part)[::8]
    nans = [part.nan, part.top | 1, part.top, part.sign | part.top, part.sign, part.sign | 1]
    return [code_of(real, imaginary, dtype) for real in found + nans for imaginary in found + nans]


@pytest.mark.parametrize("rule", CASES)
@every_dtype
def test_a_rule_does_what_it_says(rule: str, dtype: DType, tmp_path: Path) -> None:
    """Kept elements keep their bits, removed ones become +0.0 in both parts."""
    found = elements(dtype)
    raw = torch.frombuffer(
        bytearray(b"".join(code.to_bytes(dtype.itemsize, "little") for code in found)), dtype=torch.uint8
    )
    torch.save({"x": raw.view(getattr(torch, dtype.name))}, tmp_path / "x.pt")
    for text in CASES[rule]:
        ran = thresh(rule, tmp_path / "x.pt", *text.split(), "-o", tmp_path / "y.pt", "--overwrite", "--json")
        assert ran.status == 0, ran.err
        with warnings.catch_warnings(action="ignore"):  # complex32 is experimental
            bits = bytes(torch.load(tmp_path / "y.pt")["x"].view(torch.uint8).numpy())
        size = dtype.itemsize
        codes = [int.from_bytes(bits[at : at + size], "little") for at in range(0, len(bits), size)]
        check(rule, text, dtype, found, codes)
        check_counts(rule, dtype, found, codes, ran.tensor)


def check(rule: str, text: str, dtype: DType, before: list[int], after: list[int]) -> None:
    words = text.split()
    given = dict(zip(words[::2], words[1::2], strict=True))
    met = dtype.compared if rule in ("gradient", "hard") or dtype is C128 else FLOAT32
    low, high = (_number(given.get(name), met) for name in ("--low" if rule == "firm" else "-t", "--high"))
    compare: Any = given.get("--compare", "ge" if rule == "hard" else "gt")
    for code, found in zip(before, after, strict=True):
        wanted = made(rule, pair(code, dtype), dtype, low, high, compare)
        same = all(a == b or (is_nan(a) and is_nan(b)) for a, b in zip(wanted, pair(found, dtype), strict=True))
        assert same, (text, hex(code), hex(found))
        if rule in ("gradient", "hard"):
            assert found in (code, 0), (text, hex(code), hex(found))


def _number(text: str | None, kind: DType) -> Real:
    if text is None or text == "inf":
        return math.inf
    return kind.value(kind.key(Fraction(text)))


def check_counts(rule: str, dtype: DType, before: list[int], after: list[int], told: dict[str, Any]) -> None:
    """The summary counts magnitudes: NaN, infinities, extremes, zeros; and what has another value."""
    part = dtype.compared
    sizes = [magnitude(pair(code, dtype), part) for code in before]
    nan = sum(map(is_nan, sizes))
    assert told["nan"] == nan
    assert told["inf"] == sum(value == math.inf for value in sizes)
    assert (told["min"], told["max"]) == (0, "Infinity")
    assert told["zeros_before"] == sum(value == 0 for value in sizes)
    assert told["zeros_after"] == sum(magnitude(pair(code, dtype), part) == 0 for code in after)
    assert told["changed"] == sum(
        any(a != b and not (is_nan(a) and is_nan(b)) for a, b in zip(pair(x, dtype), pair(y, dtype), strict=True))
        for x, y in zip(before, after, strict=True)
    )
    assert told["selected"] == told["kept"]


@pytest.mark.parametrize("to", ["npy", "safetensors", "pt"])
@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_the_container_changes_nothing(kind: str, to: str, tmp_path: Path) -> None:
    if (kind, to) == ("complex128", "safetensors"):
        pytest.skip("safetensors has no complex128")
    x = noise(kind)
    for rule, options in (("gradient", ["-t", "p60"]), ("soft", ["-t", "0.5"]), ("hard", ["-t", "1", "--fill", "2"])):
        wanted = done(rule, x, tmp_path, *options)
        assert done(rule, x, tmp_path, *options, to=to).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_byte_order_and_memory_order_change_nothing(kind: str, tmp_path: Path) -> None:
    """Parts are swapped each by itself; that holds for tensors that are only copied, too."""
    x = noise(kind)
    for rule, options in (("gradient", ["-t", "p60"]), ("firm", ["--low", "0.5", "--high", "2sigma"])):
        wanted = done(rule, x, tmp_path, *options)
        for other in (x.astype(x.dtype.newbyteorder(">")), np.asfortranarray(x)):
            found = done(rule, other, tmp_path, *options)
            assert found.dtype == other.dtype
            assert np.array_equal(found, wanted, equal_nan=True)
    np.save(tmp_path / "big.npy", x.astype(x.dtype.newbyteorder(">")))
    np.save(tmp_path / "real.npy", np.ones(3))
    ran = thresh("hard", tmp_path / "big.npy", "-t", 0, "-o", tmp_path / "y.pt", "-q")
    assert ran.status == 0, ran.err
    assert np.array_equal(next(iter(torch.load(tmp_path / "y.pt").values())).numpy(), x, equal_nan=True)


def test_views_of_a_checkpoint_are_worked_on_as_they_are(tmp_path: Path) -> None:
    base = torch.from_numpy(noise("complex64"))
    tensors = {"turned": base.T, "every other": base[::2, 1::3], "expanded": base[:1].expand(4, -1)}
    torch.save(tensors, tmp_path / "x.pt")
    assert thresh("gradient", tmp_path / "x.pt", "-t", 1, "-o", tmp_path / "y.pt", "-q").status == 0
    found = torch.load(tmp_path / "y.pt")
    for name, x in tensors.items():
        keep = x.abs().gt(1) | x.isnan()
        assert torch.equal(torch.view_as_real(found[name]).nan_to_num(7),
                           torch.view_as_real(torch.where(keep, x, 0)).nan_to_num(7)), name  # fmt: skip


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_tiles_and_workers_change_nothing(kind: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    x = (draw.standard_normal(150_000) + 1j * draw.standard_normal(150_000)).astype(kind)
    for rule, options in (("gradient", ["-t", "top1000"]), ("garrote", ["-t", "p70"]), ("nm", ["-t", "2:4"])):
        wanted = done(rule, x, tmp_path, *options)
        for jobs, memory in ((1, "2MiB"), (3, "6MiB")):
            found = done(rule, x, tmp_path, *options, "-j", jobs, "--max-memory", memory)
            assert found.tobytes() == wanted.tobytes()


def test_what_is_summed_does_not_depend_on_tiles(tmp_path: Path) -> None:
    """Nor on what else is in a tile: NaN and infinities are left out, element by element."""
    draw = np.random.default_rng(3)
    x = (draw.standard_normal(300_000) + 1j * draw.standard_normal(300_000)).astype("c8")
    x[70_000], x[250_000] = complex(np.nan, 3), complex(5, -np.inf)
    np.save(tmp_path / "x.npy", x)
    told = [
        thresh(
            "gradient", tmp_path / "x.npy", "-t", 1, "-o", tmp_path / "y.npy", "--overwrite", "--json", *options
        ).tensor
        for options in (("-j", 1), ("-j", 2, "--max-memory", "2MiB"), ("-j", 1, "--max-memory", "1MiB"))
    ]
    assert told[0] == told[1] == told[2]
    usable = x[np.isfinite(x)].astype(np.complex128)
    assert told[0]["norm_before"] == pytest.approx(np.linalg.norm(usable), rel=1e-7)
    assert told[0]["norm_after"] == pytest.approx(np.linalg.norm(usable[np.abs(usable) > 1]), rel=1e-6)


@pytest.mark.parametrize(("policy", "wanted"), [("keep", complex(np.nan, 1)), ("fill=2", 2), ("fill=-inf", -np.inf)])
def test_what_becomes_of_nan(policy: str, wanted: complex, tmp_path: Path) -> None:
    """An element beside an infinity is none; a fill has no imaginary part."""
    x = np.array([complex(np.nan, 1), complex(np.inf, np.nan), 3, 0.5j], "c16")
    for rule in ("hard", "soft"):
        found = done(rule, x, tmp_path, "-t", 1, "--nan", policy)
        assert np.array_equal(found[:1], np.array([wanted], "c16"), equal_nan=True)
        assert (found[1].real, found[2], found[3]) == (np.inf, 3 if rule == "hard" else 2, 0)
    ran = thresh("hard", tmp_path / "x.npy", "-t", 1, "--nan", "error", "-o", tmp_path / "z.npy")
    refused(ran, 4, "holds NaN")


def test_zeros_and_masks_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    x = noise("complex64")
    np.save(tmp_path / "mask.npy", np.arange(50) < 25)
    usable = np.abs(x[~np.isnan(x) & (x != 0)]).astype(np.float64)
    np.save(tmp_path / "x.npy", x)
    ran = thresh("solve", tmp_path / "x.npy", "-t", "p50", "--magnitude", "--ignore-zero", "-q")
    assert float(ran.out) == pytest.approx(np.median(usable), rel=1e-6)
    half = np.abs(x[:, :25][~np.isnan(x[:, :25])]).astype(np.float64)
    ran = thresh("solve", tmp_path / "x.npy", "-t", "p50", "--magnitude", "--estimate-mask", tmp_path / "mask.npy",
                 "--broadcast", "-q")  # fmt: skip
    assert float(ran.out) == pytest.approx(np.median(half), rel=1e-6)


def test_maps_are_compared_exactly_with_magnitudes(tmp_path: Path) -> None:
    """A magnitude of complex64 is a float32; a map may say float64 or integers."""
    x = np.array([3 + 4j, 3 + 4j, 3 - 4j, -3 + 4j, 1], "c8")
    for limits, kept in (([5, 4, 6, 5, 1], [0, 1, 0, 0, 0]), ([5 - 1e-9, 5 + 1e-9, 5, 5, 0.5], [1, 0, 0, 0, 1])):
        for kind in ("f8", "i2") if limits[0] == 5 else ("f8",):
            np.save(tmp_path / "t.npy", np.array(limits, kind))
            found = done("gradient", x, tmp_path, "-t", f"@{tmp_path / 't.npy'}")
            assert found.tolist() == (x * np.array(kept)).tolist()


def test_norms_and_the_residual_are_of_complex_elements(tmp_path: Path) -> None:
    x = noise("complex128")
    np.save(tmp_path / "x.npy", x)
    ran = thresh("gradient", tmp_path / "x.npy", "-t", 1, "--residual", tmp_path / "r.npy", "-o", tmp_path / "y.npy",
                 "--json")  # fmt: skip
    y, left = np.load(tmp_path / "y.npy"), np.load(tmp_path / "r.npy")
    usable = np.isfinite(x)
    assert np.array_equal((y + left)[usable], x[usable])
    assert not np.any((y != 0) & (left != 0))
    assert ran.tensor["norm_before"] == pytest.approx(np.linalg.norm(x[usable]))
    assert ran.tensor["norm_after"] == pytest.approx(np.linalg.norm(y[usable]))
    assert ran.tensor["mean"] == pytest.approx(np.abs(x[usable]).mean())


def test_nm_keeps_the_largest_magnitudes(tmp_path: Path) -> None:
    x = noise("complex64")[:, :48]
    x[0, :8] = [3 + 4j, 5, -5j, 4, 1, 2, np.nan, 3]
    for axis in (1, 0):
        found = done("nm", x, tmp_path, "-t", "2:4", "--axis", axis)
        keys = np.abs(x) if axis else np.abs(x).T
        groups = np.where(np.isnan(keys), np.inf, keys)
        groups[keys == np.inf] = np.finfo(np.float32).max  # NaN is larger than all else
        order = np.argsort(-groups.reshape(-1, 4), axis=1, kind="stable")
        mask = np.zeros_like(groups.reshape(-1, 4), bool)
        np.put_along_axis(mask, order[:, :2], True, 1)
        mask = mask.reshape(groups.shape)
        assert np.array_equal(found, np.where(mask if axis else mask.T, x, 0), equal_nan=True)


def test_another_complex_dtype_may_be_written(tmp_path: Path) -> None:
    x = noise("complex64")
    wide = done("gradient", x, tmp_path, "-t", 1, "--out-dtype", "complex128")
    assert wide.dtype == np.complex128
    assert np.array_equal(wide, done("gradient", x, tmp_path, "-t", 1), equal_nan=True)


@pytest.mark.parametrize(("command", "said"), [
    ("binary -t 1", "complex64 has no order|rules that compare abs(x) take it"),
    ("clamp --low 0", "complex64 has no order|rules that compare abs(x) take it"),
    ("levels -t 1", "complex64 has no order|rules that compare abs(x) take it"),
    ("soft -t 3mad", "has no 3mad: complex64 has no order|universal"),
    ("gradient -t 1 --out-dtype float32", "complex64 does not become float32|give a complex one"),
    ("gradient -t -1", "negative|0 or more"),
    ("solve -t p90", "complex64 has no order|--magnitude"),
])  # fmt: skip
def test_what_has_no_meaning_is_refused(command: str, said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", noise("complex64"))
    name, *options = command.split()
    refused(thresh(name, tmp_path / "x.npy", *options, "-o", tmp_path / "y.npy"), 2, *said.split("|"))
    assert not (tmp_path / "y.npy").exists()


def test_real_elements_do_not_become_complex(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(3))
    ran = thresh("gradient", tmp_path / "x.npy", "-t", 1, "--out-dtype", "complex64", "-o", tmp_path / "y.npy")
    refused(ran, 2, "float64 does not become complex64", "real --out-dtype")
