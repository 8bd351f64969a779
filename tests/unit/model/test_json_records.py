"""One codec: what goes in comes out, older records are upgraded, anything else is a typed error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import Enum

import pytest
from attrs import frozen

from frskit.errors import ArrayDamaged, CatalogError
from frskit.model import json_records
from frskit.model.components import ComponentId
from frskit.model.json_records import dump, load


class Color(Enum):
    """An enum."""

    RED = "red"


@frozen(kw_only=True)
class Key:
    """A value that is used as a key."""

    name: str


@frozen(kw_only=True)
class Rich:
    """A value with everything that a record may have."""

    at: datetime
    raw: bytes
    color: Color
    colors: frozenset[Color]
    by_key: dict[Key, tuple[int, ...]]
    by_name: dict[str, bytes]
    nothing: Key | None = None


VALUE = Rich(
    at=datetime(2005, 7, 15, 12, 0, 0, 250000, tzinfo=UTC),
    raw=b"\x00\xff",
    color=Color.RED,
    colors=frozenset({Color.RED}),
    by_key={Key(name="a"): (1, 2)},
    by_name={"b": b"\x01"},
)


def test_a_record_says_its_schema_and_comes_back():
    """Times, bytes, enums, sets, and mappings with values as keys."""
    text = dump(VALUE, "test.rich")
    assert json.loads(text)["schema"] == "test.rich/1"
    assert json.loads(text)["by_key"] == [[{"name": "a"}, [1, 2]]]
    assert load(text, Rich, "test.rich") == VALUE
    wrapped = dump(VALUE, "test.rich", under="value", indent=1, sort_keys=True)
    assert load(wrapped, Rich, "test.rich", under="value") == VALUE


def test_sets_are_written_in_one_order():
    """The same value gives the same text, whatever the process hashes."""

    @frozen
    class Names:
        names: frozenset[str]

    text = dump(Names(frozenset("hgfedcba")), "test.names")
    assert json.loads(text)["names"] == list("abcdefgh")


def test_older_records_are_upgraded_step_by_step(monkeypatch):
    """From version to version, until the one that is known."""
    chain = {
        1: lambda plain: {"logical_path": "", **plain},
        2: lambda plain: {**plain, "name": plain["name"].upper()},
    }
    monkeypatch.setitem(json_records.UPGRADES, "test.id", chain)
    text = json.dumps({"schema": "test.id/1", "writer_id": "w", "name": "n"})
    found = load(text, ComponentId, "test.id", 3)
    assert found == ComponentId(writer_id="w", logical_path="", name="N")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("[]", "not an object"),
        ("{}", "schema"),
        ('{"schema": "test.key/2", "name": "n"}', "newer than this frskit"),
        ('{"schema": "test.other/1", "name": "n"}', "not test.key"),
        ('{"schema": "test.key/1"}', "."),
        ('{"schema": "test.key/x", "name": "n"}', "."),
        (b"\xff", "."),
    ],
    ids=["empty", "list", "bare", "newer", "other", "incomplete", "no version", "no text"],
)
def test_what_is_no_record_is_a_typed_error(text, said):
    """Of the kind that the caller names, with what it was and where."""
    with pytest.raises(ArrayDamaged, match=said) as caught:
        load(
            text, Key, "test.key", what="the key", error=ArrayDamaged, context={"key": 1}, hint="x"
        )
    assert str(caught.value).startswith("the key cannot be read")
    assert (caught.value.context, caught.value.hint) == ({"key": 1}, "x")


def test_a_strict_reader_refuses_fields_that_it_does_not_know():
    """A lenient one passes them over."""
    text = '{"schema": "test.key/1", "name": "n", "color": "red"}'
    assert load(text, Key, "test.key") == Key(name="n")
    with pytest.raises(CatalogError):
        load(text, Key, "test.key", strict=True)
