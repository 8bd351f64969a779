"""Every public name exists, is sorted, documented and importable."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import frskit

MOVED = {"frskit.storage.copy_store": "frskit.storage"}
"""Former places of public names that examples or docs once showed, and where they are now."""
REPLACED = {
    ("frskit.exchange.log_analysis", former): successor
    for former, successor in {
        "Break": "frskit.ese.RunStop",
        "CheckpointFact": "frskit.ese.CheckpointFacts",
        "DatabaseFact": "frskit.ese.DatabaseFacts",
        "LogFact": "frskit.ese.LogFacts",
        "LogRun": "frskit.ese.ContiguousRun",
        "RecoveryFacts": "frskit.exchange.log_analysis.StorageGroupFacts",
        "checkpoint_fact": "frskit.ese.checkpoint_facts",
        "database_fact": "frskit.ese.database_facts",
        "fault": "frskit.ese.contiguous_run",
        "log_fact": "frskit.ese.log_header_facts",
        "longest_run": "frskit.ese.longest_run",
        "ranges": "frskit.ese.generation_ranges",
    }.items()
} | {
    ("frskit.model", former): f"frskit.model.{name}"
    for former, name in {"GroupInfo": "ComponentInfo", "GroupStatus": "ComponentStatus"}.items()
}
"""Former public names of a package, and what took the place of each."""
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(frskit.__path__, "frskit.")
    if not info.name.endswith("__main__") and info.name not in MOVED
)


@pytest.mark.parametrize("name", ["frskit", *MODULES])
def test_all_is_sorted_and_complete(name):
    """``__all__`` lists existing names, once each, in sorted order."""
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", None)
    if exported is None:
        assert (
            not [each for each in vars(module) if not each.startswith("_")] or name.count(".") == 1
        )
        return
    assert list(exported) == sorted(
        exported, key=lambda each: (not each.isupper(), not each[:1].isupper(), each)
    ) or list(exported) == sorted(exported)
    assert len(set(exported)) == len(exported)
    for each in exported:
        assert hasattr(module, each), f"{name}.{each}"


@pytest.mark.parametrize("name", MODULES)
def test_public_things_are_documented(name):
    """Every module, and every class and function that it defines in public, has a docstring."""
    module = importlib.import_module(name)
    assert module.__doc__, name
    for each in getattr(module, "__all__", ()):
        value = getattr(module, each)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if value.__module__ != name:
            continue
        assert value.__doc__, f"{name}.{each}"
        if inspect.isclass(value):
            for method, body in vars(value).items():
                if inspect.isfunction(body) and not method.startswith("_"):
                    assert body.__doc__, f"{name}.{each}.{method}"


def test_lazy_names_are_the_listed_ones():
    """The lazily loaded face offers exactly ``__all__``."""
    for name in frskit.__all__:
        assert getattr(frskit, name) is not None
    with pytest.raises(AttributeError):
        frskit.no_such_name  # noqa: B018


def test_every_public_room_is_reachable_after_one_import():
    """``import frskit; frskit.errors`` and all its brothers work in a fresh process."""
    rooms = [
        info.name for info in pkgutil.iter_modules(frskit.__path__) if not info.name.startswith("_")
    ]
    assert set(rooms) <= set(frskit.__all__)
    code = f"import frskit\nfor room in {rooms!r}: assert getattr(frskit, room).__doc__"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_strangers_party_needs_one_import():
    """`frskit.spi` has every protocol, value, base, error, event and clock, and nothing else."""
    from frskit import spi

    rooms = ("bases", "clock", "errors", "events", "model", "protocols")
    wanted = {
        name: getattr(frskit, room) for room in rooms for name in getattr(frskit, room).__all__
    }
    assert set(spi.__all__) == set(wanted)
    for name, room in wanted.items():
        assert getattr(spi, name) is getattr(room, name)


@pytest.mark.parametrize(
    "name", ["frskit", "frskit.ese", "frskit.hosts", "frskit.model", "frskit.spi"]
)
def test_a_lazy_face_loads_only_what_is_asked_for(name):
    """Importing it loads none of the rooms behind it; ``dir`` shows the names all the same."""
    code = (
        f"import sys, {name} as face\n"
        f"loaded = [m for m in sys.modules if m.startswith('frskit.') and m not in "
        f"('{name}', 'frskit._lazy')]\n"
        "assert not loaded, loaded\n"
        "assert set(face.__all__) <= set(dir(face))\n"
        "try: face.no_such_name\n"
        "except AttributeError as error: assert 'no_such_name' in str(error)\n"
        "else: raise SystemExit('found')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_former_place_still_works_and_says_where_to_go(old, new):
    """The same objects, with a DeprecationWarning that names the new place."""
    former = importlib.import_module(old)
    for name in former.__all__:
        with pytest.warns(DeprecationWarning, match=f"from {new} import {name}"):
            found = getattr(former, name)
        assert found is getattr(importlib.import_module(new), name)
    with pytest.raises(AttributeError):
        former.no_such_name  # noqa: B018


@pytest.mark.parametrize(("former", "successor"), REPLACED.items(), ids=str)
def test_a_former_name_gives_its_successor_and_says_so_each_time(former, successor):
    """What took its place, with a DeprecationWarning at the caller's line; not listed any more."""
    face, name = importlib.import_module(former[0]), former[1]
    home, _, new = successor.rpartition(".")
    for _ in range(2):
        with pytest.warns(DeprecationWarning, match=f"from {home} import {new}") as warned:
            found = getattr(face, name)
        assert warned[0].filename == __file__
    assert found is getattr(importlib.import_module(home), new)
    assert new in importlib.import_module(home).__all__
    assert name not in dir(face)


def test_a_plan_answers_to_the_former_word_for_its_component():
    """``group``, as an argument and as a field: still understood, and warned of."""
    import frskit

    with frskit.lab(seed=3) as site:
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type="full")
        with pytest.warns(DeprecationWarning, match="'component'"):
            plan = site.frs.plan_recovery(copy.id, mode="point-in-time", group="sg1")
        with pytest.warns(DeprecationWarning, match="'component'"):
            assert plan.group == plan.component == "sg1"
        with (
            pytest.warns(DeprecationWarning, match="component"),
            pytest.raises(frskit.errors.UsageError, match="not both"),
        ):
            site.frs.plan_recovery(copy.id, mode="point-in-time", component="sg1", group="sg1")
