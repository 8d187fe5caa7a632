"""Hints name what is near to a mistyped name, however many names there are."""

from __future__ import annotations

import difflib

import pytest

from threshcli import near
from threshcli.near import near_names

LAYERS = [
    f"layers.{layer}.experts.{expert}.{part}.weight" for layer in range(30) for expert in range(40) for part in "qkv"
]
TYPOS = [
    ("layers.3.experts.7.k.wieght", "layers.3.experts.7.k.weight"),
    ("lyers.3.experts.7.k.weight", "layers.3.experts.7.k.weight"),
    ("layers.3.exprets.7.k.weight", "layers.3.experts.7.k.weight"),
]


@pytest.mark.parametrize(("wanted", "nearest"), TYPOS)
def test_the_nearest_of_many_names_is_found(wanted: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though few of them are compared: those that begin like it, and those that end like it."""
    compared = []
    monkeypatch.setattr(near, "_MANY", 100)

    def close(word: str, names: list[str], n: int, cutoff: float) -> list[str]:
        compared.append(len(names))
        return difflib.get_close_matches(word, names, n, cutoff)

    class Counting:
        get_close_matches = staticmethod(close)

    monkeypatch.setattr(near, "difflib", Counting)
    assert near_names(wanted, LAYERS)[0] == nearest
    assert 100 <= compared[0] <= 200


def test_few_names_are_all_compared() -> None:
    """In the order of their nearness, whatever they begin or end with."""
    names = ["bias", "weight", "xweightx", *(str(number) for number in range(1500))]
    assert near_names("wieght", names) == ["weight", "xweightx"]


def test_the_first_names_stand_for_all_where_none_is_near() -> None:
    """In their order, each once."""
    assert near_names("?", ["b", "a", "d", "c", "a"]) == ["a", "b", "c"]
    assert near_names("?", []) == []
