"""What the package offers: documented, and loaded when it is asked for."""

from __future__ import annotations

import doctest
import importlib
import inspect
import subprocess
import sys

import pytest

import threshcli

OFFERED = sorted(set(dir(threshcli)) - set(vars(threshcli)))


def test_importing_the_package_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, threshcli; print('torch' in sys.modules, 'numpy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]


def test_a_part_of_the_package_is_imported_without_looking_for_it_among_functions() -> None:
    """`from threshcli import rules` asks the package for an attribute first."""
    code = "import sys; from threshcli import rules, containers; print('torch' in sys.modules, 'numpy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]


def test_an_array_is_thresholded_without_torch() -> None:
    code = (
        "import sys, numpy as np, threshcli as t; x = np.array([1.0, -3.0]); "
        "print(t.gradient_threshold(x, t.topk_threshold(x, 1, magnitude=True)).tolist(), 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[0.0, -3.0] False"


def test_what_is_not_there_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'binray_threshold'"):
        _ = threshcli.binray_threshold


@pytest.mark.parametrize("name", OFFERED)
def test_what_is_offered_says_what_it_does_and_its_example_runs(name: str) -> None:
    offered = getattr(threshcli, name)
    text = inspect.getdoc(offered) or ""
    assert text.split("\n\n")[0].endswith((".", ")"))
    assert ">>> " in text, "an example is missing"
    module = importlib.import_module(offered.__module__)
    names = {**vars(module), **{other: getattr(threshcli, other) for other in OFFERED}}
    found = doctest.DocTestFinder(recurse=False).find(offered, name, module=module, globs=names)
    results = [doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test) for test in found]
    assert sum(result.attempted for result in results) > 0
    assert sum(result.failed for result in results) == 0
