"""The lines that the command line was designed for, as they stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.harness import listed, thresh
from tests.shells import Shell, command, shell_in

SHARDS = """\
[ "$1" = --array=0-99 ] && [ "$2" = --wrap ] || exit 1
for task in 0 1 4 5 57 99; do SLURM_ARRAY_TASK_ID=$task sh -euc "$3" || exit 1; done  # some, also beyond the files"""
"""What sbatch does, of which there is none here: runs the command of an array, once for each task."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the lines speak of, few and small."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("prob", "heat", "limits", "ref"):
        np.save(f"{name}.npy", rng.random((8, 8), np.float32))
    np.save("noisy.npy", rng.standard_normal(64).astype(np.float32))
    torch.save({"layer.weight": torch.full((4,), 1e-4), "layer.bias": torch.ones(4)}, "grads.pt")
    for number in (1, 2):
        weights = {"a.weight": number * torch.arange(1.0, 101), "a.bias": torch.ones(3)}
        torch.save(weights, "m.pt")
        assert thresh("hard", "m.pt", "-t", 0, "-o", f"model-{number}.safetensors", "-q").status == 0
    for name in ("data/a.npy", "data/sub dir/b\n.npy", *(f"list/{number}.npy" for number in range(6))):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        np.save(name, np.linspace(-2, 2, 5))
    Path("list.txt").write_text("".join(f"list/{number}.npy\n" for number in range(6)))
    Path("weights.safetensors").write_bytes(Path("model-1.safetensors").read_bytes())
    return tmp_path


@pytest.fixture
def shell(place: Path) -> Shell:
    command("sbatch", SHARDS, place / "bin")
    return shell_in(place, place / "bin")


LINES = {
    "thresh binary prob.npy -t 0.5 -o mask.npy": ["mask.npy"],
    "thresh variable heat.npy -t @limits.npy -o seen.npy": ["seen.npy"],
    "thresh gradient grads.pt -t 1e-3 --residual left.pt -o sparse.pt": ["left.pt", "sparse.pt"],
    "thresh gradient model-*.safetensors -t zero90% --scope global -k '*.weight' -O pruned/": [
        "pruned/model-1.safetensors",
        "pruned/model-2.safetensors",
    ],
    "thresh soft noisy.npy -t universal -o clean.npy": ["clean.npy"],
    "thresh binary prob.npy -t 0.5 -o - | thresh stats -": [],
    "thresh solve ref.npy -t otsu -q": [],
    "thresh hist weights.safetensors -t p95": [],
    "find data -name '*.npy' -print0 | thresh clamp --files-from - -0 --low -1 --high 1 -O out --skip-existing -j 8": [
        "out/a.npy",
        "out/b\n.npy",
    ],
    "sbatch --array=0-99 --wrap "
    "'thresh gradient --files-from list.txt -t 0.1 -O out --shard $SLURM_ARRAY_TASK_ID/100'": [
        "out/0.npy",
        "out/1.npy",
        "out/4.npy",
        "out/5.npy",
    ],
}
"""Each line, and the files that it writes."""


@pytest.mark.parametrize("line", LINES)
def test_a_line_does_what_it_says(line: str, shell: Shell, place: Path) -> None:
    before = set(place.rglob("*"))
    done = shell(line)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert ("-o -" in line) == bool(done.stderr)
    written = [str(path.relative_to(place)) for path in set(place.rglob("*")) - before if path.is_file()]
    assert sorted(written) == LINES[line]


def test_what_the_lines_print_and_write_is_right(shell: Shell) -> None:
    shell("thresh binary prob.npy -t 0.5 -o mask.npy")
    assert np.array_equal(np.load("mask.npy"), (np.load("prob.npy") > 0.5).astype(np.float32))
    share = (np.load("prob.npy") > 0.5).mean() * 100
    assert f"{share:.1f}%" in shell("thresh binary prob.npy -t 0.5 -o - | thresh stats -").stdout
    assert 0 < float(shell("thresh solve ref.npy -t otsu -q").stdout) < 1
    shell("thresh gradient model-*.safetensors -t zero90% --scope global -k '*.weight' -O pruned/")
    kept = [thresh("stats", f"pruned/{name}", "-k", "a.weight", "--json").tensor["zeros"] for name in listed("pruned")]
    assert sum(kept) == 180
    shell(next(line for line in LINES if line.startswith("find")))
    assert np.load("out/a.npy").tolist() == [-1, -1, 0, 1, 1]
