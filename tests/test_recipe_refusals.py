"""What is said of recipes that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.files import write_codes
from tests.harness import Ran, refused, thresh
from threshcli.dtypes import DTYPES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a file."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros(4, np.float32))
    return tmp_path


def run(text: str, *more: object, name: str = "r.toml") -> Ran:
    Path(name).write_text(text)
    return thresh("run", name, "x.npy", "-o", "y.npy", *more)


WRONG: list[tuple[str, str]] = [
    ("", "r.toml: has no rules"),
    ("rules = []", "r.toml: has no rules"),
    ("rules = 3", "rules is no list of entries"),
    ('[[rule]]\nrule = "hard"', "rule is a list\nhint: write [[rules]] above each entry"),
    ("rules = [1]", "rules is no list of entries"),
    ('rule = "hard"\n[[rules]]', "'rule' stands beside rules"),
    ('treshold = 1\n[[rules]]\nrule = "hard"\nthreshold = 1', "'treshold' stands beside rules"),
    ('rule = "hard"\nthreshold = ', "is no recipe: "),
    ('rule = "hart"\nthreshold = 1', "rule: there is no rule 'hart'\nhint: did you mean hard?"),
    ("rule = 3", "rule: there is no rule 3"),
    ('rul = "hard"', "says nothing of what is done\nhint: did you mean rule?"),
    ('rule = "hard"', "--threshold is missing"),
    ('rule = "hard"\ntreshold = 1', "hard has no option 'treshold'\nhint: did you mean threshold?"),
    ('rule = "hard"\nthreshold = 1\ntensor = "a"', "hard has no option 'tensor'\nhint: did you mean tensors?"),
    ('rule = "hard"\nthreshold = 1\nabove = 1', "hard has no option 'above'"),
    ('rule = "hard"\nthreshold = true', "threshold is true"),
    ('rule = "hard"\nthreshold = [1, 2]', "threshold is a list"),
    ('rule = "hard"\nthreshold = "p1x"', "'p1x' is not a threshold"),
    ('rule = "hard"\nthreshold = 1979-05-27', "threshold is 1979-05-27"),
    ('rule = "hard"\nthreshold = nan', "a threshold cannot be NaN"),
    ('rule = "hard"\nthreshold = 1\nfill = {a = 1}', "fill is a table"),
    ('rule = "hard"\nthreshold = 1\ncompare = "eq"', "compare is 'eq'\nhint: it is one of gt, ge"),
    ('rule = "hard"\nthreshold = 1\ncompare = ["gt"]', "compare is ['gt']"),
    ('rule = "hard"\nthreshold = "p5"\nties = "some"', "ties is 'some'"),
    ('rule = "hard"\nthreshold = "otsu"\nbins = 1', "--bins 1 is not from 2 to"),
    ('rule = "hard"\nthreshold = "otsu"\nbins = 2.5', "bins is 2.5"),
    ('rule = "hard"\nthreshold = 1\nignore-zero = 1', "ignore_zero is 1\nhint: write true or false"),
    ('rule = "hard"\nthreshold = 1\nignore-zero = "yes"', "ignore_zero is 'yes'"),
    ('rule = "hard"\nthreshold = 1\nscope = "file"', "--scope is for thresholds worked out from data"),
    ('rule = "hard"\nthreshold = 1\nout_dtype = "float31"', "'float31' is not a dtype"),
    ('rule = "hard"\nthreshold = 1\nnan = "drop"', "'drop' is not a policy"),
    ('rule = "nm"\nthreshold = "2:4"\naxis = "first"', "axis is 'first'\nhint: give a whole number"),
    ('rule = "hard"\nthreshold = 1\ntensors = 3', "tensors is 3"),
    ("keep = false", "keep is not true"),
    ('keep = true\nrule = "hard"', "has rule and keep"),
    ("keep = true\nthreshold = 1", "threshold stands beside keep"),
    ("keep = true\noptionall = true", "optionall stands beside keep\nhint: did you mean optional?"),
    ("keep = true\noptional = 1", "optional is 1"),
    ("steps = []", "steps is no list of rules"),
    ('steps = ["hard"]', "steps is no list of rules"),
    ("steps = [{}]", "step 1: has no rule"),
    ('steps = [{rule = "hard", threshold = 1}, {rule = "soft"}]', "step 2: --threshold is missing"),
    ('steps = [{rule = "hard", threshold = 1}]\nthreshold = 1', "threshold stands beside steps"),
    ('rule = "hard"\nthreshold = 1\nregex = "a("', "regex 'a(' is no regular expression"),
    (f'rule = "hard"\nthreshold = 1\nregex = "{"a" * 1001}"', "it is too long"),
    ('rule = "hard"\nthreshold = "{t}"', "threshold: the variable t is not set\nhint: set it: --set t=VALUE"),
    ('rule = "hard"\nthreshold = 1\n[variables]\nt = 1', "the variable t is not used"),
    ('variables = 1\nrule = "hard"', "variables is no table"),
    ('rule = "hard"\nthreshold = 1\n[variables]\n"a b" = 1', "'a b' cannot be a variable"),
    ('rule = "hard"\nthreshold = "{t}"\n[variables]\nt = [1]', "variable t is a list or a table"),
    ('pack = "bytes"\nrule = "hard"\nthreshold = 1', "pack is 'bytes'"),
    ("a = " + "[" * 3000, "is no recipe: "),
    ("a = 1e" + "9" * 30, "is no number that can be used"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_recipe_that_cannot_be_meant_is_refused(text: str, said: str, folder: Path) -> None:
    """One line that names the file and the key, and a hint."""
    ran = run(text)
    refused(ran, 2, "thresh: error: r.toml: ", said)
    assert not Path("y.npy").exists()


def test_an_entry_is_named_by_its_number(folder: Path) -> None:
    good = '[[rules]]\nrule = "hard"\nthreshold = 1\ntensors = "a.*"\n'
    refused(run(good + '[[rules]]\nrule = "hard"'), 2, "r.toml: entry 2: --threshold is missing")
    steps = '[[rules]]\nsteps = [{rule = "clamp", low = "{x}"}]'
    refused(run(good + steps), 2, "r.toml: entry 2: step 1: low: the variable x is not set")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "t"), "--set 't' sets no variable"),
        (("--set", "=1"), "--set '=1' sets no variable"),
        (("--set", "t=1", "--set", "t=2"), "--set t is given twice"),
        (("--set", "t=1", "--set", "tt=2"), "the variable tt is not used\nhint: did you mean t?"),
        (("--set", "t=x"), "'x' is not a threshold"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(words: tuple[str, ...], said: str, folder: Path) -> None:
    refused(run('rule = "hard"\nthreshold = "{t}"', *words), 2, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "holds no recipe"),
        ("{", "holds no recipe: "),
        ('{"rule": "levels", "threshold": ' + "[" * 300 + "]" * 300 + "}", "a list is within another one"),
        ('{"threshold": -1.5e' + "9" * 30 + "}", "is no number that can be used"),
        ("[" * 100_000, "holds no recipe: "),
        ('{"schema": "thresh.info/1"}', "holds no recipe\nhint: take a report of a rule"),
        ('{"schema": "thresh.report/1"}', "holds no recipe"),
        ("{}", "has no rules"),
    ],
)
def test_json_that_is_no_recipe_is_refused(text: str, said: str, folder: Path) -> None:
    refused(run(text, name="r.json"), 2, "r.json: ", said)
    refused(run('{"event": "file"}\n' + text, name="r.ndjson"), 2, "r.ndjson: ", said)


def test_what_is_no_recipe_file_is_named(folder: Path) -> None:
    refused(thresh("run", "none.toml", "x.npy", "-n"), 4, "none.toml: no such file")
    Path("r.toml").write_bytes(b"\xff\xfe")
    refused(thresh("run", "r.toml", "x.npy", "-n"), 2, "r.toml: is no recipe: ")
    refused(thresh("run", "x.npy", "r.toml", "-n"), 2, "x.npy: has no recipe in it")


def test_a_pattern_that_later_versions_may_take_for_another_is_taken_without_a_word(folder: Path) -> None:
    """Python warns of it, which is nothing that the user of a recipe can do anything about."""
    write_codes(folder / "x.safetensors", {"a": (DTYPES["float32"], [0])})
    Path("r.toml").write_text("rule = 'hard'\nthreshold = 1\nregex = '[[a]'\n")
    ran = thresh("run", "r.toml", "x.safetensors", "-n")
    assert (ran.status, ran.err) == (0, "")


def test_a_file_whose_name_is_too_long_is_not_there(folder: Path) -> None:
    name = "m" * 400 + ".npy"
    refused(run(f"rule = 'hard'\nthreshold = '@{name}'"), 4, f"{name}: cannot be read: File name too long", hint=False)
    np.save("n" * 251 + ".npy", np.zeros(1))  # beside which no sidecar can be
    refused(thresh("run", "n" * 251 + ".npy", "x.npy", "-n"), 2, "has no recipe in it, nor beside it")
