"""What the requestor refuses before it begins, and copies that are made in the background."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from attrs import evolve
from support.faults import Fault

from frskit import BackupType
from frskit.errors import (
    ConfigurationError,
    HostError,
    StorageGroupNotRecognized,
    TimedOut,
    UsageError,
    WriterError,
)
from frskit.model.ids import CopyId
from frskit.model.volumes import VolumePath

FULL = BackupType.FULL


def made(site, kind=FULL):
    """One more copy."""
    return site.frs.create_copy("evs1", ["sg1"], backup_type=kind)


def undisturbed(site):
    """Nobody was frozen and nothing was staged: there is still the one copy alone."""
    assert not site.exchange.group("sg1").busy
    (copy,) = [each for each in site.frs.copies() if each.recoverable]
    assert len(site.eva.copies()) == len(copy.members)


def test_a_checker_that_is_not_installed_stops_the_copy(site, monkeypatch):
    """Before anybody is disturbed; an unverified copy can be asked for instead."""
    checker = type(site.parties.checker)
    monkeypatch.setattr(checker, "available", lambda *_: False)
    with pytest.raises(UsageError, match="not available on the recovery server"):
        made(site)
    undisturbed(site)
    assert site.frs.create_copy("evs1", ["sg1"], backup_type=FULL, check=False).id


def test_a_backup_type_that_the_service_lacks_is_refused(site, monkeypatch):
    """It says which."""
    service = type(site.parts.production("evs1").service)
    real = service.capabilities.fget
    few = property(lambda self: evolve(real(self), backup_types=frozenset({BackupType.COPY})))
    monkeypatch.setattr(service, "capabilities", few)
    with pytest.raises(UsageError, match="cannot make full backups"):
        made(site)
    undisturbed(site)


def test_what_lies_on_no_array_is_not_copied(site, monkeypatch):
    """A plan without LUNs has nothing to copy."""
    plan = make_session_method(site, monkeypatch, "plan", lambda real: evolve(real, storages=()))
    with pytest.raises(StorageGroupNotRecognized, match="lies on an array"):
        made(site)
    assert plan
    undisturbed(site)


def test_a_copy_without_documents_is_not_judged(site, monkeypatch):
    """Nobody could import it; it is deleted again and the writer is told of the failure."""
    make_session_method(site, monkeypatch, "create", lambda real: evolve(real, documents=None))
    with pytest.raises(WriterError, match="returned no documents"):
        made(site)
    undisturbed(site)


def make_session_method(site, monkeypatch, name, change):
    """Let a method of every session of the service return something else."""
    service = site.parts.production("evs1").service
    with service.session(a_request(site)) as session:
        kind = type(session)
    real = getattr(kind, name)
    monkeypatch.setattr(kind, name, lambda self, *, budget: change(real(self, budget=budget)))
    return kind


def a_request(site):
    """Any request."""
    wish = site.frs._wish("evs1", ["sg1"], FULL, "snapclone", True)
    return wish.request()


@pytest.mark.rule("HAZ-19")
@pytest.mark.parametrize("frozen", [True, False])
def test_the_catalog_may_not_lie_on_what_is_frozen(site, monkeypatch, frozen):
    """Writing the record would wait for the thaw, and the thaw for the record."""
    place = Path("/srv/state")
    server = type(site.parties.production)
    volumes = {each.mount_points[0]: each.id for each in site.parties.production.volumes()}
    chosen = volumes["M:\\"] if frozen else "another-volume"
    real = server.resolve

    def resolve(self, path):
        if path == str(place):
            return VolumePath(volume=chosen, path="state")
        return real(self, path)

    site.frs.parts = evolve(site.parts, state=place)
    monkeypatch.setattr(server, "resolve", resolve)
    if frozen:
        with pytest.raises(ConfigurationError, match="lie on a volume that would be frozen"):
            made(site)
        undisturbed(site)
    else:
        assert made(site).recoverable


def test_waiting_for_a_copy_has_an_end(site, monkeypatch):
    """TimedOut while it goes on; the copy itself goes on too."""
    go, checker = threading.Event(), type(site.parties.checker)
    real = checker.check

    def check(self, *arguments, **options):
        assert go.wait(60)
        return real(self, *arguments, **options)

    monkeypatch.setattr(checker, "check", check)
    operation = site.frs.start_copy("evs1", ["sg1"], backup_type=FULL)
    try:
        with pytest.raises(TimedOut, match="still being made"):
            operation.wait(0)
    finally:
        go.set()
    assert operation.wait(60).recoverable


def test_whoever_waits_gets_the_error(site, monkeypatch):
    """As often as they ask, with the record on it."""
    Fault(site.parties.recovery, "attach", HostError("no drive"), patch=monkeypatch)
    operation = site.frs.start_copy("evs1", ["sg1"], backup_type=FULL)
    for _ in range(2):
        with pytest.raises(HostError, match="no drive") as caught:
            operation.wait(60)
        assert caught.value.copy.id == operation.id
    assert operation.status().id == operation.id


def test_logs_of_production_are_analyzed_without_a_copy(site, copy):
    """One answer for each mode; nothing is mounted for it."""
    alone = site.frs.analyze_logs("evs1", "sg1")
    assert len(alone) == 2
    assert len(site.frs.analyze_logs("evs1", "sg1", copy=copy.id)) == 2
    assert site.parties.recovery.volumes() == ()


@pytest.mark.parametrize("names", ["sg1", ["sg1", " "]])
def test_components_are_names_in_a_list(site, names):
    """A single string would be read letter by letter."""
    with pytest.raises(UsageError):
        site.frs.create_copy("evs1", names, backup_type=FULL)


def test_an_unknown_copy_is_left_alone(site):
    """A name that nobody has is an error for each call that takes one."""
    for call in (site.frs.copy, site.frs.delete_copy):
        with pytest.raises(Exception, match="no copy"):
            call(CopyId("ffffffff-0000-4000-8000-000000000000"))
