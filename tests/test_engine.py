"""The laws of the engine: what must change nothing, and what must be counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import thresh
from threshcli.engine.sizes import tile_bytes, workers

RNG = np.random.default_rng(7)
LONG = 3 * 65536 + 1234  # several tiles of the smallest size, and a part of one


def noise(count: int = LONG) -> Any:
    """Normal float32 with zeros, NaN and an infinity among them."""
    data = RNG.standard_normal(count).astype(np.float32)
    data[::97] = 0
    data[5::1009] = -0.0
    data[11::5003] = np.nan
    data[13] = np.inf
    return data


def reported(ran: Any) -> dict[str, Any]:
    """A tensor's counts, without what may differ in the last bit between memory orders."""
    assert ran.status == 0, ran.err
    tensor: dict[str, Any] = ran.tensor
    return tensor


@pytest.mark.parametrize(
    "rule",
    ["binary -t 0.3", "variable -t @{map}", "gradient -t 0.5", "band --low -1 --high @{map}", "soft -t 0.5",
     "levels -t -1,0,@{map},9", "levels -t p10,p50,p90 --values 0,0.5,1,0",
     "garrote -t @{map} --out-dtype float16", "firm --low 0.25 --high @{map}"],
)  # fmt: skip
def test_tiles_and_workers_change_nothing(rule: str, tmp_path: Path) -> None:
    """The same bytes and the same counts, means and norms included, for any tile size and number of workers."""
    np.save(tmp_path / "x.npy", noise())
    np.save(tmp_path / "m.npy", 0.25 + np.abs(RNG.standard_normal(LONG)))
    words = rule.format(map=tmp_path / "m.npy").split()
    seen = set()
    for jobs, memory in ((1, "64MiB"), (1, "1KiB"), (3, "4MiB"), (2, "1GiB")):
        out = tmp_path / f"{jobs}-{memory}.npy"
        ran = thresh(*words, tmp_path / "x.npy", "-o", out, "-j", jobs, "--max-memory", memory, "--json")
        seen.add((out.read_bytes(), json.dumps(reported(ran))))
    assert len(seen) == 1


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i1", "u2", "i8", "?"])
def test_memory_order_and_byte_order_change_no_value(dtype: str, tmp_path: Path) -> None:
    """Fortran order and big-endian bytes stay as they are, and the values are those of a plain file."""
    plain = (RNG.standard_normal((37, 5, 11)) * 3).astype(dtype)
    variants = {"c": plain, "f": np.asfortranarray(plain), "b": plain.astype(plain.dtype.newbyteorder(">"))}
    variants["fb"] = np.asfortranarray(variants["b"])
    for name, data in variants.items():
        np.save(tmp_path / f"{name}.npy", data)
        ran = thresh("variable", tmp_path / f"{name}.npy", "-t", "0.5", "-o", tmp_path / f"{name}-out.npy", "-q")
        assert ran.status == 0, ran.err
        out = np.load(tmp_path / f"{name}-out.npy")
        assert out.dtype == data.dtype
        assert np.isfortran(out) == np.isfortran(data)
        np.testing.assert_array_equal(out, np.where(plain > 0.5, plain, np.zeros((), plain.dtype)))


@pytest.mark.parametrize("to", ["npy", "safetensors", "pt"])
@pytest.mark.parametrize("source", ["npy", "safetensors", "pt"])
def test_a_tensor_goes_from_any_container_to_any(source: str, to: str, tmp_path: Path) -> None:
    """The values are the same; a name is the stem where the input had none."""
    data = noise(1000).reshape(10, 100)
    load(tmp_path / f"x.{source}", data)
    ran = thresh("gradient", tmp_path / f"x.{source}", "-t", "0.5", "-o", tmp_path / f"y.{to}", "--json")
    assert ran.status == 0, ran.err
    np.testing.assert_array_equal(
        values(tmp_path / f"y.{to}"), np.where(np.abs(data) > 0.5, data, np.where(np.isnan(data), data, np.float32(0)))
    )
    assert ran.tensor["name"] == "x"


def load(path: Path, data: Any) -> None:
    """Write an array as the one tensor `x` of a file."""
    if path.suffix == ".npy":
        np.save(path, data)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({"x": data}, path)
    else:
        import torch

        torch.save({"x": torch.from_numpy(data)}, path)


def values(path: Path) -> Any:
    """The one tensor of a file, as an array."""
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)["x"]
    import torch

    found = torch.load(path, weights_only=True)
    return (found["x"] if isinstance(found, dict) else found).numpy()


def test_every_count_is_what_numpy_counts(tmp_path: Path) -> None:
    """selected, kept, changed, zeros, NaN, infinities, extremes, mean and norms."""
    data = noise()
    np.save(tmp_path / "x.npy", data)
    found = reported(thresh("gradient", tmp_path / "x.npy", "-t", "1", "-o", tmp_path / "y.npy", "--json"))
    out = np.load(tmp_path / "y.npy")
    finite = data[np.isfinite(data)].astype(np.float64)
    kept = out[np.isfinite(out)].astype(np.float64)
    assert found["selected"] == found["kept"] == np.count_nonzero(np.abs(data) > 1)
    assert found["changed"] == np.count_nonzero(~((data == out) | (np.isnan(data) & np.isnan(out))))
    assert (found["zeros_before"], found["zeros_after"]) == (np.count_nonzero(data == 0), np.count_nonzero(out == 0))
    assert (found["nan"], found["inf"]) == (np.isnan(data).sum(), np.isinf(data).sum())
    assert found["min"] == np.nanmin(data)
    assert found["max"] == "Infinity"
    assert found["mean"] == pytest.approx(finite.mean(), rel=1e-9)
    assert found["norm_before"] == pytest.approx(np.linalg.norm(finite), rel=1e-12)
    assert found["norm_after"] == pytest.approx(np.linalg.norm(kept), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int16", "uint32", "int64", "float64"])
def test_norms_of_large_tensors_are_right_to_six_digits(dtype: str, tmp_path: Path) -> None:
    """Squares are taken in float32 there, and in float64 where that would lose them."""
    for scale in (3.0, 1e-25 if dtype == "float32" else 2.0):
        data = (RNG.standard_normal((1 << 22) + 5) * scale).astype(dtype)
        np.save(tmp_path / "x.npy", data)
        found = reported(
            thresh("gradient", tmp_path / "x.npy", "-t", "0", "-o", tmp_path / "y.npy", "--json", "--overwrite")
        )
        wide = data.astype(np.float64)
        assert found["norm_before"] == pytest.approx(np.linalg.norm(wide), rel=1e-6)
        assert found["mean"] == pytest.approx(wide.mean(), abs=1e-6 * float(np.abs(wide).mean()))


def test_the_residual_and_the_output_add_up_to_the_input(tmp_path: Path) -> None:
    """x = y + residual, exactly; NaN passes and is in neither sum."""
    data = noise().reshape(2, -1)
    np.save(tmp_path / "x.npy", np.asfortranarray(data))
    ran = thresh(
        "gradient", tmp_path / "x.npy", "-t", "1", "-o", tmp_path / "y.npy", "--residual", tmp_path / "r.npy", "-q"
    )
    assert ran.status == 0, ran.err
    out, left = np.load(tmp_path / "y.npy"), np.load(tmp_path / "r.npy")
    np.testing.assert_array_equal(out + left, data)
    assert not np.any((out != 0) & (left != 0) & ~np.isnan(data))
    assert not np.isnan(left).any()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_map_may_broadcast_as_numpy_does(data: st.DataObject, tmp_path: Path) -> None:
    """Any shape that broadcasts, in either memory order, of another dtype than the tensor's."""
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    ones = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    drop = data.draw(st.integers(0, len(shape) - 1))
    small = tuple(1 if one else length for one, length in zip(ones, shape, strict=True))[drop:]
    x, limits = RNG.standard_normal(shape).astype("f4"), RNG.standard_normal(small)
    if data.draw(st.booleans()):
        x = np.asfortranarray(x)
    if data.draw(st.booleans()):
        limits = np.asfortranarray(limits)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "m.npy", limits)
    words = ("variable", tmp_path / "x.npy", "-t", f"@{tmp_path}/m.npy", "-o", tmp_path / "y.npy", "--overwrite", "-q")
    if small != shape:
        refused = thresh(*words)
        assert refused.status == 2
        assert "--broadcast" in refused.err
    ran = thresh(*words, "--broadcast")
    assert ran.status == 0, ran.err
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), np.where(x > limits, x, np.float32(0)))


def test_a_transposed_map_of_many_tiles_is_read_piece_by_piece(tmp_path: Path) -> None:
    """A Fortran-ordered map for a C-ordered tensor, larger than what may be read at once."""
    x, limits = RNG.standard_normal((700, 600)), np.asfortranarray(RNG.standard_normal((700, 600)))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "m.npy", limits)
    assert (
        thresh("variable", tmp_path / "x.npy", "-t", f"@{tmp_path}/m.npy", "-o", tmp_path / "y.npy", "-q").status == 0
    )
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), np.where(x > limits, x, 0))


def test_tensors_that_are_not_selected_keep_every_byte(tmp_path: Path) -> None:
    """-k and -x; names, order and metadata stay, a provenance key is added unless it is not wanted."""
    from safetensors.numpy import load_file, save_file

    tensors = {name: noise(100) for name in ("a.weight", "a.bias", "b.weight")} | {"steps": np.arange(3)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt", "zeta": "1"})
    ran = thresh(
        "gradient", tmp_path / "x.safetensors", "-t", "1", "-k", "*.weight", "-x", "b.*", "-o",
        tmp_path / "y.safetensors", "--no-provenance", "--json",
    )  # fmt: skip
    assert ran.status == 0
    out = load_file(tmp_path / "y.safetensors")
    assert [item["applied"] for item in ran.json["files"][0]["tensors"]].count(True) == 1
    for name in ("a.bias", "b.weight", "steps"):
        assert out[name].tobytes() == tensors[name].tobytes()
    assert (out["a.weight"] == 0).sum() > (tensors["a.weight"] == 0).sum()
    before, after = (json.loads(header(tmp_path / f"{name}.safetensors")) for name in "xy")
    assert after["__metadata__"] == before["__metadata__"]
    assert [name for name in after if name != "__metadata__"] == [name for name in before if name != "__metadata__"]


def header(path: Path) -> bytes:
    """The JSON of a safetensors file."""
    raw = path.read_bytes()
    return raw[8 : 8 + int.from_bytes(raw[:8], "little")]


def test_the_memory_for_buffers_bounds_the_tiles() -> None:
    """Workers share --max-memory; where it is too small for all of them, there are fewer."""
    from threshcli.plan.names import Names
    from threshcli.plan.request import Request
    from threshcli.rules.binary import Binary

    def request(jobs: int, memory: int) -> Request:
        return Request.of(
            rule=Binary(), command="binary", thresholds={}, specs={}, names=Names(), jobs=jobs, max_memory=memory
        )

    assert workers(request(64, 1 << 24)) == 8

    def size(jobs: int, memory: int, device: str = "cpu") -> int:
        return tile_bytes(request(jobs, memory), device)

    assert size(2, 64 << 20) == 1 << 21
    assert size(2, 8 << 20) == 1 << 19
    assert size(64, 1 << 20) == 1 << 18
    assert size(1, 1 << 30, "cuda:0") > 1 << 21
    assert workers(request(64, 1 << 24), "cuda") == 1  # fewer with larger tiles: each is sent, and launched for
    assert size(64, 64 << 20, "cuda") == 1 << 21


@pytest.mark.parametrize("rule", ["binary --above nan", "levels --values 0,nan", "binary --below inf"])
def test_a_decision_for_nan_or_infinity_changes_what_is_not_that(rule: str, tmp_path: Path) -> None:
    """An infinity that becomes NaN has changed, one that stays has not."""
    np.save(tmp_path / "x.npy", np.array([np.inf, 1, 0, -np.inf], np.float32))
    found = reported(thresh(*rule.split(), tmp_path / "x.npy", "-t", "0", "-o", tmp_path / "y.npy", "--json"))
    x, out = np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy")
    assert found["changed"] == np.count_nonzero(x != out)


@pytest.mark.parametrize("dtype", ["f4", "f2", "i2", "u1", "?"])
@pytest.mark.parametrize(
    "rule",
    ["gradient", "variable", "hard", "replace --value 0", "band", "binary --out-dtype float64",
     "soft --out-dtype float32", "garrote --out-dtype float32", "firm --out-dtype float32", "levels",
     "levels --values 1,0", "levels --values 1,1"],
)  # fmt: skip
@pytest.mark.parametrize("zeros", [100, 0])
def test_counts_are_the_same_in_the_quick_and_in_the_general_way(
    rule: str, dtype: str, zeros: int, tmp_path: Path
) -> None:
    """A number allows short cuts that a map of the same number does not, where there are zeros."""
    data = (RNG.standard_normal(5000) * 2).astype(dtype)
    data[data == 0] = 1
    data[:zeros] = 0
    np.save(tmp_path / "x.npy", data)
    for number in (0, 1, 2):
        np.save(tmp_path / "m.npy", np.full(data.shape, number, np.float64))
        found = []
        for cut in (str(number), f"@{tmp_path}/m.npy"):
            slots = ["--low", "0", "--high", cut] if rule.startswith(("band", "firm")) else ["-t", cut]
            ran = thresh(*rule.split(), tmp_path / "x.npy", *slots, "-o", tmp_path / "y.npy", "--overwrite", "--json")
            tensor = reported(ran)
            del tensor["threshold"]
            found.append((tensor, (tmp_path / "y.npy").read_bytes()))
        assert found[0] == found[1]
        if tensor["out_dtype"] == tensor["dtype"]:
            out = np.load(tmp_path / "y.npy")
            assert tensor["changed"] == np.count_nonzero(data != out)
            assert tensor["zeros_after"] == np.count_nonzero(out == 0)
