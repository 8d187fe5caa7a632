"""What README.md shows is what happens."""

from __future__ import annotations

import ast
import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests import docs
from tests.shells import Shell, shell_in
from threshcli import cli, errors, rules

ROOT = Path(__file__).parent.parent
README = docs.README.read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(text: str, language: str = "sh") -> list[str]:
    """The contents of the blocks in a language in a text."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def examples() -> list[str]:
    """The commands below the marker, a line each."""
    (block,) = blocks(section("One-liners").partition("<!-- examples -->")[2])
    return [line for line in block.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A copy of the samples to work in."""
    return Path(shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data"))


@pytest.fixture
def shell(samples: Path, tmp_path: Path) -> Shell:
    """Runs a line of shell among the samples, with the `thresh` that is tested."""
    return shell_in(samples, tmp_path / "bin")


def test_there_are_examples_for_every_rule() -> None:
    assert len(examples()) >= 12
    assert rules.registered().keys() <= {word for line in examples() for word in line.split()}


@pytest.mark.parametrize("line", examples())
def test_an_example_works(line: str, shell: Shell, samples: Path) -> None:
    done = shell(line)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    if "--dry-run" not in line:
        written = re.findall(r"(?:-o|-O|--residual) (\S+)", line)
        assert [name for name in written if not name.startswith(("-", ">(")) and not (samples / name).exists()] == []


def test_the_table_shown_first_is_the_one_that_comes(shell: Shell, samples: Path) -> None:
    """All of it, but for the time it took."""
    shown = README.partition("```\n$ ")[2].partition("\n```")[0].splitlines()
    line, *table = shown
    (samples.parent / "mask.npy").unlink(missing_ok=True)
    done = shell(f"cd .. && {line}")
    assert done.returncode == 0, done.stderr
    assert table[:-1] == done.stdout.splitlines()[:-1]
    assert re.sub(r"in .* s, .*/s", "", table[-1]) == re.sub(r"in .* s, .*/s", "", done.stdout.splitlines()[-1])


def told(line: str) -> str | None:
    """What a comment at the end of a line says that comes of it: all of the comment, or what follows its colon."""
    _, mark, comment = line.partition("  # ")
    return comment.rpartition(": ")[2] if mark else None


def test_what_is_shown_from_python_runs_and_gives_what_it_says(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statement by statement, in one program; the value of an expression is what its comment says, spaces apart."""
    monkeypatch.chdir(samples)
    program, checked = "\n".join(blocks(section("From Python"), "python")), 0
    names: dict[str, Any] = {"__name__": "readme"}
    for statement in ast.parse(program).body:
        line = program.splitlines()[(statement.end_lineno or 0) - 1]
        if isinstance(statement, ast.Expr):
            found = repr(eval(compile(ast.Expression(statement.value), "README.md", "eval"), names))
            said = told(line)
            assert said is None or re.sub(r"\s", "", found) == re.sub(r"\s", "", said), line
            checked += said is not None
        else:
            exec(compile(ast.Module([statement], []), "README.md", "exec"), names)
    assert checked >= 10
    assert {"GradientThreshold", "gradient_threshold_hook", "SoftThreshold", "apply"} <= set(
        re.findall(r"\w+", program)
    )


def test_the_longest_line_shown_from_python_can_be_read() -> None:
    lines = [line for block in blocks(section("From Python"), "python") for line in block.splitlines()]
    assert max(map(len, lines)) <= 120


def test_two_commands_do_all_of_the_set_up() -> None:
    assert [block.count("\n") for block in blocks(section("Set-up"))] == [1, 1]


def test_the_first_command_may_be_run_twice(shell: Shell, samples: Path, tmp_path: Path) -> None:
    """The part of it that is not pip."""
    line = blocks(section("Set-up"))[0].strip().rpartition(" && .venv/bin/")[2]
    assert line.startswith("thresh ")
    line = line.replace("/tmp/", f"{tmp_path}/")
    for _ in range(2):
        done = shell(f"cd {samples.parent} && {line}")
        assert done.returncode == 0, done.stderr
        assert "prob.npy" in done.stdout


def test_the_tests_are_run_by_the_second_command_and_no_other() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert script[-1] == blocks(section("Set-up"))[1].strip()
    assert script[2] == "set -euo pipefail"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_reference_is_that_of_the_commands() -> None:
    """`python -m tests.docs` writes it anew."""
    assert docs.replaced(README) == README


def test_a_reference_without_its_markers_is_not_written_anywhere() -> None:
    with pytest.raises(ValueError, match="lacks the line"):
        docs.replaced(README.replace(docs.END, ""))


def test_every_exit_status_is_explained() -> None:
    told = {
        int(code) for row in re.findall(r"^\| ([\d, ]+) \|", section("Exit status"), re.M) for code in row.split(",")
    }
    known = {
        value.exit_code for value in vars(errors).values() if isinstance(value, type) and hasattr(value, "exit_code")
    }
    assert told == {0, 141} | known | set(cli._ENDINGS.values())


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    targets += [
        word for word in re.findall(r"`([\w./]+)`", README) if word.startswith(("tests/", "threshcli/", ".ci/"))
    ]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_everything_that_is_installed_has_its_version_pinned() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for text in lines if (line := text.partition("#")[0].strip())]
    assert all(len(pin) == 2 and re.fullmatch(r"[\d.]+", pin[1]) for pin in pins)
    assert {re.split(r"[<>=~! ]", name)[0] for name in wanted} <= {name for name, _ in pins}
