"""What happens when a party fails at any step: thawed, nothing left, and told the truth."""

from __future__ import annotations

import pytest

from frskit.errors import (
    ArrayError,
    Cancelled,
    CopyConflict,
    FreezeTimeout,
    FrskitError,
    HoldTimeout,
    InsufficientCapacity,
    OutcomeUnknown,
    ProviderError,
    ProviderVeto,
    SnapshotSetInProgress,
    TimedOut,
    WriterVeto,
)
from frskit.model.components import WriterFailure, WriterState
from frskit.model.shadows import ProviderInfo, ProviderKind
from frskit.testing.fakes.hardware import SmallArray
from frskit.vss import ArrayProvider

pytestmark = pytest.mark.faults

VETO = WriterVeto("no", native=WriterFailure.RETRYABLE.value)


def attempt(site, **options):
    """One backup in a session; the error it ended with, or None."""
    try:
        with site.service.session(site.request(**options)) as session:
            session.create(budget=site.budget())
    except BaseException as error:  # noqa: BLE001  # whatever comes out is what is looked at
        return error
    return None


def check_promises(site):
    """Whatever happened: nobody frozen, everybody told the end, exactly once."""
    assert site.unrest() == []
    for writer in site.writers:
        events = site.script.of(writer.name)
        told = "prepare_backup" in events
        assert events.count("backup_shutdown") == (1 if told else 0)
        if told:
            assert [each for each in events if each != "identify"][-1] == "backup_shutdown"
        assert events.count("thaw") <= 1
        if "freeze" in events:
            assert "thaw" in events or "abort" in events
        if "abort" in events:
            assert "backup_complete" not in events


def step_names(make_site):
    """Every step of a good backup of small parties, before and after its effect."""
    site = make_site()
    assert attempt(site) is None
    names = dict.fromkeys(
        step
        for step in site.script.steps
        if not step.startswith("event.") and not step.endswith(("identify", ".abort", "shutdown"))
    )
    return [each for name in names for each in (name, name + "!")]


def errors_for(step):
    """What this party may plausibly raise."""
    if step.startswith("writer"):
        return [VETO, RuntimeError("boom"), KeyboardInterrupt()]
    if step.startswith("array"):
        return [
            CopyConflict("no"),
            TimedOut("late"),
            OutcomeUnknown("who knows", key="k"),
            RuntimeError("boom"),
            KeyboardInterrupt(),
        ]
    return [FrskitError("no"), KeyboardInterrupt()]


@pytest.mark.rule("VSS-07", "VSS-09", "VSS-10", "VSS-30", "HAZ-09")
def test_fault_sweep(make_site):
    """One fault of any kind at any step, before or after its effect, leaves nothing behind.

    Afterwards the next backup works, so nothing is stuck.
    """
    failed = 0
    for step in step_names(make_site):
        for error in errors_for(step):
            site = make_site()
            site.script.on(step, error)
            ended = attempt(site)
            where = f"{step}: {error!r} -> {ended!r}"
            if step in site.script.faults:
                assert ended is None, where
                continue
            failed += 1
            check_promises(site)
            cleaning = step.startswith(("array.discard", "array.copies"))
            if isinstance(error, KeyboardInterrupt):
                assert isinstance(ended, KeyboardInterrupt), where
            elif not cleaning:
                assert isinstance(ended, FrskitError), where
            assert site.copies() == [], where
            assert getattr(ended, "leftovers", ()) == (), where
            site.script.faults.clear()
            assert attempt(site, key="11111111-1111-4111-8111-111111111111") is None, where
    assert failed > 60


@pytest.mark.rule("VSS-07", "VSS-37")
def test_freeze_veto_aborts_everybody(site):
    """After a veto at Freeze every writer of the session gets Abort, and nobody a Thaw."""
    site.script.on("writer-2.freeze", VETO)
    error = attempt(site)
    assert isinstance(error, WriterVeto)
    assert (error.native, error.retryable) == (WriterFailure.RETRYABLE.value, True)
    assert error.context["writer"] == "writer-2"
    for name in ("writer-1", "writer-2"):
        assert "abort" in site.script.of(name)
        assert "thaw" not in site.script.of(name)
    assert "array.commit_copies" not in site.script.steps


@pytest.mark.rule("VSS-37", "VSS-01")
@pytest.mark.parametrize("event", ["prepare_snapshot", "post_snapshot"])
def test_vetoes_without_abort(site, event):
    """A veto at PrepareForSnapshot or PostSnapshot brings no Abort by itself."""
    site.script.on(f"writer-1.{event}", VETO)
    with site.service.session(site.request()) as session:
        session.plan(budget=site.budget())
        components = session.components
        components.start_snapshot_set()
        components.add_to_snapshot_set("L:\\")
        components.add_to_snapshot_set("M:\\")
        components.prepare_for_backup()
        with pytest.raises(WriterVeto):
            components.do_snapshot_set(stop_at_veto=True)
        assert "abort" not in site.script.of("writer-1") + site.script.of("writer-2")
        if event == "prepare_snapshot":
            assert "writer-2.freeze" not in site.script.steps
        components.abort_backup()
        assert site.script.of("writer-1").count("abort") == 1
    check_promises(site)
    assert site.copies() == []


@pytest.mark.rule("VSS-42", "VSS-43")
def test_shortest_window_governs(site):
    """The writer with 20 s is aborted after 21 s although the other has 60 s."""
    site.script.on("array.commit_copies", lambda: site.clock.advance(9.0))
    site.script.on("writer-2.freeze!", lambda: site.clock.advance(12.0))
    error = attempt(site)
    assert isinstance(error, FreezeTimeout)
    assert error.context["writer"] == "writer-1"
    assert error.context["window_s"] == 20.0
    assert (error.native, error.retryable) == (WriterFailure.TIMEOUT.value, True)
    status = site.service.writer_states(budget=site.budget())[0]
    assert status.state is WriterState.FAILED_AT_FREEZE
    assert status.failure == WriterFailure.TIMEOUT.value
    assert "abort" in site.script.of("writer-1")
    assert site.copies() == []


@pytest.mark.rule("VSS-42", "R-7")
@pytest.mark.parametrize(("seconds", "fine"), [(19.999, True), (20.0, False)])
def test_tie_counts_as_exceeded(site, seconds, fine):
    """At exactly the window's length the writer has released itself: no thaw, a timeout."""
    site.script.on("writer-2.freeze!", lambda: site.clock.advance(seconds))
    error = attempt(site)
    assert (error is None) is fine
    assert isinstance(error, FreezeTimeout) is not fine
    assert ("thaw" in site.script.of("writer-1")) is fine


@pytest.mark.rule("VSS-42")
def test_window_passes_during_thaw(site):
    """A slow thaw of one writer can cost another its window; it gets Abort instead of Thaw."""
    site.script.on("writer-2.thaw!", lambda: site.clock.advance(25.0))
    error = attempt(site)
    assert isinstance(error, FreezeTimeout)
    assert site.script.of("writer-1").count("thaw") == 0
    assert "abort" in site.script.of("writer-1")
    assert site.copies() == []


@pytest.mark.rule("VSS-44", "R-7")
def test_hold_timeout_is_another_error(site):
    """Writes held for more than 10 s: HoldTimeout, everybody aborted, nothing left."""
    site.script.on("array.commit_copies", lambda: site.clock.advance(10.5))
    error = attempt(site)
    assert isinstance(error, HoldTimeout)
    assert error.retryable
    row = next(row for row in site.sink.rows if row.step == "ReleaseWrites")
    assert row.outcome
    steps = site.script.steps
    assert steps.index("evs1.release") < steps.index("writer-1.abort") < steps.index("evs1.clear")
    assert site.copies() == []


def test_hold_is_judged_for_servers_that_only_measure(site):
    """The window is enforced even if the server does not raise at the end of the hold."""
    site.production.hold_writes = _patient(site)
    site.script.on("array.commit_copies", lambda: site.clock.advance(11.0))
    assert isinstance(attempt(site), HoldTimeout)
    assert site.copies() == []


def _patient(site):
    from contextlib import contextmanager

    class Held:
        held_s = 0.0

        def release(self):
            self.held_s = site.clock.monotonic() - begin_s[0]

    begin_s = [0.0]

    @contextmanager
    def hold(volumes, *, budget):
        begin_s[0] = site.clock.monotonic()
        held = Held()
        yield held
        held.release()

    return hold


@pytest.mark.rule("HAZ-09")
@pytest.mark.parametrize("step", ["array.commit_copies", "array.commit_copies!"])
@pytest.mark.parametrize("error", [OutcomeUnknown("lost", key="k"), TimedOut("late")])
def test_ambiguous_commit(site, step, error):
    """A lost answer inside the hold is a veto; what it made is looked for after the thaw."""
    site.script.on(step, error)
    assert attempt(site) is error
    steps = [each for each in site.script.steps if not each.startswith("event.")]
    released = steps.index("evs1.release")
    assert "array.copies" not in steps[:released]
    assert steps.index("writer-1.abort") < steps.index("array.copies")
    assert site.copies() == []
    assert error.leftovers == ()


@pytest.mark.rule("HAZ-10")
def test_late_effect_is_swept_twice(make_site):
    """A command that executes after the first look is found by the second one."""
    site = make_site(settle_s=120.0)
    site.script.on("array.commit_copies", OutcomeUnknown("lost", key="k"))
    budget = site.budget()

    def late():
        key = site.array.staged_keys()
        staged = site.array._staged[key[0]] if key else None
        site.late = staged

    site.script.on("array.discard_staged", late)
    real_sleep = site.clock.sleep

    def sleep(seconds):
        real_sleep(seconds)
        for request in site.late.requests:
            site.array._copy(site.late.key, request)

    site.clock.sleep = sleep
    error = attempt(site)
    assert isinstance(error, OutcomeUnknown)
    assert site.clock.monotonic() == 120.0
    assert site.copies() == []
    assert budget is not None


def test_what_cannot_be_removed_is_named(site):
    """If the array refuses to delete, the error names the copy by the name it has there."""

    def refuse():
        site.script.on("array.delete_storage", refuse_again)
        raise InsufficientCapacity("the array is not in the mood")

    def refuse_again():
        refuse()

    site.script.on("array.commit_copies!", OutcomeUnknown("lost", key="k"))
    site.script.on("array.delete_storage", refuse)
    error = attempt(site)
    assert isinstance(error, OutcomeUnknown)
    names = [site.array.luns[each].name for each in site.copies()]
    assert len(names) == 2
    for name in names:
        assert any(name in text for text in error.leftovers)
    assert site.unrest() == []
    assert site.memory, "the half-made set stays on record for a later recover()"
    site.script.faults.clear()
    again = site.coordinator()
    assert again.recover(budget=site.budget()) == ()
    assert site.copies() == []
    assert site.memory == {}


@pytest.mark.rule("VSS-29")
def test_unexpected_provider_error(site):
    """An exception no provider may raise becomes an unexpected provider error, on record."""
    site.script.on("array.stage_copies", ZeroDivisionError("oops"))
    error = attempt(site)
    assert type(error) is ProviderError
    assert error.native == 0x8004230F
    assert error.context["method"] == "EndPrepareSnapshots"
    assert error.context["provider"] == site.provider.info.name
    assert "EndPrepareSnapshots" in site.sink.others[0].text


def test_array_errors_pass_as_they_are(site):
    """A typed error of the array reaches the caller unchanged."""
    wanted = InsufficientCapacity("full")
    site.script.on("array.stage_copies", wanted)
    assert attempt(site) is wanted
    assert isinstance(wanted, ArrayError)


@pytest.mark.rule("VSS-31")
def test_abort_snapshots_only_after_do_snapshot_set(site):
    """A set given up before DoSnapshotSet is not news for the provider."""
    with site.service.session(site.request()) as session:
        session.plan(budget=site.budget())
        session.components.start_snapshot_set()
        session.components.add_to_snapshot_set("L:\\")
        session.components.prepare_for_backup()
    assert "P AbortSnapshots" not in site.sink.steps()
    check_promises(site)


@pytest.mark.rule("VSS-30", "VSS-06")
@pytest.mark.parametrize("step", ["stage_copies", "commit_copies", "commit_copies!"])
def test_second_provider_fails(make_site, step):
    """One failure at the second of two providers leaves no copy on the first one either."""
    site = make_site()
    other = _second_array(site)
    site.script.on(f"other.{step}", CopyConflict("no"))
    assert isinstance(attempt(site), CopyConflict)
    assert site.copies() == []
    assert [each for each, lun in other.luns.items() if lun.copy] == []
    assert "P PostCommitSnapshots" not in site.sink.steps()
    check_promises(site)


@pytest.mark.rule("VSS-30", "VSS-32", "VSS-54")
def test_failure_after_post_commit_deletes_by_on_lun_empty(make_site):
    """Created copies of a failed set are deleted by OnLunEmpty, not by AbortSnapshots."""
    site = make_site()
    _second_array(site)
    site.script.on("writer-1.thaw", VETO)
    assert isinstance(attempt(site), WriterVeto)
    assert site.sink.steps().count("P OnLunEmpty") == 2
    assert site.copies() == []


def _second_array(site):
    """Move volume M: to an array of its own with a provider of its own."""
    other = SmallArray(site.script, ("mail2",), name="other")
    site.production._arrays = [*site.production._arrays, other]
    other.present("naa:mail2", site.production.host, read_only=False, budget=site.budget())
    site.production.mount("volume-mail", "M:\\", ("naa:mail2", 0, 1))
    site.production.rescan(budget=site.budget())
    site.service.register_provider(ArrayProvider(other, site.production.host, clock=site.clock))
    return other


@pytest.mark.rule("VSS-36")
def test_abort_is_idempotent(site):
    """AbortBackup with nothing under way, and a second time, is harmless."""
    session = site.service.session(site.request())
    with session:
        session.components.abort_backup()
        session.create(budget=site.budget())
        session.components.abort_backup()
        session.components.abort_backup()
        session.abandon()
        session.abandon()
    assert site.script.of("writer-1").count("abort") == 1
    assert site.script.of("writer-1").count("backup_shutdown") == 1


@pytest.mark.rule("VSS-19")
def test_one_set_at_a_time(site):
    """A second set is refused without side effect while one is open, and allowed afterwards."""
    seen = []

    def second():
        before = list(site.script.steps)
        with site.service.session(site.request(key="11111111-1111-4111-8111-111111111111")) as s:
            s.plan(budget=site.budget())
            try:
                s.components.start_snapshot_set()
            except SnapshotSetInProgress as error:
                seen.append(error)
        new = site.script.steps[len(before) :]
        own = [each for each in new if not each.startswith("event.")]
        assert all(each.endswith("identify") for each in own)

    site.script.on("array.stage_copies", second)
    assert attempt(site) is None
    assert [each.native for each in seen] == [0x80042316]
    assert seen[0].retryable
    assert attempt(site, key="22222222-2222-4222-8222-222222222222") is None


def test_cancel_before_the_freeze(site):
    """A cancelled budget is noticed before the first Freeze, and nothing was frozen."""
    from frskit.clock import Budget, CancelToken

    token = CancelToken()
    site.script.on("array.stage_copies!", token.cancel)
    with (
        pytest.raises(Cancelled),
        site.service.session(site.request()) as session,
    ):
        session.create(budget=Budget.of(site.clock, None, token))
    assert "writer-1.freeze" not in site.script.steps
    assert site.copies() == []
    check_promises(site)


def test_interrupt_while_cleaning_up_is_not_lost(site):
    """Control-C in an Abort handler still thaws everybody else, cleans up, and comes out."""
    site.script.on("array.commit_copies", CopyConflict("no"))
    site.script.on("writer-1.abort", KeyboardInterrupt())
    error = attempt(site)
    assert isinstance(error, KeyboardInterrupt)
    assert isinstance(error.__cause__, CopyConflict)
    check_promises(site)
    assert site.copies() == []


def test_provider_that_lies_about_its_targets(site):
    """A provider that names another number of targets than originals fails the set."""
    site.provider.get_target_luns = lambda luns: []
    error = attempt(site)
    assert isinstance(error, ProviderVeto)
    assert site.copies() == []


@pytest.mark.rule("VSS-28")
def test_provider_choice(site):
    """Hardware before software; an explicit id overrides; hardware must support every LUN."""

    class Soft(ArrayProvider):
        @property
        def info(self):
            return ProviderInfo(id="soft", name="soft", kind=ProviderKind.SOFTWARE)

    soft = Soft(site.array, site.production.host, clock=site.clock)
    providers = site.service.engine.providers
    providers.register(soft)
    providers._members.reverse()
    lun, _, _ = site.service.engine.extent(site.production.volumes()[0], "L:\\")
    assert providers.choose([lun], None, context=0, volume="L:") is site.provider
    assert providers.choose([lun], None, context=0, volume="L:", provider_id="soft") is soft
    site.provider.are_luns_supported = lambda luns, kind, *, context: False
    assert providers.choose([lun], None, context=0, volume="L:") is soft
    assert providers.info(soft).name == "soft"
    assert providers.dog(soft) is not providers.dog(site.provider)


@pytest.mark.rule("VSS-30")
def test_a_hold_cannot_swallow_why_a_commit_failed(site):
    """A server's context that says "handled" does not turn a refused commit into a copy."""
    hold = site.production.hold_writes

    class Swallowing:
        def __init__(self, inner):
            self._inner = inner

        def __enter__(self):
            return self._inner.__enter__()

        def __exit__(self, *words):
            self._inner.__exit__(*words)
            return True

    site.production.hold_writes = lambda volumes, budget: Swallowing(hold(volumes, budget=budget))
    site.script.on("array.commit_copies", ArrayError("the array is full"))
    error = attempt(site)
    assert "the array is full" in str(error)
    assert site.copies() == []
    assert site.unrest() == []
