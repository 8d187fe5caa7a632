"""JSON documents, written in pieces."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threshcli.report.document import Items, document, line, line_in_pieces, pieces
from threshcli.report.sheets import Buffered

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(st.dictionaries(st.text(), VALUES))
def test_a_document_is_what_json_writes_with_an_indent_of_two(value: dict[str, object]) -> None:
    """Byte for byte; what JSON has no text for are surrogates, and numbers that are not finite."""
    assert "".join(document(value)) == json.dumps(value, indent=2) + "\n"


@pytest.mark.parametrize("many", [0, 1, 3])
def test_iterators_are_arrays_that_are_written_as_they_come(many: int) -> None:
    """Also in what another one brings; nothing is asked for before what stands ahead of it was taken."""
    asked: list[int] = []

    def items() -> Iterator[dict[str, object]]:
        for number in range(many):
            asked.append(number)
            yield {"number": number, "inner": iter([number, [number]]), "last": {}}

    text = ""
    for piece in document({"first": 1, "items": items(), "none": iter(())}):
        assert len(asked) <= text.count('"number"') + 1
        text += piece
    plain = [{"number": number, "inner": [number, [number]], "last": {}} for number in range(many)]
    assert text == json.dumps({"first": 1, "items": plain, "none": []}, indent=2) + "\n"


@pytest.mark.parametrize("many", [0, 1, 3])
def test_items_that_wait_stand_where_others_would(many: int) -> None:
    """They were written before it was known what is ahead of them."""
    items, inner = Items(), {"a": [1, 2], "b": {}}
    for _ in range(many):
        items.add(pieces(inner | {"c": iter([1])}, Items.indent))
    whole = {"first": 1, "items": [inner | {"c": [1]}] * many, "last": 2}
    assert "".join(document(whole | {"items": items})) == json.dumps(whole, indent=2) + "\n"
    items.close()


@pytest.mark.parametrize("many", [0, 1, 3])
def test_a_line_is_made_item_by_item_where_there_are_many(many: int) -> None:
    """And is the line of the whole."""
    items = [{"b": [number, math.inf]} for number in range(many)]
    whole = {"a": 1, "items": items, "last": {"c": "\udcff"}}
    assert "".join(line_in_pieces(whole | {"items": iter(items)})) == line(whole)


def test_texts_are_joined_up_to_a_size() -> None:
    """None is lost, and none waits for more than there is room for."""
    texts = ["x" * 1000] * 100
    found: list[str] = []
    Buffered(found.append).all(texts)
    assert "".join(found) == "".join(texts)
    assert 1 < len(found) < 10
