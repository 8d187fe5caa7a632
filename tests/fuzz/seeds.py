"""Sound files of every kind, for damage."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from tests.files import CODES, write_codes
from tests.harness import thresh
from tests.pt_files import saved, trained
from tests.sharded import model, write_checkpoint
from threshcli.dtypes import DTYPES

Seeds = dict[str, bytes]
_RECORDS = np.dtype([("a", "<f4"), ("é", "<i2", (2,))])


def _array(value: Any, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, value, version=version)
    return stream.getvalue()


def npy(folder: Path) -> Seeds:
    """Arrays of every dtype, both orders of bytes and of axes, all three versions of the header."""
    _weights(folder)
    kinds = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "c8", "c16", "?"]
    found = {kind: _array(np.arange(7).astype(kind)) for kind in kinds}
    found |= {f">{kind}": _array(np.arange(6).reshape(2, 3).astype(f">{kind}")) for kind in kinds}
    square = np.linspace(-1, 2, 24, dtype="f4").reshape(2, 3, 4)
    found |= {
        "fortran": _array(np.asfortranarray(square)),
        "0-d": _array(np.float32(0.75)),
        "nan": _array(np.array([np.nan, np.inf, -np.inf, 1e-45], "f4")),
    }
    found |= {"empty": _array(np.zeros((3, 0, 2))), "records": _array(np.zeros(3, _RECORDS), (3, 0))}
    found |= {f"version {number}": _array(square, (number, 0)) for number in (1, 2, 3)}
    return found | {"long": _array(np.arange(5000, dtype="f4"))}


def safetensors(folder: Path) -> Seeds:
    """Every dtype, no and many tensors, metadata, scalars and tensors without elements."""
    path = folder / "seed.safetensors"
    _weights(folder)
    codes = {code: (DTYPES[name], list(range(6))) for name, code in CODES.items() if name != "bool"}
    write_codes(path, {**codes, "BOOL": (DTYPES["bool"], [0, 1, 1, 0])}, metadata={"format": "pt", "é": "\n"})
    found = {"every dtype": path.read_bytes(), "none": save({}), "none, told": save({}, {"a": "b"})}
    shapes = {"0-d": torch.tensor(0.75), "empty": torch.zeros(3, 0, 2), "matrix": torch.linspace(-1, 2, 12).view(3, 4)}
    found |= {"shapes": save(shapes), "one": save({"a.weight": torch.randn(8, 8)})}
    found["many"] = save({f"layer.{index}.weight": torch.ones(2, 3) for index in range(60)}, {"format": "pt"})
    return found | {
        "mixed": save({"z": torch.arange(3), "a": torch.ones(3, dtype=torch.bfloat16), "b": torch.ones(1) > 0})
    }


def pt(folder: Path) -> Seeds:
    """Nested and tied tensors, views, optimizers, every dtype, other protocols."""
    _weights(folder)
    torch.manual_seed(3)
    base = torch.randn(4, 6)
    tied = {"a": base, "b": [base, {"c": base.t()}], "again": (base, base[1:, ::2])}
    kinds = [getattr(torch, name) for name in CODES]
    narrow = {str(kind): torch.zeros(6, dtype=torch.uint8).view(kind) for kind in kinds if kind.itemsize == 1}
    wide = {str(kind): torch.arange(6).to(kind) for kind in kinds if kind.itemsize > 1}
    values = {"lr": 0.1, "n": 2**70, "text": "é\n", "none": None, "size": torch.Size([2]), "set": {1, 2}, "t": base}
    found = {
        "tensor": base,
        "tied": tied,
        "dtypes": {**narrow, **wide},
        "values": values,
        "list": [base, base[0], base[:0]],
    }
    found |= {"adam": trained(torch.optim.Adam), "sgd": trained(torch.optim.SGD, lr=0.1, momentum=0.9)}
    found |= {
        "parameter": torch.nn.Parameter(base),
        "views": {"e": base[:1].expand(5, 6), "s": base[:, 1:3], "0": base[0, 0]},
    }
    made = {name: saved(value) for name, value in found.items()}
    made |= {f"protocol {number}": saved(tied, pickle_protocol=number) for number in (3, 4)}
    return made | {"legacy": saved(tied, _use_new_zipfile_serialization=False), "none": saved({})}


def packed(folder: Path) -> Seeds:
    """What --pack writes."""
    weights = {"a.weight": torch.randn(6, 20), "b.weight": torch.randn(3, 8), "c": torch.ones(11)}
    (folder / "x.safetensors").write_bytes(save(weights))
    found = {}
    for packing, rule in (("bits", "binary"), ("bitmask", "gradient"), ("bitmask", "binary")):
        out = folder / "seed.safetensors"
        words = [rule, folder / "x.safetensors", "-t", "0.5", "-k", "*weight", "--pack", packing, "-o", out]
        ran = thresh(*words, "--overwrite")
        assert ran.status == 0, ran.err
        found[f"{packing} of {rule}"] = out.read_bytes()
    return found


def index(folder: Path) -> Seeds:
    """Indexes of shards that lie beside them."""
    path = write_checkpoint(folder, model(4), more={"total_parameters": 99})
    document = json.loads(path.read_text())
    again = {"weight_map": dict(reversed(document["weight_map"].items()))}
    return {"index": path.read_bytes(), "without metadata": json.dumps(again).encode()}


def shard(folder: Path) -> Seeds:
    """A shard of a checkpoint, whose index and other shard lie beside it."""
    mine = {f"layer.{number}.weight": torch.randn(4, 6) for number in range(3)}
    other = {"norm.weight": torch.ones(5)}
    (folder / "other.safetensors").write_bytes(save(other))
    weights = dict.fromkeys(mine, "case.safetensors") | dict.fromkeys(other, "other.safetensors")
    document = {"metadata": {"total_size": 308}, "weight_map": weights}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))
    return {"shard": save(mine), "told": save(mine, {"format": "pt"}), "more": save({**mine, "a": torch.ones(1)})}


def _weights(folder: Path) -> Path:
    """What recipes and reports are for."""
    path = folder / "x.safetensors"
    names = ("a.weight", "a.bias", "b.weight", "norm.weight")
    values: Mapping[str, torch.Tensor] = {name: torch.linspace(-2, 3, 12).view(3, 4) for name in names}
    path.write_bytes(save(dict(values)))
    return path


def report(folder: Path) -> Seeds:
    """Reports of solve and of rules."""
    path = _weights(folder)
    asked = {
        "solve": ["solve", path, "-t", "p50"],
        "axis": ["solve", path, "-t", "top2", "--scope", "axis:0"],
        "file": ["solve", path, "-t", "zero50%", "--scope", "file"],
        "rule": ["gradient", path, "-t", "otsu", "-n"],
        "band": ["band", path, "--low", "p10", "--high", "0.5", "-n"],
    }
    return {name: thresh(*words, "--json").out.encode() for name, words in asked.items()}


_RECIPES = (
    '[variables]\ndensity = "zero50%"\n[[rules]]\ntensors = "*.weight"\nexclude = ["norm*"]\nrule = "gradient"\n'
    'threshold = "{density}"\n[[rules]]\nregex = ".*\\\\.bias"\nkeep = true\n',
    'rule = "hard"\nthreshold = 0.5\ntensors = ["a.*", "b.weight"]\nscope = "axis:0"\n',
    'pack = "bits"\n[[rules]]\ntensors = "a.weight"\nrule = "binary"\nthreshold = "otsu"\n',
    '[[rules]]\nsteps = [{ rule = "clamp", low = -1, high = 1.5 }, { rule = "soft", threshold = 0.25 }]\n'
    '[[rules]]\ntensors = "q*"\noptional = true\nrule = "levels"\nthreshold = [0, 1]\n',
    'rule = "band"\nlow = "p10"\nhigh = "p90"\nout_dtype = "float16"\nignore_zero = true\nbins = 64\n',
)


def recipe(folder: Path) -> Seeds:
    """Recipes as people write them."""
    _weights(folder)
    return {f"recipe {number}": text.encode() for number, text in enumerate(_RECIPES)}


def sidecar(folder: Path) -> Seeds:
    """Recipes as thresh notes them."""
    path, found = _weights(folder), {}
    for number, words in enumerate((["gradient", "-t", "zero50%"], ["band", "--low", "-1", "--high", "p80"])):
        out = folder / f"{number}.pt"
        assert thresh(*words, path, "-o", out, "--sidecar", "--overwrite").status == 0
        found[" ".join(words)] = Path(f"{out}.thresh.json").read_bytes()
        out.unlink()
        Path(f"{out}.thresh.json").unlink()
    return found
