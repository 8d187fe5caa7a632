"""Small tensors alike are worked on as one, and told of as if each had gone by itself."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.files import read_codes, write_codes
from tests.harness import refused, thresh
from tests.reference import special
from threshcli.containers import registered
from threshcli.dtypes import DTYPES, DType
from threshcli.engine import files
from threshcli.engine.units import Unit, units_of
from threshcli.plan.entries import entries_of
from threshcli.plan.files import FilePlan, read_header
from threshcli.plan.maps import MapFiles
from threshcli.plan.names import Names
from threshcli.plan.request import Request
from threshcli.plan.tensors import Place, TensorPlan, _plan_tensor, plan_tensors

RNG = np.random.default_rng(11)


def codes(dtype: DType, count: int, seed: int) -> list[int]:
    """Any elements of a dtype, with NaN, infinities and zeros among them where it has those."""
    rng = random.Random(seed)
    most = 1 if dtype.kind == "bool" else (1 << dtype.bits) - 1
    return [rng.choice((rng.randint(0, most), rng.choice(special(dtype)))) for _ in range(count)]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[Unit]]:
    """The units of the runs on files."""
    found: list[list[Unit]] = []

    def noted(*arguments: Any) -> list[Unit]:
        found.append(list(units_of(*arguments)))
        return found[-1]

    monkeypatch.setattr(files, "units_of", noted)
    return found


def sizes(units: list[Unit]) -> list[int]:
    """How many tensors are in each unit."""
    return [unit.many for unit in units]


ANY = "binary -t 1 --nan above", "variable -t 0.5 --fill 1", "levels -t 0,1 --values 1,0,1"
REAL = *ANY, "band --low -1 --high 1 --out-dtype float64"
OF_MAGNITUDES = "gradient -t 0.3 --residual {left}", "soft -t 0.5"
CASES = [
    *(
        (words, dtype)
        for words in REAL
        for dtype in ("float32", "float64", "float16", "float8_e4m3fn", "int8", "uint16")
    ),
    *((words, dtype) for words in OF_MAGNITUDES for dtype in ("float32", "float64", "bfloat16", "complex64")),
    *((words, dtype) for words in (*ANY, OF_MAGNITUDES[0]) for dtype in ("bool", "int64")),
]


@pytest.mark.parametrize(("words", "dtype"), CASES)
def test_each_gives_what_it_gives_alone(words: str, dtype: str, tmp_path: Path, seen: list[list[Unit]]) -> None:
    """Bytes, counts, extremes, norms and warnings."""
    kind = DTYPES[dtype]
    each = kind.part or kind
    tensors = {name: (kind, codes(each, 2 * 25 if kind.part else 25, seed)) for seed, name in enumerate("abcdef")}
    tensors |= {"f": (kind, [0] * len(tensors["f"][1])), "g": (kind, [1] * len(tensors["f"][1]))}
    left, out = tmp_path / "left.safetensors", tmp_path / "out.safetensors"
    told: list[Any] = []
    made: list[Any] = []
    for chosen in (tensors, *({name: tensor} for name, tensor in tensors.items())):
        write(tmp_path / "x.safetensors", chosen)
        ran = thresh(*words.format(left=left).split(), tmp_path / "x.safetensors", "-o", out, "--overwrite", "--json")
        assert ran.status == 0, ran.err
        told.append((ran.json["files"][0]["tensors"], ran.json["warnings"]))
        made.append([raw(path) for path in (out, left) if path.exists()])
    assert sizes(seen[0]) == [len(tensors)]
    assert told[0][0] == [tensor for found, _ in told[1:] for tensor in found]
    assert told[0][1] == [text for _, found in told[1:] for text in found]
    for number, found in enumerate(made[0]):
        assert found == {name: tensor for one in made[1:] for name, tensor in one[number].items()}


def write(path: Path, tensors: dict[str, tuple[DType, list[int]]]) -> None:
    """Tensors by their codes, of complex ones by those of the parts."""
    shapes = {name: [25] for name in tensors}
    write_codes(path, {name: (kind.part or kind, found) for name, (kind, found) in tensors.items()}, shapes=shapes)
    if any(kind.part for kind, _ in tensors.values()):
        path.write_bytes(path.read_bytes().replace(b'"F32"', b'"C64"'))


def raw(path: Path) -> dict[str, Any]:
    """What a file holds, by name."""
    text = path.read_bytes()
    if b'"C64"' not in text:
        return dict(read_codes(path))
    from safetensors.numpy import load_file

    return {name: data.tobytes() for name, data in load_file(path).items()}


def test_only_what_is_alike_and_lies_side_by_side_goes_together(tmp_path: Path, seen: list[list[Unit]]) -> None:
    """Another dtype, shape, threshold, one that is left out, and one that is too large, go by themselves."""
    tensors = {f"a{number}": RNG.standard_normal(30).astype("f4") for number in range(10)}
    tensors |= {"b": tensors["a0"].reshape(6, 5), "c": RNG.standard_normal(1 << 16).astype("f4")}
    tensors |= {f"d{number}": np.array(number, "f4") for number in range(3)}
    tensors |= {f"e{number}": np.zeros(0, "f4") for number in range(2)}
    save_file(tensors, tmp_path / "x.safetensors")
    written = ("-o", tmp_path / "y.safetensors", "--overwrite")
    for words, wanted in (
        (("gradient", "-t", "0.5"), [10, 1, 1, 3]),
        (("gradient", "-t", "0.5", "-x", "a4"), [4, 1, 5, 1, 1, 3]),
        (("gradient", "-t", "0.5", "-j", 1, "--max-memory", 1), [10, 1, 1, 3]),
        (("binary", "-t", "0.5", "--out-dtype", "uint8"), [10, 1, 1, 3]),
        (("variable", "-t", "mean", "-x", "d*", "-x", "e*"), [1] * 15),
    ):
        assert thresh(*words, tmp_path / "x.safetensors", *written).status == 0
        assert sizes(seen[-1]) == wanted


def test_not_more_go_together_than_stay_in_the_cache(tmp_path: Path, seen: list[list[Unit]]) -> None:
    """The memory of a worker has room for a tile of any file."""
    save_file({f"{number:03}": np.ones(10_000, "f4") for number in range(10)}, tmp_path / "x.safetensors")
    assert thresh("binary", "-t", "0.5", tmp_path / "x.safetensors", "-o", tmp_path / "y.safetensors").status == 0
    assert sizes(seen[-1]) == [3, 3, 3, 1]


def test_elements_equal_to_a_cut_by_rank_are_told_by_their_own_places(tmp_path: Path, seen: list[list[Unit]]) -> None:
    """Of those that have one threshold, and ties at one place: that is a place in each."""
    data = np.array([[1, 2, 2], [2, 3, 0]], "f4")
    save_file(dict.fromkeys(("a", "b", "c"), data), tmp_path / "x.safetensors")
    ran = thresh("variable", "-t", "top3", tmp_path / "x.safetensors", "-o", tmp_path / "y.npy", "--to", "safetensors")
    assert ran.status == 0, ran.err
    for _, found in read_codes(tmp_path / "y.npy").values():
        kept = np.array(found, "u4").view("f4")
        assert kept.tolist() == [0, 2, 2, 0, 3, 0]
    assert sizes(seen[-1]) == [3]


@pytest.mark.parametrize("bad", [0, 3, 7])
def test_an_error_names_the_first_tensor_that_it_is_about(bad: int, tmp_path: Path) -> None:
    """Not the first of those that it went with."""
    tensors = {f"t{number}": np.ones(5, "f4") for number in range(8)}
    for number in range(bad, 8):
        tensors[f"t{number}"][2] = np.nan
    save_file(tensors, tmp_path / "x.safetensors")
    ran = thresh("binary", "-t", "0", "--nan", "error", tmp_path / "x.safetensors", "-o", tmp_path / "y.safetensors")
    refused(ran, 4, f"tensor 't{bad}' holds NaN")


def test_tensors_alike_that_lie_apart_keep_their_places(tmp_path: Path, seen: list[list[Unit]]) -> None:
    """In the order of their bytes or in another one, with others between them."""
    ones, names = np.ones(4, "f4"), ["a", "b", "c", "d"]
    for order in itertools.permutations(range(4)):
        data = b"".join((ones * (1 + order.index(number))).tobytes() for number in range(4))
        entries = (
            f'"{name}":{{"dtype":"F32","shape":[4],"data_offsets":[{16 * place},{16 * place + 16}]}}'
            for name, place in zip(names, order, strict=True)
        )
        text = ("{" + ",".join(entries) + "}").encode()
        (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
        words = ("variable", "-t", "1.5", tmp_path / "x.safetensors", "-o", tmp_path / "y.safetensors", "--overwrite")
        assert thresh(*words).status == 0
        found = {name: np.array(found, "u4").view("f4")[0] for name, (_, found) in read_codes(words[5]).items()}
        assert found == {name: value if value > 1.5 else 0 for name, value in zip(names, (1, 2, 3, 4), strict=True)}


@pytest.mark.parametrize(
    "change",
    [lambda item: {"place": item.place + 4}, lambda item: {"place": None},
     lambda item: {"residual_place": item.residual_place + 4}, lambda item: {"residual_place": None},
     lambda item: {"view": item.view._replace(offset=item.view.offset + 4)},
     lambda item: {"view": item.view._replace(strides=(2,))},
     lambda item: {"packed": "somehow"}],
)  # fmt: skip
def test_a_tensor_that_lies_otherwise_goes_by_itself(
    change: Callable[[TensorPlan], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the input, the output or what is left."""
    found: list[list[int]] = []

    def noted(plan: FilePlan, *others: Any) -> Iterator[Unit]:
        first, second, third = plan.tensors
        other = plan._replace(tensors=(first, second._replace(**change(second)), third))
        found.extend(sizes(list(units_of(each, *others))) for each in (plan, other))
        return units_of(plan, *others)

    monkeypatch.setattr(files, "units_of", noted)
    save_file({name: np.ones(4, "f4") for name in "abc"}, tmp_path / "x.safetensors")
    written = ("-o", tmp_path / "y.safetensors", "--residual", tmp_path / "z.safetensors")
    assert thresh("gradient", "-t", "1", tmp_path / "x.safetensors", *written).status == 0
    assert found == [[3], [1, 1, 1]]


@pytest.mark.parametrize("to", ["safetensors", "pt"])
@pytest.mark.parametrize(
    "recipe",
    [{"rule": "binary", "threshold": 0.5}, {"rule": "variable", "threshold": "otsu"}, {"keep": True},
     {"steps": [{"rule": "clamp", "low": 0}, {"rule": "binary", "threshold": 1, "out_dtype": "float64"}]}],
)  # fmt: skip
def test_what_is_planned_once_is_what_each_is_planned(recipe: dict[str, Any], to: str, tmp_path: Path) -> None:
    """Names, places and steps are a tensor's own."""
    tensors = {f"{kind}{number}": np.ones((3, 2), kind) for kind in ("f4", "i4") for number in range(3)}
    save_file(tensors, tmp_path / "x.safetensors")
    entries = entries_of({"rules": [{"tensors": ["*1"], "keep": True}, recipe]}, {}, str)
    request = Request(entries=entries, command="run", names=Names(dry_run=True))
    contents, kind, maps = read_header(str(tmp_path / "x.safetensors"))[0], registered()[to], MapFiles()
    names = [tensor.name for tensor in contents.tensors]
    found = plan_tensors(request, "x", contents, names, kind, maps, {})
    assert [item.name for item in found] == names
    for number, (name, entry) in enumerate(zip(names, request.entries_for(names), strict=True)):
        assert found[number] == _plan_tensor(request, entry, Place("x", contents, number, name), kind, maps, {})


def test_tensors_of_one_shape_that_lie_in_another_order_are_planned_apart(tmp_path: Path) -> None:
    """Or one would be read as the other."""
    import torch

    square = torch.arange(9.0).reshape(3, 3)
    given = {"a": square, "b": square.clone().t(), "c": square + 1, "d": torch.arange(18.0).reshape(3, 6)[:, ::2]}
    torch.save(given, tmp_path / "x.pt")
    for name in ("y.pt", "y.safetensors"):
        ran = thresh("variable", "-t", 3, tmp_path / "x.pt", "-o", tmp_path / name)
        assert ran.status == 0, ran.err
    from safetensors.torch import load_file

    for found in (torch.load(tmp_path / "y.pt"), load_file(tmp_path / "y.safetensors")):
        for name, data in given.items():
            assert torch.equal(found[name], torch.where(data > 3, data, 0))
