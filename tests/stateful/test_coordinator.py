"""Random backups with random faults: whatever happens, nobody stays frozen and nothing is left."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.examples import examples

from frskit.errors import (
    CopyConflict,
    FrskitError,
    InsufficientCapacity,
    OutcomeUnknown,
    SnapshotSetInProgress,
    TimedOut,
    WriterVeto,
)
from frskit.model.components import WriterFailure
from frskit.model.shadows import ShadowDocuments
from frskit.model.storage import CopyKind
from frskit.testing.fakes.site import SmallSite

pytestmark = [pytest.mark.histories, pytest.mark.faults]

EVENTS = (
    "identify",
    "prepare_backup",
    "prepare_snapshot",
    "freeze",
    "freeze!",
    "thaw",
    "thaw!",
    "post_snapshot",
    "backup_complete",
    "backup_complete!",
    "backup_shutdown",
    "abort",
    "pre_restore",
    "post_restore",
)
STEPS = [
    *(f"{writer}.{event}" for writer in ("writer-1", "writer-2") for event in EVENTS),
    *(
        f"array.{call}{after}"
        for call in (
            "stage_copies",
            "commit_copies",
            "delete_storage",
            "present",
            "unpresent",
        )
        for after in ("", "!")
    ),
    "array.copies",
    "array.discard_staged",
    *(f"{server}.{call}" for server in ("evs1", "frs1") for call in ("rescan", "detach")),
    *(f"evs1.{call}" for call in ("hold", "hold!", "release", "mark", "mark!", "clear", "clear!")),
]


class Interrupt(KeyboardInterrupt):
    """Somebody pressed Control-C."""


FAULTS = {
    "veto": lambda: WriterVeto("no", native=WriterFailure.RETRYABLE.value),
    "refusal": lambda: CopyConflict("no"),
    "full": lambda: InsufficientCapacity("full"),
    "lost": lambda: OutcomeUnknown("lost", key="k"),
    "late": lambda: TimedOut("late"),
    "bug": lambda: RuntimeError("oops"),
    "interrupt": Interrupt,
}


class Backups(RuleBasedStateMachine):
    """Sessions come and go; parties fail at random; a list of promises is always kept."""

    @initialize()
    def start(self):
        self.site = SmallSite()
        self.number = 0
        self.open = []
        self.kept = {}  # storage -> why it may exist
        self.imported = {}
        self.ever = set()
        self.created = []

    def new_key(self):
        self.number += 1
        return f"{self.number:08d}-1111-4111-8111-111111111111"

    @rule(step=st.sampled_from(STEPS), fault=st.sampled_from(sorted(FAULTS)))
    def something_will_fail(self, step, fault):
        self.site.script.on(step, FAULTS[fault]())

    @rule(step=st.sampled_from(STEPS), seconds=st.sampled_from([1.0, 5.0, 9.0, 11.0, 25.0, 70.0]))
    def something_will_be_slow(self, step, seconds):
        self.site.script.on(step, lambda: self.site.clock.advance(seconds))

    @rule(
        names=st.sampled_from([(), ("writer-1-0",), ("writer-1-1", "writer-2-0"), ("writer-2-0",)]),
        kind=st.sampled_from([None, *CopyKind]),
        transportable=st.booleans(),
        persistent=st.booleans(),
        stay=st.booleans(),
        verdict=st.sampled_from(["good", "bad", "none"]),
    )
    def backup(self, names, kind, transportable, persistent, stay, verdict):
        key = self.new_key()
        site = self.site
        session = site.service.session(
            site.request(
                *names, key=key, kind=kind, transportable=transportable, persistent=persistent
            )
        )
        made = None
        begin = len(site.script.steps)
        try:
            session.__enter__()
            made = session.create(budget=site.budget())
            if not stay and verdict != "none":
                explicit = [each.id for each in session.plan(budget=site.budget()).explicit]
                session.complete(dict.fromkeys(explicit, verdict == "good"), budget=site.budget())
        except (FrskitError, RuntimeError, Interrupt) as error:
            self.note(error, made)
        if made is not None:
            stays = transportable or persistent or stay
            self.kept.update({each.storage: key for each in made.shadows} if stays else {})
            self.created.append((made, transportable))
            self.check_windows(site.script.steps[begin:], made)
        if stay:
            self.open.append((session, key, transportable, persistent))
        else:
            self.leave(session, key, transportable, persistent)

    def check_windows(self, steps, made):
        """A set that is reported was never held or frozen for too long."""
        assert made.hold_s <= 10.0
        for each in self.site.writers:
            assert made.freeze_s < 60.0
            assert f"{each.name}.abort" not in steps or "backup_complete" not in steps

    def note(self, error, made):
        """What an error named as left behind may exist."""
        named = " ".join(
            [*getattr(error, "leftovers", ()), *getattr(error, "__notes__", ()), str(error)]
        )
        cause = error.__cause__
        named += " ".join(getattr(cause, "leftovers", ())) if cause else ""
        named += " ".join(getattr(each, "text", "") for each in self.site.sink.others)
        known = {each.storage for made_set, _ in self.created for each in made_set.shadows}
        for storage in self.site.copies():
            lun = self.site.array.luns[storage]
            if storage in self.kept or storage in known or made is not None:
                continue
            assert lun.name in named or str(lun.copy.key) in named or storage in named, (
                f"{storage} {lun.name} is left and not named in {named!r}"
            )
            self.kept[storage] = "named"

    def leave(self, session, key, transportable, persistent):
        with contextlib.suppress(Interrupt):
            session.abandon()
        if not transportable and not persistent:
            listed = {each.storage for each in self.site.service.shadows(budget=self.site.budget())}
            for storage in [each for each, why in self.kept.items() if why == key]:
                if storage not in listed:
                    self.kept.pop(storage)
                    if storage in self.site.copies():
                        # Its record is gone only if the interrupt came after the deletion.
                        self.kept[storage] = "interrupted"

    @rule()
    def end_a_session(self):
        if self.open:
            self.leave(*self.open.pop(0))

    @rule()
    def import_a_set(self):
        for made, transportable in self.created:
            if transportable and made.id not in self.ever:
                documents = ShadowDocuments(backup_components=made.documents.backup_components)
                try:
                    self.site.far.import_set(documents, budget=self.site.budget())
                    self.imported[made.id] = made
                    self.ever.add(made.id)
                except (FrskitError, RuntimeError, Interrupt) as error:
                    shown = {
                        each.storage
                        for each in self.site.array.presentations()
                        if each.host == "frs1"
                    } & {each.storage for each in made.shadows}
                    if isinstance(error, FrskitError) and error.exit_status == 4:
                        assert shown <= set(error.context.get("presented", ())), (shown, error)
                return

    @rule(how=st.sampled_from(["break", "delete"]))
    def end_an_import(self, how):
        if not self.imported:
            return
        key = next(iter(self.imported))
        budget = self.site.budget()
        try:
            if how == "break":
                self.site.far.break_set(key, budget=budget)
            else:
                self.site.far.delete_set(key, budget=budget)
                for each in self.imported[key].shadows:
                    assert each.storage not in self.site.copies()
        except (FrskitError, RuntimeError, Interrupt):
            return
        self.imported.pop(key)
        assert key not in {each.set_id for each in self.site.far.shadows(budget=self.site.budget())}

    @rule()
    def second_set_is_refused(self):
        """While a set is open no second one can be; nothing else remembers the attempt."""
        faults = dict(self.site.script.faults)
        self.site.script.faults.clear()
        keys = (self.new_key(), self.new_key())
        with (
            self.site.service.session(self.site.request(key=keys[0])) as one,
            self.site.service.session(self.site.request(key=keys[1])) as two,
        ):
            one.plan(budget=self.site.budget())
            two.plan(budget=self.site.budget())
            one.components.start_snapshot_set()
            with pytest.raises(SnapshotSetInProgress):
                two.components.start_snapshot_set()
        self.site.script.faults.update(faults)

    @rule()
    def good_backup_works(self):
        """Whatever went wrong before, a backup without faults succeeds."""
        self.site.script.faults.clear()
        while self.open:
            self.leave(*self.open.pop())
        with self.site.service.session(self.site.request(key=self.new_key())) as session:
            made = session.create(budget=self.site.budget())
            self.kept.update({each.storage: "good" for each in made.shadows})
            explicit = [each.id for each in session.plan(budget=self.site.budget()).explicit]
            report = session.complete(dict.fromkeys(explicit, True), budget=self.site.budget())
        assert report.completed
        self.created.append((made, True))

    @invariant()
    def nobody_is_frozen_and_nothing_is_held(self):
        """VSS-07, VSS-44: whatever failed, the application writes."""
        if not hasattr(self, "site"):
            return
        calm = [each for each in self.site.unrest() if "flags" not in each and "staged" not in each]
        assert calm == []

    @invariant()
    def flags_are_back_unless_the_server_refused(self):
        """The originals have their flags back; only a failing server or array can keep them."""
        if not hasattr(self, "site"):
            return
        if any("flags" in each for each in self.site.unrest()):
            assert self.site.service.engine.records.sets(), "lost flags without a record"

    @invariant()
    def copies_are_accounted_for(self):
        """VSS-30: a copy that exists was created, is on record, or was named as left behind."""
        if not hasattr(self, "site"):
            return
        recorded = {
            member.shadow.storage
            for record in self.site.service.engine.records.sets()
            for member in record.members
        }
        for storage in self.site.copies():
            assert storage in self.kept or storage in recorded, storage

    @invariant()
    def events_are_in_order(self):
        """VSS-09, VSS-10, per writer and session: complete never after abort, shutdown last, once."""
        if not hasattr(self, "site"):
            return
        for writer in self.site.writers:
            by_session = {}
            for event, session in writer.sessions:
                by_session.setdefault(session.session_id, []).append(event)
            for events in by_session.values():
                assert events.count("backup_shutdown") <= 1
                if "backup_shutdown" in events:
                    assert events[-1] == "backup_shutdown"
                if "abort" in events:
                    assert "backup_complete" not in events[events.index("abort") :]
                assert events.count("freeze") <= 1
                assert events.count("thaw") <= 1
                if "thaw" in events:
                    assert events.index("freeze") < events.index("thaw")
                if "freeze" in events:
                    assert "thaw" in events or "abort" in events

    def teardown(self):
        """VSS-09: when all sessions are over every writer that was told has heard the end."""
        if not hasattr(self, "site"):
            return
        self.site.script.faults.clear()
        while self.open:
            self.leave(*self.open.pop())
        for writer in self.site.writers:
            told = {each.session_id for event, each in writer.sessions if event == "prepare_backup"}
            ended = {
                each.session_id for event, each in writer.sessions if event == "backup_shutdown"
            }
            assert told == ended


TestBackups = pytest.mark.rule("VSS-07", "VSS-09", "VSS-10", "VSS-19", "VSS-30", "VSS-44")(
    Backups.TestCase
)
TestBackups.settings = settings(max_examples=examples(150), stateful_step_count=25, deadline=None)
