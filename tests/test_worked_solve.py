"""Worked out first and applied later: a report, a number or a map gives what one step gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.files import write_codes
from tests.harness import Ran, thresh
from tests.reference import decode, is_finite
from tests.strategies import REAL
from tests.worked import samples

SPECS = ["p37.5", "median", "top4", "top40%", "zero60%", "energy70%", "mean", "2sigma", "3mad", "universal", "bayes"]
SPECS += ["otsu", "li", "triangle"]
DTYPES = [dtype for dtype in REAL if dtype.signed and dtype.name != "bool"]


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Two files of the same tensors, with many ties, empty tensors and metadata."""
    paths = [tmp_path / "model-1.safetensors", tmp_path / "model-2.safetensors"]
    for seed, path in enumerate(paths):
        tensors = {}
        for dtype in DTYPES:
            finite = [code for code in samples(dtype, seed)["ties"] if is_finite(decode(code, dtype))]
            tensors[dtype.name] = dtype, [*finite, *finite[:10]][:12]
        tensors |= {"none": (DTYPES[0], [])}
        shapes = {name: [3, 4] if codes else [0, 4] for name, (_, codes) in tensors.items()}
        write_codes(path, tensors, shapes=shapes, metadata={"format": "pt", "at": "home"})
    return paths


def same(one: Path, other: Path, inputs: list[Path]) -> None:
    """The same bytes, whatever was written, provenance included."""
    for path in inputs:
        assert (one / path.name).read_bytes() == (other / path.name).read_bytes()


def done(ran: Ran) -> Ran:
    assert ran.status == 0, ran.err
    return ran


@pytest.mark.parametrize(("rule", "scope"), [("gradient", "global"), ("variable", "axis:1")])
@pytest.mark.parametrize("spec", SPECS)
def test_a_report_gives_the_bytes_of_one_step(
    spec: str, rule: str, scope: str, inputs: list[Path], tmp_path: Path
) -> None:
    """The metadata that says how the output was made, too; all floats together, since int64 has no place among them."""
    keep = ("-k", "float*", "-k", "none") if scope != "axis:1" else ()
    asked, magnitude = ("-t", spec, "--scope", scope), ["--magnitude"] if rule == "gradient" else []
    done(thresh(rule, *inputs, *asked, *keep, "-O", tmp_path / "1"))
    plan = done(thresh("solve", *inputs, *asked, *keep, *magnitude, "--json"))
    (tmp_path / "plan.json").write_text(plan.out)
    done(thresh(rule, *inputs, *keep, "-t", f"@{tmp_path}/plan.json", "-O", tmp_path / "2"))
    same(tmp_path / "1", tmp_path / "2", inputs)


@pytest.mark.parametrize(
    "more", ["--ties all", "--ties none", "--ignore-zero", "--scale 0.7 --offset 1", "--at-least 2", "--at-most 0.1"]
)
def test_a_report_remembers_the_options(more: str, inputs: list[Path], tmp_path: Path) -> None:
    """So do the reports of the rules themselves."""
    asked = ("-t", "top5", *more.split())
    one = done(thresh("hard", *inputs, *asked, "-O", tmp_path / "1", "--json"))
    plan = done(thresh("solve", *inputs, *asked, "--magnitude", "--json"))
    for number, report in enumerate((one, plan)):
        (tmp_path / "plan.json").write_text(report.out)
        done(thresh("hard", *inputs, "-t", f"@{tmp_path}/plan.json", "-O", tmp_path / f"again-{number}"))
        same(tmp_path / "1", tmp_path / f"again-{number}", inputs)


@pytest.mark.parametrize("spec", ["p37.5", "p99.9", "top4", "zero60%", "energy70%", "2sigma", "3mad", "bayes", "otsu"])
def test_a_bare_number_reads_back_as_the_same_threshold(spec: str, tmp_path: Path) -> None:
    """In the shortest form; of ranks where no ties are split."""
    chance = np.random.default_rng(len(spec))
    for kind in ("f4", "f2", "i8"):
        scale = 100 if kind[0] in "iu" else 1
        data = np.unique((np.abs(chance.standard_normal(60)) * scale).astype(kind))
        np.save(tmp_path / "x.npy", data)
        text = done(thresh("solve", tmp_path / "x.npy", "-t", spec, "-q")).out.strip()
        compare = "ge" if spec.startswith(("top", "energy")) else "gt"
        for number, cut in enumerate((spec, text)):
            out = tmp_path / f"{number}.npy"
            done(thresh("variable", tmp_path / "x.npy", "-t", cut, "--compare", compare, "-o", out, "--overwrite"))
        assert (tmp_path / "0.npy").read_bytes() == (tmp_path / "1.npy").read_bytes(), (kind, text)


@pytest.mark.parametrize("scope", ["tensor", "axis:0", "axis:-1"])
@pytest.mark.parametrize("spec", ["p37.5", "zero60%", "2sigma"])
def test_a_map_of_the_thresholds_serves_as_well(spec: str, scope: str, tmp_path: Path) -> None:
    for kind in ("f8", "f2", "u1", ">f4"):
        data = np.random.default_rng(4).integers(0, 50, (5, 8)).astype(kind)
        np.save(tmp_path / "x.npy", np.asfortranarray(data) if kind == "f2" else data)
        asked = (tmp_path / "x.npy", "-t", spec, "--scope", scope)
        done(thresh("solve", *asked, "-o", tmp_path / "map.npy", "--overwrite"))
        assert np.load(tmp_path / "map.npy").dtype.name == "float64"
        done(thresh("variable", *asked, "-o", tmp_path / "1.npy", "--overwrite"))
        done(
            thresh(
                "variable", tmp_path / "x.npy", "-t", f"@{tmp_path}/map.npy", "-o", tmp_path / "2.npy", "--overwrite"
            )
        )
        assert (tmp_path / "1.npy").read_bytes() == (tmp_path / "2.npy").read_bytes(), kind
