"""The laws of one copy: order, silence while frozen, durable verdict first, failures told."""

from __future__ import annotations

import pytest
from attrs import evolve
from support.labs import closed_logs

import frskit
from frskit import BackupType, Completion, CopyKind, CopyLife, Policy, Verdict
from frskit.clock import Budget, CancelToken
from frskit.errors import (
    Cancelled,
    ConfigurationError,
    CopyConflict,
    FreezeTimeout,
    HoldTimeout,
    IntegrityError,
    LimitExceeded,
    NormalizationFailed,
    NormalizationTimeout,
    OutcomeUnknown,
    StorageGroupNotRecognized,
    TimedOut,
    UsageError,
    WriterError,
)
from frskit.events import CallableSink, CopyStage, Progress, ServiceTrace, Warned
from frskit.frs.requestor import FastRecovery
from frskit.frs.state.journal import JournalOperation
from frskit.model.copies import CopyFilter
from frskit.model.ids import CopyKey
from frskit.model.storage import ReadOnlyScope

FULL = BackupType.FULL


@pytest.fixture
def site():
    """A lab with some mail and a few closed log generations."""
    with frskit.lab(seed=8) as made:
        made.deliver("evs1", "sg1", messages=30)
        made.exchange.group("sg1").roll()
        made.deliver("evs1", "sg1", messages=10)
        yield made


def log_names(site):
    """Names of production's closed logs."""
    return set(closed_logs(site))


def events_of(site):
    """A list that fills with the site's events."""
    found = []
    site.frs.subscribe(CallableSink(found.append))
    return found


@pytest.mark.rule("FRS-01", "FRS-04", "FRS-10")
def test_stages_come_in_the_order_of_the_flow(site):
    """Planned, created, imported, normalized, checked, verified, completed, parked: in this order."""
    events = events_of(site)
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    stages = [each.stage for each in events if isinstance(each, CopyStage)]
    assert stages == [
        "requested",
        "planned",
        "created",
        "imported",
        "normalizing",
        "normalized",
        "checking",
        "verified",
        "completed",
        "parked",
    ]
    assert (copy.life, copy.verdict, copy.completion) == (
        CopyLife.PARKED,
        Verdict.VERIFIED,
        Completion.DONE,
    )
    assert len({member.storage for member in copy.members}) == 3


@pytest.mark.rule("FRS-02", "FRS-03", "VSS-04", "VSS-05")
def test_the_trace_shows_flush_and_hold_around_the_commit(site):
    """Freeze, hold, one commit, release, thaw; the array copied inside the hold."""
    events = events_of(site)
    site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    steps = [each.step for each in events if isinstance(each, ServiceTrace)]
    wanted = ["Freeze", "HoldWrites", "CommitSnapshots", "ReleaseWrites", "Thaw"]
    places = [steps.index(step) for step in wanted]
    assert places == sorted(places)
    assert steps.count("CommitSnapshots") == 1


@pytest.mark.rule("HAZ-19")
def test_a_catalog_on_a_volume_of_the_set_is_refused(tmp_path, monkeypatch):
    """If the state directory would be frozen too, nobody is disturbed and nothing is copied."""
    with frskit.lab(tmp_path / "lab", seed=8) as site:
        server = site.parties.production
        real = server.resolve
        monkeypatch.setattr(
            server,
            "resolve",
            lambda path: real("L:\\x" if path.startswith(str(tmp_path)) else path),
        )
        events = events_of(site)
        with pytest.raises(ConfigurationError):
            site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
        steps = [each.step for each in events if isinstance(each, ServiceTrace)]
        assert "Freeze" not in steps
        assert site.eva.copies() == ()
        monkeypatch.undo()
        assert site.frs.create_copy("evs1", ["sg1"], backup_type=FULL).recoverable


def test_silence_between_freeze_and_thaw(site, monkeypatch):
    """While a writer is frozen: no journal line, no catalog write, no subscriber is called."""
    group = site.exchange.group("sg1")
    noise = []

    def frozen():
        engine = group._engine
        return engine is not None and engine.is_frozen

    def watch(party, name):
        real = getattr(party, name)

        def call(*args, **kwargs):
            if frozen():
                noise.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(party, name, call)

    seen = []
    monkeypatch.setattr(
        site.eva,
        "commit_copies",
        lambda *a, _real=site.eva.commit_copies, **k: (seen.append(frozen()), _real(*a, **k))[1],
    )
    watch(JournalOperation, "write")
    put = type(site.parts.catalog).put
    monkeypatch.setattr(
        type(site.parts.catalog),
        "put",
        lambda self, copy: (noise.append("put") if frozen() else None, put(self, copy))[1],
    )
    site.frs.subscribe(CallableSink(lambda _: noise.append("event") if frozen() else None))
    site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    assert seen == [True], "the commit happens while the group is frozen"
    assert noise == []


@pytest.mark.rule("FRS-09", "EXC-33")
def test_verified_is_durable_before_the_writer_hears_of_success(site, monkeypatch):
    """At BackupComplete the catalog already says VERIFIED, and no log has been deleted yet."""
    before = log_names(site)
    seen = []
    real = site.exchange.writer.backup_complete

    def complete(session, *, budget):
        (copy,) = site.frs.parts.catalog.find(CopyFilter())
        seen.append((copy.verdict, copy.completion, before <= log_names(site)))
        before.update(log_names(site))
        return real(session, budget=budget)

    monkeypatch.setattr(site.exchange.writer, "backup_complete", complete)
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    assert seen == [(Verdict.VERIFIED, Completion.NONE, True)]
    gone = {name for each in copy.truncated for name in each.files}
    assert gone
    assert before - log_names(site) == gone


@pytest.mark.rule("FRS-54")
def test_without_a_check_nothing_is_truncated_and_recovery_refuses(site):
    """--no-check: UNVERIFIED, logs as before, the writer is free again, no recovery by default."""
    before = log_names(site)
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL, check=False)
    assert (copy.verdict, copy.completion) == (Verdict.UNVERIFIED, Completion.NONE)
    assert before <= log_names(site)
    assert not copy.recoverable
    assert site.frs.create_copy("evs1", ["sg1"], backup_type=FULL).recoverable


@pytest.mark.rule("EXC-34")
def test_a_copy_backup_truncates_nothing(site):
    """Type COPY: verified and completed, and every log is still there."""
    before = log_names(site)
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.COPY)
    assert (copy.verdict, copy.completion) == (Verdict.VERIFIED, Completion.DONE)
    assert before <= log_names(site)


@pytest.mark.rule("FRS-07")
def test_the_check_waits_for_normalization_and_gives_up_in_time():
    """No page is checked before the last member is independent; late = exit 6, set deleted."""
    with frskit.lab(
        seed=8, policy=Policy(normalization_timeout_s=10, normalization_poll_s=5)
    ) as site:
        site.deliver("evs1", "sg1", messages=30)
        events = events_of(site)
        before = log_names(site)
        with pytest.raises(NormalizationTimeout) as caught:
            site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
        assert caught.value.exit_status == 6
        assert caught.value.retryable
        assert site.eva.copies() == ()
        assert before <= log_names(site)
        assert not [
            each for each in events if isinstance(each, Progress) and each.operation == "check"
        ]
        assert caught.value.copy.completion is Completion.FAILED
    with frskit.lab(seed=8) as site:
        site.deliver("evs1", "sg1", messages=30)
        real = site.parties.checker.check

        def check(target, **kwargs):
            assert all(each.state.value == "independent" for each in site.eva.copies())
            return real(target, **kwargs)

        object.__setattr__(site.parties.checker, "check", check)
        assert site.frs.create_copy("evs1", ["sg1"], backup_type=FULL).recoverable


@pytest.mark.rule("FRS-13")
def test_a_lost_member_fails_the_copy(site, monkeypatch):
    """If the array loses one member while it normalizes, the whole set is unusable and goes."""
    real = site.parties.store.look
    monkeypatch.setattr(
        site.parties.store.__class__, "look", lambda self, **words: real(**words)[1:]
    )
    with pytest.raises(NormalizationFailed):
        site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    monkeypatch.undo()
    assert site.eva.copies() == ()


@pytest.mark.rule("FRS-50")
def test_cancelling_while_normalizing_cleans_up(site):
    """Cancel: nothing stays on the array, the writer is told failure, logs are kept."""
    token = CancelToken()

    def cancel(event):
        if isinstance(event, CopyStage) and event.stage == "normalizing":
            token.cancel()

    site.frs.subscribe(CallableSink(cancel))
    before = log_names(site)
    with pytest.raises(Cancelled) as caught:
        site.frs.create_copy(
            "evs1", ["sg1"], backup_type=FULL, budget=Budget.of(site.clock, token=token)
        )
    assert caught.value.exit_status == 12
    assert site.eva.copies() == ()
    assert before <= log_names(site)
    assert caught.value.copy.life is CopyLife.FAILED


def test_a_deadline_for_the_verdict_tells_the_writer_failure():
    """A verdict that comes too late is a failure; the writer hears it and keeps its logs."""
    with frskit.lab(seed=8, policy=Policy(verdict_deadline_s=5)) as site:
        site.deliver("evs1", "sg1", messages=30)
        with pytest.raises(TimedOut) as caught:
            site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
        assert caught.value.copy.completion is Completion.FAILED
        assert site.eva.copies() == ()


@pytest.mark.rule("HAZ-20")
@pytest.mark.parametrize(
    ("error", "completion"),
    [(OutcomeUnknown("lost", key="k"), Completion.UNKNOWN), (WriterError("no"), Completion.FAILED)],
)
def test_a_lost_completion_leaves_a_verified_copy(site, monkeypatch, error, completion):
    """BackupComplete fails or is lost: VERIFIED stays, completion says so, nothing is invented."""
    from frskit.vss.session import EngineSession

    monkeypatch.setattr(EngineSession, "complete", lambda *a, **k: (_ for _ in ()).throw(error))
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    assert (copy.verdict, copy.completion, copy.life) == (
        Verdict.VERIFIED,
        completion,
        CopyLife.PARKED,
    )
    assert not any(each.count for each in copy.truncated)
    assert copy.recoverable
    # The reason is on the record, and the copy is as good as before.
    assert str(error) in copy.failure
    assert str(error) in site.frs.copy(copy.id).failure


def test_a_writer_that_fails_at_the_outcome_is_named_on_the_record(site, monkeypatch):
    """Its own words, not a mere 'failed'."""
    writer = type(site.exchange.writer)

    def complete(self, session, *, budget):
        raise WriterError("the disk of the logs is gone")

    monkeypatch.setattr(writer, "backup_complete", complete)
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    assert (copy.verdict, copy.completion) == (Verdict.VERIFIED, Completion.FAILED)
    assert "the disk of the logs is gone" in copy.failure


@pytest.mark.rule("FRS-44")
def test_a_second_copy_while_the_first_normalizes_is_refused(site):
    """The array refuses a clone of a source that is being cloned; a retry later succeeds."""
    token = []

    def second(event):
        if isinstance(event, CopyStage) and event.stage == "normalizing" and not token:
            token.append(1)
            from frskit.model.storage import CopyRequest

            source = next(iter(site.parties.production_luns()))
            with pytest.raises(CopyConflict):
                site.eva.stage_copies(
                    [CopyRequest(source=source, kind=CopyKind.SNAPCLONE, name="x")],
                    key=CopyKey("other"),
                    budget=Budget.of(site.clock),
                )

    site.frs.subscribe(CallableSink(second))
    site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    assert token


@pytest.mark.rule("FRS-41", "FRS-20")
def test_unknown_names_are_told_before_anything_happens(site):
    """A wrong group, an empty list, a wrong server: typed errors, nothing on the array."""
    with pytest.raises(StorageGroupNotRecognized):
        site.frs.create_copy("evs1", ["nope"], backup_type=FULL)
    with pytest.raises(UsageError):
        site.frs.create_copy("evs1", [], backup_type=FULL)
    with pytest.raises(frskit.errors.ServerNotFound):
        site.frs.create_copy("nope", ["sg1"], backup_type=FULL)
    assert site.eva.copies() == ()


@pytest.mark.rule("FRS-46")
def test_a_missing_checker_is_found_before_the_freeze(site):
    """No checker on the recovery server: refused, unless an unverified copy is asked for."""
    object.__setattr__(site.parties.checker, "available", lambda server: False)
    events = events_of(site)
    with pytest.raises(UsageError):
        site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    assert not [each for each in events if isinstance(each, ServiceTrace) and each.step == "Freeze"]
    assert (
        site.frs.create_copy("evs1", ["sg1"], backup_type=FULL, check=False).life is CopyLife.PARKED
    )


@pytest.mark.rule("FRS-05")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("late_s", "error"), [(15, HoldTimeout), (25, (HoldTimeout, FreezeTimeout))]
)
def test_an_overrun_of_the_freeze_fails_cleanly(site, monkeypatch, late_s, error, after):
    """A commit that takes too long: retryable error, thawed, nothing on the array, retry works."""
    before, real = log_names(site), site.eva.commit_copies

    def late(*args, **kwargs):
        site.clock.sleep(0 if after else late_s)
        made = real(*args, **kwargs)
        site.clock.sleep(late_s if after else 0)
        return made

    monkeypatch.setattr(site.eva, "commit_copies", late)
    with pytest.raises(error) as caught:
        site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    monkeypatch.undo()
    assert caught.value.retryable
    assert not caught.value.leftovers
    assert site.eva.copies() == ()
    assert before <= log_names(site)
    site.deliver("evs1", "sg1", messages=1)
    assert site.frs.create_copy("evs1", ["sg1"], backup_type=FULL).recoverable


@pytest.mark.rule("HAZ-04")
def test_a_verdict_decays_when_the_array_loses_a_member(site):
    """A verified copy whose LUN is gone is listed as decayed and refused for recovery."""
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    site.eva.delete_storage(copy.members[0].storage, budget=Budget.of(site.clock))
    (listed,) = site.frs.copies()
    assert listed.verdict is Verdict.DECAYED
    with pytest.raises(frskit.errors.RecoveryPrecondition):
        site.frs.plan_recovery(copy.id, mode=frskit.RecoveryMode.POINT_IN_TIME)


def test_a_copy_in_the_background_can_be_waited_for(site):
    """start_copy returns at once; wait gives the finished copy."""
    operation = site.frs.start_copy("evs1", ["sg1"], backup_type=FULL)
    assert operation.wait(60).recoverable
    assert operation.status().id == operation.id


def test_planning_a_copy_changes_nothing(site):
    """A plan names volumes and LUNs; the array, the writer and the catalog are as before."""
    plan = site.frs.plan_copy("evs1", ["sg1"], backup_type=FULL)
    assert [point for _, point in plan.volumes] == ["L:\\", "M:\\", "P:\\"]
    assert site.eva.copies() == ()
    assert site.frs.copies() == ()
    assert not [each for each in events_of(site) if isinstance(each, Warned)]
    assert site.frs.create_copy("evs1", ["sg1"], backup_type=FULL).recoverable


class Saying:
    """A copy store over an array that says this of itself."""

    def __init__(self, store, **words):
        self._store = store
        self.capabilities = evolve(store.capabilities, **words)

    def __getattr__(self, name):
        return getattr(self._store, name)


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        ({}, None),
        ({"estimate_commit_s": 9.0}, None),
        ({"estimate_commit_s": 12.0}, "12.0 s"),
        ({"read_only": ReadOnlyScope.STORAGE}, None),
        ({"read_only": ReadOnlyScope.NONE}, "frs1 mounts it read-only"),
    ],
)
def test_a_plan_says_what_the_array_cannot(site, words, warning):
    """An instant longer than the hold, and who keeps programs from writing a read-only copy."""
    parts = site.frs.parts
    (name, production), *_ = parts.productions.items()
    told = evolve(production, store=Saying(production.store, **words))
    requestor = FastRecovery(evolve(parts, productions={name: told}))
    plan = requestor.plan_copy("evs1", ["sg1"], backup_type=FULL)
    assert [warning in each for each in plan.warnings] == ([True] if warning else [])


def test_an_instant_longer_than_the_hold_freezes_nobody(site):
    """The array's estimate is known after staging: refused, typed, and the writer goes on."""
    site.eva._capabilities = evolve(site.eva.capabilities, estimate_commit_s=30.0)
    events = events_of(site)
    with pytest.raises(LimitExceeded) as caught:
        site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    assert (caught.value.context["estimate_s"], bool(caught.value.hint)) == (30.0, True)
    steps = [each.step for each in events if isinstance(each, ServiceTrace)]
    assert "EndPrepareSnapshots" in steps
    assert "Freeze" not in steps
    assert site.eva.copies() == ()


@pytest.mark.rule("FRS-08")
def test_a_lost_tail_fails_the_copy_although_every_checksum_is_right(site):
    """A store that ends before its last owned page does not pass; logs are kept."""
    group = site.exchange.group("sg1")
    group.idle()
    place = site.parties.production.resolve("M:\\exchsrvr\\sg1\\mbx-sg1.edb")
    with site.parties.production.files(place.volume).edit(place.path) as file:
        file.truncate(file.size_bytes - 16 * 4096)
        file.sync()
    before = log_names(site)
    with pytest.raises(IntegrityError) as caught:
        site.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    assert "before the end of what it owns" in str(caught.value)
    assert before <= log_names(site)
