"""The floors of the code, held by reading its imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from threshcli import errors

ROOT = Path(__file__).parent.parent
FLOORS = (
    ("",),  # the package itself: its version
    ("errors",),
    ("dtypes",),
    ("spec",),
    ("tiles", "stats", "results", "crc", "conditions", "near"),
    ("findings", "verdicts"),
    ("kernels",),
    ("rules", "containers", "storage", "studies", "sideways", "windows"),
    ("thresholds", "packings"),
    ("plan",),
    ("engine",),
    ("executors", "report"),
    ("functional",),
    ("training",),
    ("cli",),
    ("__main__",),
)
"""From the ground up. A part imports from lower floors only; inside a package modules may know each other."""
LEVEL = {part: level for level, floor in enumerate(FLOORS) for part in floor}
LONGEST_MODULE, LONGEST_BODY = 300, 45


@dataclass(frozen=True, slots=True)
class Import:
    """An import in a module: what is asked for, and whether only when a function runs or for types alone."""

    module: str
    late: bool


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below `threshcli`."""
    found = {}
    for path in sorted((ROOT / "threshcli").rglob("*.py")):
        parts = path.relative_to(ROOT / "threshcli").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[Import]:
    """All imports of a file; `from a import b` counts as a, and as a.b where that is a module."""
    return _imports(tree(path), late=False)


def _imports(node: ast.AST, *, late: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(name.name, late) for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "relative imports hide where they lead"
        known = [f"{node.module}.{name.name}" for name in node.names if _is_own(f"{node.module}.{name.name}")]
        yield from (Import(name, late) for name in known or [str(node.module)])
    inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _for_types(node)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, late=inside)


def _is_own(name: str) -> bool:
    return name.startswith("threshcli.") and name.removeprefix("threshcli.") in modules()


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def part(name: str) -> str:
    """The part of the house that a module belongs to."""
    return name.partition(".")[0]


def own_imports(name: str) -> set[str]:
    """The parts that a module imports from, without its own."""
    asked = {item.module for item in imports(modules()[name]) if part(item.module) == "threshcli"}
    return {part(item.removeprefix("threshcli").removeprefix(".")) for item in asked} - {part(name)}


def importers(package: str, *, late: bool | None = None) -> set[str]:
    """The modules that import a package: late or at once, or (None) in either way."""
    return {
        name
        for name, path in modules().items()
        for item in imports(path)
        if part(item.module) == package and late in (None, item.late)
    }


every_module = pytest.mark.parametrize("name", sorted(set(modules()) - {""}))


def test_the_front_door_opens_late() -> None:
    """The package itself offers what stands on upper floors, and loads it when it is asked for."""
    assert [item.module for item in imports(modules()[""]) if not item.late and part(item.module) == "threshcli"] == []


@every_module
def test_a_module_stands_on_a_floor_and_imports_from_lower_ones_only(name: str) -> None:
    assert part(name) in LEVEL, f"give {name!r} a floor"
    assert [other for other in own_imports(name) if LEVEL[other] >= LEVEL[part(name)]] == []


@pytest.mark.parametrize("name", [name for name in modules() if part(name) == "report"])
def test_the_report_knows_results_and_nothing_that_works(name: str) -> None:
    assert own_imports(name) <= {"", "results", "findings", "verdicts", "errors"}


@pytest.mark.parametrize("name", [name for name in modules() if part(name) in ("rules", "kernels", "thresholds")])
def test_what_computes_knows_no_paths(name: str) -> None:
    """Rules see arrays, thresholds headers; neither reads a file."""
    assert not own_imports(name) & {"storage"}
    assert not {item.module for item in imports(modules()[name])} & {"os", "pathlib", "shutil", "tempfile", "io"}


def test_only_the_command_line_knows_typer() -> None:
    assert {part(name) for name in importers("typer")} == {"cli"}


def test_only_the_report_knows_rich_and_only_late() -> None:
    assert {part(name) for name in importers("rich")} <= {"report"}
    assert importers("rich", late=False) == set()


def test_nobody_imports_click() -> None:
    """Typer carries a private copy of it, which is not ours to touch."""
    assert importers("click") == set()


def test_nobody_imports_what_another_package_keeps_private() -> None:
    foreign = {item.module for path in modules().values() for item in imports(path)} - {"__future__"}
    private = {name for name in foreign if any(step.startswith("_") for step in name.split("."))}
    assert {name for name in private if part(name) != "threshcli"} == set()


TORCH = (
    "kernels.torch",
    "kernels._torch",
    "functional.tensors",
    "functional.surrogates",
    "functional.compiled",
    "training.",
)
"""The modules that know torch; .pt is read and written without it."""
TYPED = ("functional.",)
"""Those that speak of its tensors in annotations alone."""


def test_torch_stays_in_its_kernels() -> None:
    assert [name for name in importers("torch") if not name.startswith(TORCH + TYPED)] == []
    assert [name for name in importers("torch", late=False) if not name.startswith(TORCH)] == []


def test_the_kernels_of_torch_are_imported_late() -> None:
    """They are asked for when a device is chosen, and not before."""
    inside = tuple(f"threshcli.{name}" for name in TORCH)
    others = [name for name in modules() if not name.startswith(TORCH)]
    asked = {(name, item.module) for name in others for item in imports(modules()[name]) if not item.late}
    assert {name for name, module in asked if module.startswith(inside)} == set()


@pytest.mark.parametrize("name", ["errors", "dtypes", "spec", "tiles", "results", "cli", "cli.app", "plan", "report"])
def test_the_lower_floors_and_the_front_do_not_import_numpy(name: str) -> None:
    """Help and complaints need no arrays."""
    assert "numpy" not in {part(item.module) for item in imports(modules()[name]) if not item.late}


def sources() -> list[Path]:
    """Every file of Python in the package, the tests and the samples."""
    return sorted(path for folder in ("threshcli", "tests", "sample_data") for path in (ROOT / folder).rglob("*.py"))


every_source = pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))


@every_source
def test_a_module_is_short_enough_to_be_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


@every_source
def test_a_function_fits_on_a_screen(path: Path) -> None:
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [node.name for node in functions if _length(node) > LONGEST_BODY] == []


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, the docstring apart."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@every_source
def test_no_module_is_a_drawer_for_everything(path: Path) -> None:
    assert path.stem.strip("_") not in ("utils", "util", "helpers", "misc", "common")


def test_each_exit_status_belongs_to_one_class_of_error() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and value.__base__ is not Exception]
    codes = sorted(value.exit_code for value in classes if issubclass(value, errors.ThreshError))
    assert all(first < second for first, second in pairwise(codes))
    assert codes == [1, 2, 3, 4, 5, 6, 70]
