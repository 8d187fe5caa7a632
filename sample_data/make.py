"""Write the sample files: `python sample_data/make.py [FOLDER]`, by default beside this script.

Everything comes from seeds. What is computed with exp or sin is rounded to a coarse binary step, so that the last
bit of another machine's mathematics does not show; the gradients come out of a real backward pass, and may differ in
their last bits from one processor to the next.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save

Floats = npt.NDArray[np.float64]


def rounded(values: Floats, bits: int) -> Floats:
    """Multiples of 2**-bits."""
    return np.round(values * 2.0**bits) / 2.0**bits


def blobs(shape: tuple[int, ...], spots: Sequence[tuple[tuple[float, ...], float, float]]) -> Floats:
    """Sum of Gaussian spots, each a (centre, width, height)."""
    grid = np.indices(shape, dtype=np.float64)
    total = np.zeros(shape)
    for centre, width, height in spots:
        squares = sum((grid[axis] - at) ** 2 for axis, at in enumerate(centre))
        total += height * np.exp(-squares / (2 * width**2))
    return total


def probabilities() -> npt.NDArray[np.float32]:
    """What a detector says of an image: a few objects, some of them uncertain, over a noisy background."""
    random = np.random.default_rng(1)
    spots = [((22.0, 30.0), 7.0, 0.95), ((60.0, 88.0), 11.0, 0.9), ((75.0, 25.0), 5.0, 0.7), ((30.0, 100.0), 4.0, 0.45)]
    noise = random.normal(0.04, 0.02, (96, 128))
    return rounded(np.clip(blobs((96, 128), spots) + noise, 0, 1), 12).astype(np.float32)


def limits() -> npt.NDArray[np.float32]:
    """A threshold for each pixel: light falls off from one corner to the other."""
    rows, columns = np.indices((96, 128), dtype=np.float64)
    return rounded(0.35 + 0.3 * (rows / 95 + columns / 127) / 2, 12).astype(np.float32)


def volume() -> npt.NDArray[np.uint16]:
    """A microscope's stack with the fastest axis first: dark counts, and cells that glow."""
    random = np.random.default_rng(2)
    spots = [((6.0, 14.0, 12.0), 3.0, 3000.0), ((12.0, 30.0, 28.0), 4.0, 1800.0), ((17.0, 12.0, 34.0), 2.5, 4200.0)]
    counts = 110 + random.integers(0, 40, (24, 40, 48)) + np.floor(blobs((24, 40, 48), spots))
    return np.asfortranarray(counts.astype(np.uint16))


def signal() -> Floats:
    """Two tones and a step under noise."""
    random = np.random.default_rng(3)
    time = np.arange(2048) / 2048
    clean = np.sin(12 * np.pi * time) + 0.6 * np.sin(50 * np.pi * time) + np.where(time > 0.6, 1.5, 0.0)
    return rounded(clean + random.normal(0, 0.3, time.shape), 20)


def weights() -> dict[str, torch.Tensor]:
    """A transformer's checkpoint in small: matrices in bfloat16, norms in float32."""
    random = np.random.default_rng(4)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        values = rounded(random.normal(0, 0.05, (rows, columns)), 20)
        return torch.from_numpy(values).to(torch.bfloat16)

    tensors = {"model.embed_tokens.weight": matrix(128, 48)}
    for layer in range(2):
        at = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{at}.self_attn.{name}.weight"] = matrix(48, 48)
        tensors[f"{at}.mlp.up_proj.weight"] = matrix(128, 48)
        tensors[f"{at}.mlp.down_proj.weight"] = matrix(48, 128)
        tensors[f"{at}.input_layernorm.weight"] = torch.ones(48)
    tensors["model.norm.weight"] = torch.ones(48)
    return tensors


def gradients() -> dict[str, object]:
    """What a training loop saves after backward(): the step, the gradients by name, the optimizer's state."""
    torch.manual_seed(5)
    network = torch.nn.Sequential(torch.nn.Linear(24, 48), torch.nn.Tanh(), torch.nn.Linear(48, 6))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    inputs, labels = torch.randn(64, 24), torch.randint(0, 6, (64,))
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]  # torch has no types here
        optimizer.step()
    grads = {name: weight.grad for name, weight in network.named_parameters()}
    return {"step": 3, "grads": grads, "optimizer": optimizer.state_dict()}


def shards(folder: Path) -> None:
    """A checkpoint in two shards, with the index that says what is in which."""
    names = [f"model-{number:05d}-of-00002.safetensors" for number in (1, 2)]
    where: dict[str, str] = {}
    tensors = {name: data for name, data in weights().items() if "layers.1" not in name}
    for number, name in enumerate(names):
        own = {key: data for key, data in tensors.items() if ("layers" in key) == bool(number)}
        (folder / name).write_bytes(save(own, metadata={"format": "pt"}))
        where |= dict.fromkeys(own, name)
    total = sum(data.nbytes for data in tensors.values())
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": where}, indent=2, sort_keys=True)
    (folder / "model.safetensors.index.json").write_text(text + "\n")


RECIPE = """\
# What becomes of the tensors of weights.safetensors: thresh run prune.toml weights.safetensors -o pruned.safetensors

[variables]
density = "zero90%"

[[rules]]
tensors = "*norm*"
keep = true

[[rules]]
tensors = ["*mlp*", "*attn*"]
rule = "gradient"
threshold = "{density}"
scope = "file"

[[rules]]
regex = 'model\\.embed_\\w+\\.weight'
steps = [{ rule = "clamp", low = -0.15, high = 0.15 }, { rule = "hard", threshold = 0.01 }]
"""


def make(folder: Path) -> None:
    """Write all of them into a folder."""
    (folder / "checkpoint").mkdir(exist_ok=True)
    shards(folder / "checkpoint")
    np.save(folder / "prob.npy", probabilities())
    np.save(folder / "limits.npy", limits())
    np.save(folder / "volume.npy", volume())
    np.save(folder / "signal.npy", signal())
    (folder / "weights.safetensors").write_bytes(save(weights(), metadata={"format": "pt"}))
    (folder / "prune.toml").write_text(RECIPE)
    with (folder / "grads.pt").open("wb") as file:  # to an open file: a path's stem would get into the archive
        torch.save(gradients(), file)


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
