"""What a recovery plan refuses, precondition by precondition, and what it says."""

from __future__ import annotations

import pytest
from attrs import evolve

import frskit
from frskit import BackupType, Budget, CopyLife, RecoveryMode, Verdict
from frskit.errors import (
    CopyInUse,
    IntegrityError,
    RecoveryPrecondition,
    StorageGroupNotRecognized,
    UsageError,
    VolumeNotFound,
)
from frskit.frs.recovery.planning import make_plan, used_up
from frskit.frs.recovery.wish import RecoveryWish
from frskit.model.copies import MemberLife
from frskit.model.files import FileRole
from frskit.model.log_points import LogPoint
from frskit.model.plans import LogVerdict, RecoveryTarget
from frskit.model.storage import CopyState

PIT, FORWARD = RecoveryMode.POINT_IN_TIME, RecoveryMode.ROLL_FORWARD


@pytest.fixture
def plan(site):
    """Plan with a record, whether the catalog has it or not."""

    def planned(copy, mode=PIT, **wish):
        budget = Budget.of(site.clock)
        return make_plan(
            site.parts, copy, RecoveryWish(target=RecoveryTarget(mode=mode), **wish), budget
        )

    return planned


def refused(plan, *arguments, **wish):
    """Precondition and text of the refusal."""
    with pytest.raises(RecoveryPrecondition) as caught:
        plan(*arguments, **wish)
    return caught.value.context["condition"], str(caught.value)


def with_member(copy, number, **changes):
    """The record with one member changed."""
    members = list(copy.members)
    members[number] = evolve(members[number], **changes)
    return evolve(copy, members=tuple(members))


@pytest.mark.parametrize(
    ("changes", "accept", "fine"),
    [
        ({}, False, True),
        ({"verdict": Verdict.UNVERIFIED}, False, False),
        ({"verdict": Verdict.UNVERIFIED}, True, True),
        ({"verdict": Verdict.UNVERIFIED, "life": CopyLife.CREATED}, True, False),
        ({"verdict": Verdict.CORRUPT}, True, False),
        ({"life": CopyLife.CONSUMED}, True, False),
    ],
)
def test_only_a_usable_copy_is_planned_with(plan, copy, changes, accept, fine):
    """Unverified if the caller accepts it, corrupt never."""
    changed = evolve(copy, **changes)
    if fine:
        assert plan(changed, accept_unverified=accept).copy == copy.id
    else:
        assert refused(plan, changed, accept_unverified=accept)[0] == "P-01"


def test_a_used_member_is_refused(plan, copy):
    """A recovery of another group may have used it up."""
    changed = with_member(copy, 1, life=MemberLife.CONSUMED)
    assert refused(plan, changed) == (
        "P-01",
        "P-01: a member of the copy was used up by an earlier recovery",
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (None, "has lost member"),
        (CopyState.INVALID, "has lost member"),
        (CopyState.NORMALIZING, "still normalizes"),
    ],
)
def test_a_member_that_is_not_ready_is_refused(site, plan, copy, monkeypatch, state, said):
    """Lost, invalid, or not yet standing alone."""
    hit, store = copy.members[0].storage, type(site.parties.store)
    real = store.look

    def look(self, **words):
        found = [each for each in real(self, **words) if each.id != hit or state is not None]
        return [evolve(each, state=state) if each.id == hit else each for each in found]

    monkeypatch.setattr(store, "look", look)
    condition, text = refused(plan, copy)
    assert condition == "P-01"
    assert said in text
    assert hit in text


def test_a_mount_point_that_is_gone_is_refused(plan, copy):
    """Data returns to its former paths or not at all."""
    moved = evolve(
        with_member(copy, 0, mount_point="X:\\"),
        files=tuple(
            evolve(
                each,
                files=tuple(
                    evolve(one, path=one.path.replace(copy.members[0].mount_point, "X:\\"))
                    for one in each.files
                ),
            )
            for each in copy.files
        ),
    )
    assert refused(plan, moved) == ("P-06", "P-06: X:\\ is not mounted on production")


def test_a_writer_that_does_not_run_is_refused(site, plan, copy, monkeypatch):
    """It takes part in every restore."""
    monkeypatch.setattr(
        type(site.parts.production("evs1").service), "writers", lambda _, budget: ()
    )
    assert refused(plan, copy)[0] == "P-05"


def test_a_lun_with_a_file_of_another_group_is_refused(site, plan, copy, monkeypatch):
    """A LUN is replaced whole; a group without a place of its own stands in nobody's way."""
    application = type(site.exchange.application)
    real = application.components
    path = copy.members[0].mount_point + "elsewhere\\other.edb"

    def components(self, *, budget):
        (mine,) = real(self, budget=budget)
        other = evolve(mine, name="sg2", paths=((FileRole.DATABASE, path),))
        return (mine, evolve(other, name="sg3", paths=()), other)

    monkeypatch.setattr(application, "components", components)
    condition, text = refused(plan, copy, component="sg1")
    assert condition == "P-10"
    assert f"also holds {path} of sg2" in text


def with_roles(copy, change):
    """The record with the roles of its files changed."""
    return evolve(
        copy,
        files=tuple(
            evolve(each, files=tuple(evolve(one, role=change(one.role)) for one in each.files))
            for each in copy.files
        ),
    )


def test_rolling_forward_never_replaces_logs(plan, copy):
    """Databases and logs on one LUN: production's newer logs would go with the swap."""
    both = evolve(
        copy,
        files=tuple(
            evolve(
                each,
                files=tuple(
                    two for one in each.files for two in (one, evolve(one, role=FileRole.LOG))
                ),
            )
            for each in copy.files
        ),
    )
    condition, text = refused(plan, both, FORWARD)
    assert condition == "P-07"
    assert "roll forward would lose the logs" in text


def test_rolling_forward_needs_a_database(plan, copy):
    """Logs alone have nothing to be replayed into."""
    logs = with_roles(copy, lambda _: FileRole.LOG)
    assert refused(plan, logs, FORWARD) == (
        "P-01",
        "P-01: the copy holds no database of the component",
    )


@pytest.mark.parametrize(
    ("held", "wanted", "said"),
    [
        (("sg1", "sg2"), None, "holds several components; name one"),
        (("sg1",), "sg7", "does not hold 'sg7'"),
        (("sg1", "sg9"), "SG9", "has no component 'SG9' now"),
    ],
)
def test_a_group_that_is_not_there_is_refused(plan, copy, held, wanted, said):
    """Not in the copy, not on the server any more, or not said which."""
    with pytest.raises(StorageGroupNotRecognized, match=said):
        plan(evolve(copy, components=held), component=wanted)
    assert plan(evolve(copy, components=(*held, "other")), component="SG1").component == "sg1"


@pytest.mark.parametrize("change", [("verdict", LogVerdict.PARTIAL), ("stale_checkpoint", True)])
def test_what_the_logs_lack_is_warned_of(site, plan, copy, monkeypatch, change):
    """A partial chain with the generation at which it ends, a checkpoint that is set aside."""
    application = type(site.exchange.application)
    real = application.analyze
    monkeypatch.setattr(
        application,
        "analyze",
        lambda *asked, budget: evolve(
            real(*asked, budget=budget), gap_at=LogPoint(rank=17, name="the 17th"), **dict([change])
        ),
    )
    said = " ".join(plan(copy, FORWARD).warnings)
    assert ("the log chain breaks at the 17th" in said) == (change[0] == "verdict")
    assert ("checkpoint file is ahead" in said) == (change[0] == "stale_checkpoint")


def test_nothing_to_replay_is_said(site, plan, copy, monkeypatch):
    """A plan tells how far it reaches, also if it reaches nowhere."""
    application = type(site.exchange.application)
    real = application.analyze
    monkeypatch.setattr(
        application,
        "analyze",
        lambda *asked, budget: evolve(real(*asked, budget=budget), reaches=None),
    )
    details = {step.title: step.detail for step in plan(copy).steps}
    assert details["mount and replay"] == "nothing to replay"


def test_a_copy_is_used_up_when_none_of_its_groups_is_left(copy):
    """Members without databases do not count."""
    assert not used_up(copy)
    for number, member in enumerate(copy.members):
        gone = with_member(copy, number, life=MemberLife.CONSUMED)
        database = any(
            files.role is FileRole.DATABASE and files.path.startswith(member.mount_point)
            for each in copy.files
            for files in each.files
        )
        assert used_up(gone) is database


def test_a_copy_that_production_runs_on_is_not_read(site, plan, copy):
    """Parking it again afterwards would take production's LUN away."""
    site.frs.recover(plan(copy))
    with pytest.raises(CopyInUse):
        plan(copy)


def test_a_stop_that_the_application_does_not_know_is_refused(site, copy):
    """Before anything is presented, with the kinds that it does know."""
    with pytest.raises(RecoveryPrecondition, match="cannot stop a roll forward at a time"):
        site.frs.plan_recovery(copy.id, mode=FORWARD, stop_kind="time", stop="12:00")


def test_a_stop_is_shown_back_as_it_was_written(site, copy, monkeypatch):
    """It is the application's text; nobody else takes it apart."""
    application = type(site.exchange.application)
    components, analyze, actions = (
        application.components,
        application.analyze,
        application.file_actions,
    )
    monkeypatch.setattr(
        application,
        "components",
        lambda self, *, budget: tuple(
            evolve(x, stop_kinds=frozenset({"time"})) for x in components(self, budget=budget)
        ),
    )
    seen = []

    def analyzed(self, component, files, target, *, budget):
        seen.append(target)
        plain = RecoveryTarget(mode=target.mode)
        return evolve(analyze(self, component, files, plain, budget=budget), target=target)

    monkeypatch.setattr(application, "analyze", analyzed)
    monkeypatch.setattr(
        application,
        "file_actions",
        lambda self, component, files, target, method, *, budget: actions(
            self, component, files, RecoveryTarget(mode=target.mode), method, budget=budget
        ),
    )
    plan = site.frs.plan_recovery(copy.id, mode=FORWARD, stop_kind="time", stop="noon, or so")
    assert plan.target == RecoveryTarget(mode=FORWARD, stop_kind="time", stop="noon, or so")
    assert {each.stop for each in seen} == {"noon, or so"}
    (replay,) = (step for step in plan.steps if step.title == "mount and replay")
    assert replay.detail.endswith("stop at time noon, or so")
    assert "replay stops at time noon, or so: what is later is lost" in plan.warnings
    # Made anew before it is carried out, with the same stop.
    assert site.frs.recover(plan).plan == plan
    assert {each.stop for each in seen} == {"noon, or so"}
    begun = [lines[0] for lines in site.parts.journal.entries() if lines[0]["kind"] == "recovery"]
    assert begun[-1]["facts"]["stop"] == "noon, or so"


def test_an_integrity_error_of_an_application_is_not_a_lost_late_file(
    plan, copy, site, monkeypatch
):
    """The copy stays what it is."""

    def analyze(self, *_, **words):
        raise IntegrityError("the header of a log is broken")

    monkeypatch.setattr(type(site.exchange.application), "analyze", analyze)
    with pytest.raises(IntegrityError, match="header of a log"):
        plan(copy)
    assert site.frs.copy(copy.id).verdict is Verdict.VERIFIED


def test_a_log_volume_that_went_away_refuses_a_roll_forward(plan, copy, monkeypatch):
    """P-07, and not a foreign error."""

    def lost_logs(*_):
        raise VolumeNotFound("L: is not mounted")

    monkeypatch.setattr("frskit.frs.recovery.planning.lost_logs", lost_logs)
    condition, text = refused(plan, copy, FORWARD)
    assert condition == "P-07"
    assert "L: is not mounted" in text


def test_the_former_name_of_a_component_is_still_understood(site, copy):
    """With a warning, and not beside the new one."""
    with pytest.warns(DeprecationWarning, match="'group' is now 'component'"):
        plan = site.frs.plan_recovery(copy.id, mode=PIT, group="sg1")
    assert plan.component == "sg1"
    with (
        pytest.warns(DeprecationWarning, match="group"),
        pytest.raises(UsageError, match="not both"),
    ):
        site.frs.plan_recovery(copy.id, mode=PIT, group="sg1", component="sg1")


def test_the_second_of_two_components_is_analyzed_as_well():
    """What frskit knows to be lost is looked up for the component that was asked for."""
    with frskit.lab(seed=4, groups=2) as lab:
        copy = lab.frs.create_copy("evs1", ["sg2"], backup_type=BackupType.FULL)
        found = lab.frs.analyze_logs("evs1", "sg2", copy=copy.id)
    assert {each.verdict for each in found} <= {LogVerdict.CLEAN, LogVerdict.OK}
    assert len(found) == 2


def test_a_copy_that_needs_its_source_is_warned_of_by_the_plan(site):
    """A snapshot cannot take the place of what it depends on."""
    warned = site.frs.plan_copy("evs1", ["sg1"], backup_type=BackupType.FULL, kind="snapshot")
    plain = site.frs.plan_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    assert any("only a snapclone" in each for each in warned.warnings)
    assert not any("only a snapclone" in each for each in plain.warnings)


def test_a_service_whose_sets_stay_where_they_are_is_refused(site, monkeypatch):
    """Before anybody is disturbed: the check is made on another server."""
    service = type(site.parties.services[0])
    able = evolve(site.parties.services[0].capabilities, transportable=False)
    monkeypatch.setattr(service, "capabilities", able)
    with pytest.raises(UsageError, match="sets for another server"):
        site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
