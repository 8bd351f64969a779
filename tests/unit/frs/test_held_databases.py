"""What a copy holds, against what the application has: said when it is made, and before a recovery."""

from __future__ import annotations

import pytest
from attrs import evolve

import frskit
from frskit import BackupType, RecoveryMethod, RecoveryMode, Verdict
from frskit.cli.copies import copy_facts
from frskit.cli.render import verdict_text
from frskit.errors import RecoveryPrecondition
from frskit.events import CallableSink
from frskit.frs.held_databases import gone_databases, not_held
from frskit.model.components import Component, ComponentId
from frskit.model.files import FileRole, FileSet
from frskit.model.plans import ComponentInfo

PIT, FORWARD = RecoveryMode.POINT_IN_TIME, RecoveryMode.ROLL_FORWARD
SWAP, BACK = RecoveryMethod.SWAP, RecoveryMethod.COPY_BACK
ID = ComponentId(writer_id="w", logical_path="", name="kv")


@pytest.fixture
def site():
    """A lab with 80 messages."""
    with frskit.lab(seed=8) as lab:
        lab.deliver("evs1", "sg1", messages=80)
        yield lab


def copied(site, names=("sg1",), backup_type=BackupType.FULL):
    """A copy."""
    return site.frs.create_copy("evs1", list(names), backup_type=backup_type)


def counts(site):
    """Messages by store; None where it is not mounted."""
    return {each.name: each.items for each in site.status("evs1", "sg1").databases}


def recovered(site, copy, mode, method):
    """Plan, carry out, count."""
    plan = site.frs.plan_recovery(copy.id, mode=mode, method=method)
    return counts_of(site.frs.recover(plan).after)


def counts_of(status):
    """Messages by store."""
    return {each.name: each.items for each in status.databases}


def add_store(site, name, path):
    """A store made after the copy, with 60 messages."""
    site.exchange.add_database("sg1", name, path=path, kind="mailbox")
    site.deliver("evs1", "sg1", messages=60, database=name)


@pytest.mark.rule("FRS-31")
@pytest.mark.parametrize("names", [("sg1",), ("sg1", "sg9")], ids=["one", "both"])
def test_copy_back_puts_files_back_where_two_components_share_a_lun(site, names):
    """P-10 is about LUNs that are replaced whole: files can be put back beside those of another."""
    site.exchange.add_storage_group("sg9", log_path="L:\\exchsrvr\\sg9", base="E09")
    site.exchange.add_database("sg9", "mailbox-sg9", path="M:\\exchsrvr\\sg9\\m9.edb")
    site.deliver("evs1", "sg9", messages=7, database="mailbox-sg9")
    copy = copied(site, names)
    assert copy.missing == ()
    site.deliver("evs1", "sg1", messages=5)
    site.deliver("evs1", "sg9", messages=5, database="mailbox-sg9")
    for mode in (FORWARD, PIT):
        with pytest.raises(RecoveryPrecondition, match=r"also holds .* of sg9"):
            site.frs.plan_recovery(copy.id, mode=mode, method=SWAP, component="sg1")
    for mode, wanted in ((FORWARD, 85), (PIT, 80)):
        plan = site.frs.plan_recovery(copy.id, mode=mode, method=BACK, component="sg1")
        assert counts_of(site.frs.recover(plan).after)["mailbox-sg1"] == wanted
        (other,) = site.status("evs1", "sg9").databases
        assert (other.state, other.items) == ("mounted", 12)


@pytest.mark.rule("FRS-31")
@pytest.mark.parametrize("mode", [PIT, FORWARD], ids=lambda each: each.value)
def test_a_store_that_was_made_since_is_not_swapped_away(site, mode):
    """On a LUN that would be replaced it is refused, before anything changes; copied back it stays."""
    copy = copied(site, backup_type=BackupType.COPY)
    add_store(site, "mailbox-2", "M:\\exchsrvr\\sg1\\mbx-2.edb")
    before = counts(site)
    with pytest.raises(RecoveryPrecondition, match="also holds mailbox-2") as caught:
        site.frs.plan_recovery(copy.id, mode=mode, method=SWAP)
    assert caught.value.context["condition"] == "P-10"
    assert "copy-back" in caught.value.hint
    assert counts(site) == before
    plan = site.frs.plan_recovery(copy.id, mode=mode, method=BACK)
    assert "mailbox-2 is not part of the copy, and stays as it is" in plan.warnings
    assert counts_of(site.frs.recover(plan).after)["mailbox-2"] == 60


def test_a_store_that_was_made_since_on_another_lun_stays(site):
    """Nothing of it is replaced: a swap brings the others back, and it is mounted again."""
    copy = copied(site, backup_type=BackupType.COPY)
    add_store(site, "mailbox-2", "L:\\exchsrvr\\sg1\\mbx-2.edb")
    found = recovered(site, copy, FORWARD, SWAP)
    assert found == {"mailbox-sg1": 80, "public-sg1": 0, "mailbox-2": 60}


@pytest.mark.rule("FRS-31")
@pytest.mark.parametrize("method", [SWAP, BACK], ids=lambda each: each.value)
@pytest.mark.parametrize("mode", [PIT, FORWARD], ids=lambda each: each.value)
def test_a_store_that_is_gone_is_refused(site, monkeypatch, mode, method):
    """The logs name it, and replay would fail when everything has been moved."""
    copy = copied(site)
    application = site.exchange.application
    real = application.components

    def without(*, budget):
        return tuple(
            evolve(
                each,
                databases=each.databases[1:],
                paths=tuple(pair for pair in each.paths if not pair[1].endswith("mbx-sg1.edb")),
            )
            for each in real(budget=budget)
        )

    monkeypatch.setattr(application, "components", without)
    with pytest.raises(RecoveryPrecondition, match=r"no database M:\\exchsrvr\\sg1\\mbx-sg1\.edb"):
        site.frs.plan_recovery(copy.id, mode=mode, method=method)


def test_a_copy_made_while_a_store_is_dismounted_says_so(site):
    """Verified is what it holds; record, listing and event say what it does not."""
    told = []
    site.subscribe(CallableSink(told.append))
    site.exchange.dismount("sg1", "mailbox-sg1")
    plan = site.frs.plan_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    assert any("mailbox-sg1 is not copied" in each for each in plan.warnings)
    copy = copied(site)
    assert (copy.verdict, copy.missing, copy.partial) == (Verdict.VERIFIED, ("mailbox-sg1",), True)
    assert any("will not hold mailbox-sg1" in getattr(each, "text", "") for each in told)
    (listed,) = site.frs.copies()
    assert verdict_text(listed) == "verified (partial)"
    assert copy_facts(listed)["missing"] == ["mailbox-sg1"]
    assert "without mailbox-sg1" in repr(listed)
    assert site.frs.copy(copy.id).missing == ("mailbox-sg1",)
    site.exchange.mount("sg1", "mailbox-sg1")
    site.deliver("evs1", "sg1", messages=5)
    plan = site.frs.plan_recovery(copy.id, mode=FORWARD, method=BACK)
    assert "mailbox-sg1 is not part of the copy, and stays as it is" in plan.warnings
    assert counts_of(site.frs.recover(plan).after)["mailbox-sg1"] == 85


def test_a_whole_copy_is_not_partial(site):
    """Nothing is missed that is there."""
    copy = copied(site)
    assert (copy.missing, copy.partial) == ((), False)
    assert verdict_text(copy) == "verified"


# --- the comparison itself -----------------------------------------------------------------------


def component(*paths, names=()):
    """As an application describes it."""
    return ComponentInfo(
        name="kv",
        id=ID,
        owner="s",
        databases=names,
        paths=tuple((FileRole.DATABASE, each) for each in paths),
    )


def files(*sets):
    """The components of a copy."""
    return (Component(id=ID, files=tuple(FileSet(**each) for each in sets)),)


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("/srv/kv/a.db", True),
        ("/srv/kv/b.db", True),  # by the wildcard
        ("/srv/kv/x/a.db", False),
        ("/srv/kv/x/b.db", False),
        ("/srv/kv/b.x/c", False),
        ("/srv/tree/deep/a.db", True),  # below a recursive set
        ("/srv/tree", True),  # a directory that holds a set
        ("/srv", True),
        ("/srv/other/a.db", False),
    ],
)
def test_a_path_is_held_if_a_file_set_means_it(path, held):
    """Files, directories above them, patterns and trees."""
    copy = files(
        {"path": "/srv/kv", "pattern": "a.db"},
        {"path": "/srv/kv", "pattern": "b.*"},
        {"path": "/srv/tree", "pattern": "*.x", "recursive": True},
    )
    assert (not not_held(copy, component(path))) is held
    assert not_held(copy, component(path, names=("one",))) == ({} if held else {"one": path})


def test_only_what_has_a_whole_name_can_be_gone():
    """A pattern may mean anything, and an application that tells no paths is not compared."""
    named = files({"path": "/srv/kv", "pattern": "a.db"}, {"path": "/srv/kv", "pattern": "a.stm"})
    assert gone_databases(named, component("/srv/kv/b.db")) == ("/srv/kv/a.db",)
    assert gone_databases(named, component("/srv/kv/a.db")) == ()
    assert gone_databases(named, component()) == ()
    wild = files({"path": "/srv/kv", "pattern": "*.db"})
    assert gone_databases(wild, component("/srv/other/b.db")) == ()
    mixed = files({"path": "/srv/kv", "pattern": "a.db"}, {"path": "/srv/kv", "pattern": "*.db"})
    assert gone_databases(mixed, component("/srv/other/b.db")) == ()
    logs = files({"path": "/srv/kv", "pattern": "a.log", "role": FileRole.LOG})
    assert gone_databases(logs, component("/srv/kv/b.db")) == ()


def test_components_of_others_are_not_asked():
    """Only what is the component's own, or below it."""
    other = ComponentId(writer_id="w", logical_path="", name="other")
    copy = (Component(id=other, files=(FileSet(path="/srv/kv", pattern="a.db"),)),)
    assert not_held(copy, component("/srv/kv/a.db")) == {"/srv/kv/a.db": "/srv/kv/a.db"}
    assert gone_databases(copy, component("/srv/kv/b.db")) == ()


# --- circular logging ------------------------------------------------------------------------------


def switch(site, circular):
    """Circular logging, effective at once: the group is started anew."""
    site.exchange.set_circular("sg1", circular)
    site.exchange.stop()
    site.exchange.start()


@pytest.mark.rule("FRS-31")
@pytest.mark.parametrize("method", [SWAP, BACK], ids=lambda each: each.value)
@pytest.mark.parametrize("before", [True, False], ids=["all along", "off meanwhile"])
def test_no_roll_forward_while_circular_logging_is_on(site, before, method):
    """P-09: taking the stores offline would delete the logs that the plan has just found."""
    switch(site, circular=True)
    site.deliver("evs1", "sg1", messages=100)
    copy = copied(site, backup_type=BackupType.COPY)
    if not before:
        switch(site, circular=False)
    site.deliver("evs1", "sg1", messages=400)
    switch(site, circular=True)
    site.deliver("evs1", "sg1", messages=50)
    found = counts(site)
    with pytest.raises(RecoveryPrecondition, match="P-09") as caught:
        site.frs.plan_recovery(copy.id, mode=FORWARD, method=method)
    assert caught.value.context["condition"] == "P-09"
    assert counts(site) == found
    assert recovered(site, copy, PIT, method)["mailbox-sg1"] == 180


def test_circular_logging_that_is_switched_on_counts_from_the_next_start(site):
    """Until then no log goes, and the roll forward works."""
    copy = copied(site, backup_type=BackupType.COPY)
    site.deliver("evs1", "sg1", messages=5)
    site.exchange.set_circular("sg1", True)
    assert recovered(site, copy, FORWARD, BACK)["mailbox-sg1"] == 85
