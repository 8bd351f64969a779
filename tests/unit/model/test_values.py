"""Values say themselves: as JSON with a schema, and on a screen in a line or two."""

from __future__ import annotations

import json

import attrs
import pytest

import frskit
from frskit import model
from frskit.model.json_records import load, schema_name
from frskit.model.values import Value

VALUES = [
    getattr(model, name)
    for name in model.__all__
    if isinstance(getattr(model, name), type) and attrs.has(getattr(model, name))
]
SCREEN = 450
"""Characters that a value may take with what it holds, nested ones included."""


@pytest.fixture(scope="module")
def seen():
    """Values of every kind that a copy, a plan, an analysis and a recovery bring along."""
    found = {}

    def collect(value):
        if attrs.has(type(value)):
            found.setdefault(type(value), value)
            for field in attrs.fields(type(value)):
                collect(getattr(value, field.name))
        elif isinstance(value, (tuple, list, frozenset)):
            for each in value:
                collect(each)
        elif isinstance(value, dict):
            for each in value.values():
                collect(each)

    with frskit.lab(seed=4) as site:
        site.deliver("evs1", "sg1", messages=50)
        collect(site.frs.plan_copy("evs1", ["sg1"], backup_type="full"))
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type="full")
        collect(copy)
        collect(tuple(site.frs.analyze_logs("evs1", "sg1", copy=copy.id)))
        collect(site.groups())
        plan = site.frs.plan_recovery(copy.id, mode="point-in-time")
        collect(site.frs.recover(plan))
        for party in (site.parties.production, site.eva):
            for name in ("volumes", "disks", "storage", "copies", "presentations"):
                collect(getattr(party, name, tuple)())
    assert len(found) > 20
    return found


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_every_value_of_the_model_can_say_itself(kind):
    """The base is inherited everywhere, without making the value larger."""
    assert issubclass(kind, Value)
    assert not hasattr(kind, "__dict__") or "__slots__" in vars(kind)


def test_documents_name_their_schema_and_come_back(seen):
    """`to_json` is one JSON document; what it says is the whole value."""
    for kind, value in seen.items():
        if not issubclass(kind, Value):
            continue
        document = json.loads(value.to_json())
        assert document["schema"] == f"{schema_name(kind)}/{kind.schema_version}"
        assert load(value.to_json(), kind, schema_name(kind), kind.schema_version) == value


def test_the_name_of_a_schema_is_the_name_of_the_class():
    """In words with hyphens."""
    assert schema_name(model.IntegrityReport) == "frskit.integrity-report"
    assert schema_name(model.Copy) == "frskit.copy"


def test_values_fit_a_screen(seen):
    """No value fills pages in a notebook or a traceback."""
    long = {kind.__name__: len(repr(value)) for kind, value in seen.items()}
    assert {name: size for name, size in long.items() if size > SCREEN} == {}


def test_the_representation_of_a_copy_says_what_matters(seen):
    """What, of what, when, and what became of it."""
    text = repr(seen[model.Copy])
    for part in ("evs1", "sg1", "full", "snapclone", "verified", "3 LUNs"):
        assert part in text
