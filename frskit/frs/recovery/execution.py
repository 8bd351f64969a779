"""Carrying a recovery plan out: every step journalled, every step with its undo.

The undo stack is unwound on any failure before the stores are mounted again; after that nothing is
undone any more, and what remains is finished here or by a resume. Replay is the first point of no
return of a swap: before its first write the copy is recorded as consumed, because the replay writes
into it. The old production LUNs are kept as *displaced* until somebody releases them. A recovery
by the array has its own earlier: `frskit.frs.recovery.array_restore`.

The caller's budget counts up to the first point of no return. Undo, and all that comes after that
point, has a budget of its own: that somebody's time is up must not leave production in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, NoReturn

from attrs import evolve

from frskit.clock import Budget
from frskit.errors import FrskitError, RecoveryFailed, RecoveryPrecondition
from frskit.events import RecoveryStage
from frskit.frs.late_collection import late_refs
from frskit.frs.recovery.array_restore import BackMember, PutBack, journal_facts
from frskit.frs.recovery.file_actions import (
    CopySource,
    LateOnly,
    action_facts,
    clear_stale,
    drop_undo,
    run_action,
)
from frskit.frs.recovery.interrupted import MOUNTED, release, settle
from frskit.frs.recovery.luns import hide, mount, mounted_storage, put_back, show
from frskit.frs.recovery.planning import make_plan, mounted, used_up
from frskit.frs.recovery.wish import RecoveryWish
from frskit.frs.recovery.writer_session import restore_session
from frskit.frs.state.journal_words import RECOVERING, Phase, RecoveryStep, RequestorOperation
from frskit.model.copies import CopyLife, MemberLife
from frskit.model.plans import OnlineReport, RecoveryMethod, RecoveryReport
from frskit.model.server_paths import same_path
from frskit.scopes import Releases, told

if TYPE_CHECKING:
    from frskit.frs.deployment import Parts, Production
    from frskit.frs.state.journal import JournalOperation
    from frskit.model.copies import Copy, CopyMember
    from frskit.model.ids import StorageId
    from frskit.model.plans import ComponentStatus, RecoveryPlan
    from frskit.protocols import CopyFiles, Server

__all__ = ["RecoveryRun"]


class RecoveryRun:
    """One run of one recovery plan."""

    def __init__(
        self,
        parts: Parts,
        plan: RecoveryPlan,
        budget: Budget,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._parts = parts
        self._plan = plan
        self._budget = budget
        self._closing = Budget.of(parts.clock)
        self._progress = progress or (lambda _done, _total: None)
        self._done = 0
        self._undo = Releases()
        self._overwritten = False  # the array has begun to copy back
        self._in_place = False  # it has ended, and production has its LUNs again
        self._displaced: list[tuple[CopyMember, StorageId]] = []
        self._online: OnlineReport | None = None
        self._said_failed = False

    def run(self) -> RecoveryReport:
        """Recover.

        Two phases with opposite duties: until the stores are up every step has its undo; from
        then on production runs on what was recovered, and whatever fails is finished by a resume.

        Raises:
            RecoveryPrecondition: The plan no longer holds; nothing was changed.
            RecoveryFailed: ``context["recovered"]`` says which phase failed. False: production is
                as before but for what `leftovers` names (``context["undone"]``: nothing). True:
                the stores are up on what was recovered, and a resume finishes the rest.
        """
        parts, plan = self._parts, self._plan
        production = parts.production(plan.server)
        self._budget.check("recovering")
        with parts.locks.hold(f"server-{plan.server}", "recovery"):
            copy = parts.catalog.get(plan.copy)
            self._still_holds(copy)
            before = production.application.status(plan.component, budget=self._budget)
            journal = parts.journal.begin(
                RequestorOperation.RECOVERY,
                plan.copy,
                component=plan.component,
                mode=plan.mode.value,
                **journal_facts(plan.method, plan.members, plan.file_actions),
                stop_kind=plan.target.stop_kind,
                stop=plan.target.stop,
            )
            try:
                self._progress(0, self._total())
                self._until_online(production, copy, journal, before)
            except BaseException as error:  # noqa: BLE001 - `_raise` raises it, or what it caused
                _raise(self._ended_by(error, production, journal), error)
            try:
                self._settle(production, copy, journal)
            except BaseException as error:  # noqa: BLE001 - the same
                _raise(self._not_settled(error), error)
        return self._report(before)

    def _ended_by(
        self, error: BaseException, production: Production, journal: JournalOperation
    ) -> BaseException:
        """Do what there is to do about a failure; the error to raise."""
        if self._online is not None:
            return self._not_settled(error)
        if self._overwritten:
            return self._past_return(error, production, journal)
        return self._undo_all(error, journal)

    def _no_return(self) -> None:
        """The first point of no return: from here on the caller's budget does not count."""
        self._budget = self._closing

    def _report(self, before: ComponentStatus) -> RecoveryReport:
        assert self._online is not None
        return RecoveryReport(
            plan=self._plan,
            before=before,
            after=self._online.status,
            replayed=self._online.replayed,
            displaced=tuple(storage for _, storage in self._displaced),
        )

    def _still_holds(self, copy: Copy) -> None:
        """A plan is refused if a new one would differ."""
        plan = self._plan
        fresh = make_plan(
            self._parts,
            copy,
            RecoveryWish(
                target=plan.target,
                method=plan.method,
                component=plan.component,
                accept_unverified=True,
            ),
            self._budget,
        )
        # Compared whole: to whatever differs nobody has agreed.
        if evolve(fresh, made_at=plan.made_at) != plan:
            raise RecoveryPrecondition(
                "the plan is out of date: things changed since it was made",
                hint="Make a new plan.",
                context={"condition": "P-11"},
            )

    def _until_online(
        self, production: Production, copy: Copy, journal: JournalOperation, before: ComponentStatus
    ) -> None:
        """Everything up to the mounted stores; `self._online` is set once they are up."""
        plan = self._plan
        # Durable first: a resume must know that this copy is being used.
        self._parts.catalog.update(copy.id, lambda record: evolve(record, stage=RECOVERING))
        # Pushed before its step, because a step may fail after it took effect.
        self._undo.push("mounts of the stores", lambda: self._back_online(production, before))
        with self._step(journal, RecoveryStep.TAKE_OFFLINE):
            production.application.take_offline(
                plan.component, for_restore=True, budget=self._budget
            )
        self._same_owner(production)
        with self._restore_session(production, copy, journal):
            if plan.method is RecoveryMethod.SWAP:
                self._swap(production, journal)
                self._file_actions(production, copy, journal, from_copy=False)
            elif plan.method is RecoveryMethod.COPY_BACK:
                self._file_actions(production, copy, journal, from_copy=True)
            else:
                self._array_restore(production, journal)
                self._file_actions(production, copy, journal, from_copy=False)
        if plan.consumes:
            self._budget.check("recovering")
            self._no_return()
            self._consume(copy)
        self._same_owner(production)
        # Still marked: files are put back next.
        self._undo.push("stores", lambda: self._down(production, for_restore=True))
        with self._step(journal, RecoveryStep.REPLAY):
            self._online = self._bring_online(production)

    def _down(self, production: Production, *, for_restore: bool) -> None:
        """Take the stores offline while undoing, for which there is time of its own."""
        production.application.take_offline(
            self._plan.component, for_restore=for_restore, budget=self._closing
        )

    def _same_owner(self, production: Production) -> None:
        """P-11: the component still runs where the plan says; a cluster may move it meanwhile."""
        component = self._plan.component
        for each in production.application.components(budget=self._budget):
            if each.name == component and each.owner != self._plan.owner:
                raise RecoveryPrecondition(
                    f"P-11: {component} moved from {self._plan.owner} to {each.owner}",
                    hint="Make a new plan.",
                    context={"condition": "P-11"},
                )

    def _bring_online(self, production: Production) -> OnlineReport:
        """Mount and replay; an application that failed after all stores came up did not fail.

        What it says and what is true may differ, and clients write to a store that is up.
        """
        application, component = production.application, self._plan.component
        try:
            online = application.bring_online(component, budget=self._budget)
        except Exception:
            status = self._seen(production)
            if status is None or not status.databases or _down(status):
                raise
            self._said_failed = True
            return OnlineReport(status=status)
        broken = _down(online.status)
        if broken:
            raise RecoveryFailed(f"stores did not come up: {', '.join(broken)}")
        return online

    def _seen(self, production: Production) -> ComponentStatus | None:
        """The component's state, or None if the application cannot tell."""
        try:
            return production.application.status(self._plan.component, budget=self._budget)
        except Exception:  # noqa: BLE001 - parties are strangers: law 11
            return None

    def _restore_session(
        self, production: Production, copy: Copy, journal: JournalOperation
    ) -> AbstractContextManager[object]:
        session = restore_session(production, copy, self._plan.component)
        journal.write(Phase.INTENT, RecoveryStep.PRE_RESTORE)
        return session

    # --- by the array --------------------------------------------------------------------

    def _array_restore(self, production: Production, journal: JournalOperation) -> None:
        """The array copies back; whatever was to be undone is void once it has begun."""

        def begun() -> None:
            self._overwritten = True
            self._undo.keep()

        def step(name: RecoveryStep, **facts: object) -> AbstractContextManager[None]:
            return self._step(journal, name, **facts)

        members = [BackMember.of(each) for each in self._plan.members]
        back = PutBack(production, members, step)
        back.hide(self._budget, self._undo, self._closing)
        self._budget.check("recovering")
        self._no_return()
        back.restore(self._budget, begun)
        back.show(self._budget)
        self._in_place = True

    def _past_return(
        self, error: BaseException, production: Production, journal: JournalOperation
    ) -> BaseException:
        """The error for a failure after the array began.

        If the volumes hold the copy's content the recovery is over: it can be made again, in
        another mode or from another copy. Else a resume lets the array copy back again.
        """
        if not isinstance(error, Exception):
            return error
        leftovers = list(getattr(error, "leftovers", ()))
        if self._in_place:
            leftovers += self._undo.unwind()
            # Last: while files were put back the mark had to stay.
            unmark = Releases()
            unmark.push("mark for a restore", lambda: self._down(production, for_restore=False))
            leftovers += unmark.unwind()
            leftovers += self._closed(journal, "failed; the copy's content is in place")
            hint = (
                "Production's volumes hold the copy's content and the stores are down; the copy is "
                "as good as before. Recover again: another mode, or another copy."
            )
        else:
            leftovers += [f"restore of {each.source}" for each in self._plan.members]
            hint = "'frskit resume' lets the array copy back again, from the start."
        failed = RecoveryFailed(
            f"recovery of {self._plan.component} failed: {told(error)}",
            hint=hint,
            context={"copy": self._plan.copy, "recovered": False, "undone": False},
            native=getattr(error, "native", None),
        )
        failed.leftovers = tuple(leftovers)
        return failed

    # --- swap ----------------------------------------------------------------------------

    def _swap(self, production: Production, journal: JournalOperation) -> None:
        """Every member takes the place of the LUN that is mounted where it came from."""
        for member in self._plan.members:
            old = mounted_storage(production, member.mount_point)
            with self._step(
                journal,
                RecoveryStep.SWAP,
                mount=member.mount_point,
                old=old,
                new=member.storage,
            ):
                self._take_away(production, member, old)
                self._put_in_place(production, member)
            # Only a whole swap counts; it becomes the volume's lineage later.
            self._displaced.append((member, old))

    def _take_away(self, production: Production, member: CopyMember, old: StorageId) -> None:
        """Dismount, unpresent, rescan, in this order [HAZ-01]; the old LUN is hidden first.

        Each undo is remembered before its step: a step may fail after it took effect, and every
        undo is harmless where nothing happened.
        """
        server, store, budget = production.server, production.store, self._budget
        self._undo.push(
            f"mount of {old} at {member.mount_point}",
            lambda: mount(production, old, member.mount_point, self._closing),
        )
        server.detach([old], budget=budget)
        self._undo.push(f"presentation of {old}", lambda: show(production, old, self._closing))
        store.unpresent([old], budget=budget)
        server.rescan(budget=budget)

    def _put_in_place(self, production: Production, member: CopyMember) -> None:
        # Hidden from the recovery server first, so that no LUN is seen by both.
        production.store.unpresent([member.storage], budget=self._budget)
        self._undo.push(
            f"presentation of {member.storage}",
            lambda: hide(production, member.storage, self._closing),
        )
        put_back(production, member.storage, member.mount_point, self._budget)

    # --- files ---------------------------------------------------------------------------

    def _file_actions(
        self, production: Production, copy: Copy, journal: JournalOperation, *, from_copy: bool
    ) -> None:
        """Carry out the plan's changes of files, each with its undo."""
        if not self._plan.file_actions:
            return
        if not from_copy:
            # A swap has brought the image; only what came after it is copied in.
            self._act(production.server, LateOnly(late_refs(self._parts, copy)), journal)
            return
        with mounted(self._parts, production, copy, self._budget) as source:
            self._same_files(production, source)
            self._act(production.server, source, journal)

    def _same_files(self, production: Production, source: CopyFiles) -> None:
        """P-11: the plan names every file that has to go or come, now that the stores are down.

        Clients write until then: a file that came after the plan was made would stay among those
        of the copy, and what is in it would be taken for a part of the past. That the plan names
        more is fine: an application foresees what its dismount may make.
        """
        plan = self._plan
        fresh = production.application.file_actions(
            plan.component, source, plan.target, plan.method, budget=self._budget
        )
        named = {each.path for each in plan.file_actions}
        # Other spellings of a path are looked for only where its own is not there: files are many.
        for action in (each for each in fresh if each.path not in named):
            if not any(same_path(action.path, each) for each in named):
                raise RecoveryPrecondition(
                    f"P-11: {action.path} came while {plan.component} went offline, "
                    f"and the plan does not {action.kind.value} it",
                    hint="Make a new plan while the stores are down, or nobody writes to them.",
                    context={"condition": "P-11", "path": action.path},
                )

    def _act(self, server: Server, source: CopySource, journal: JournalOperation) -> None:
        for action in self._plan.file_actions:
            clear_stale(server, action)
            facts = action_facts(server, action)
            with self._step(journal, RecoveryStep(action.kind.value), **facts):
                run_action(server, source, action, self._undo, budget=self._budget)

    # --- the end -------------------------------------------------------------------------

    def _consume(self, copy: Copy) -> None:
        """Durable before the first write of replay: this copy is used up."""
        used = {member.storage for member in self._plan.members}

        def consume(record: Copy) -> Copy:
            members = tuple(
                evolve(member, life=MemberLife.CONSUMED) if member.storage in used else member
                for member in record.members
            )
            consumed = evolve(record, members=members)
            return evolve(consumed, life=CopyLife.CONSUMED if used_up(consumed) else record.life)

        self._parts.catalog.update(copy.id, consume)

    def _settle(self, production: Production, copy: Copy, journal: JournalOperation) -> None:
        """Production runs on the copy: lineage, displaced LUNs, what was kept for undo."""
        # Each of these may be done twice: a resume repeats them all.
        for member, old in self._displaced:
            settle(self._parts, copy.id, old, member.storage)
        drop_undo(production.server, self._plan.file_actions)
        if self._said_failed:
            # All stores are up, but it may not have come to the end: they are marked for a restore.
            production.application.bring_online(self._plan.component, budget=self._budget)
        release(self._parts, copy.id)
        journal.end("recovered")

    def _not_settled(self, error: BaseException) -> BaseException:
        """The error for a failure after the stores came up; the journal stays open."""
        if not isinstance(error, Exception):
            return error
        plan = self._plan
        failed = RecoveryFailed(
            f"{plan.component} is recovered and mounted, but it could not be recorded: {told(error)}",
            hint="Nothing was undone. 'frskit resume' finishes it once the cause is gone.",
            context={"copy": plan.copy, "recovered": True, "undone": False},
            native=getattr(error, "native", None),
        )
        failed.leftovers = tuple(getattr(error, "leftovers", ()))
        return failed

    def _undo_all(self, error: BaseException, journal: JournalOperation) -> BaseException:
        """Undo; what could not be undone stays open in the journal for `resume`.

        That the undo has begun is durable before its first step: a resume must go on with it,
        whatever was begun before.

        Returns:
            The error to raise: an interrupt stays one.
        """
        leftovers = list(getattr(error, "leftovers", ()))
        interrupt = None if isinstance(error, Exception) else error
        leftovers += self._noted(journal, Phase.UNDO, error)
        try:
            leftovers += self._undo.unwind()
        except BaseException as other:  # noqa: BLE001 - an interrupt; everything was tried
            leftovers += self._undo.leftovers
            interrupt = interrupt or other
        leftovers += self._noted(journal, Phase.UNDONE, error, leftovers=leftovers)
        if not leftovers:
            leftovers += self._closed(journal, "undone")
        if interrupt is not None:
            return interrupt
        rest = "'frskit resume' tries again what was not."
        failed = RecoveryFailed(
            f"recovery of {self._plan.component} failed: {told(error)}",
            hint="The steps were undone." if not leftovers else f"Not all was undone; {rest}",
            context={"copy": self._plan.copy, "recovered": False, "undone": not leftovers},
            native=getattr(error, "native", None),
        )
        failed.leftovers = tuple(leftovers)
        return failed

    def _noted(
        self, journal: JournalOperation, phase: Phase, error: BaseException, **facts: object
    ) -> list[str]:
        """Write a line about the undo; a journal that cannot be written does not stop it."""
        try:
            journal.write(phase, "recovery", error=str(error), **facts)
        except FrskitError as failed:
            return [f"journal: {failed}"]
        return []

    def _closed(self, journal: JournalOperation, result: str) -> list[str]:
        """Give the copy free and end the journal; what did not work."""
        try:
            release(self._parts, self._plan.copy)
            journal.end(result)
        except FrskitError as failed:
            return [f"record of the copy: {failed}"]
        return []

    def _back_online(self, production: Production, before: ComponentStatus) -> None:
        """Mount what was mounted; a store that was down before may stay so."""
        was_up = {each.name for each in before.databases if each.state == MOUNTED}
        if not was_up:
            # It stays down, and is marked for a restore no more.
            self._down(production, for_restore=False)
            return
        component = self._plan.component
        # Takes the mark away as well.
        status = production.application.bring_online(component, budget=self._closing).status
        missing = was_up.intersection(_down(status))
        if missing:
            raise RecoveryFailed(f"mounted before and not now: {', '.join(sorted(missing))}")

    def _total(self) -> int:
        """How many steps `_step` will see."""
        moves = {RecoveryMethod.SWAP: 1, RecoveryMethod.ARRAY_RESTORE: 3}.get(self._plan.method, 0)
        offline_and_replay = 2
        return offline_and_replay + moves * len(self._plan.members) + len(self._plan.file_actions)

    @contextmanager
    def _step(
        self, journal: JournalOperation, name: RecoveryStep, **facts: object
    ) -> Iterator[None]:
        self._budget.check(f"recovering; next is {name}")
        now = self._parts.clock.now()
        self._parts.sink.emit(
            RecoveryStage(at=now, copy=self._plan.copy, step=name, detail=str(facts or ""))
        )
        with journal.step(name, **facts):
            yield
        self._done += 1
        self._progress(self._done, self._total())


def _raise(error: BaseException, cause: BaseException) -> NoReturn:
    """Raise one because of the other; an interrupt that goes on is no cause of itself."""
    if error is cause:
        raise error
    raise error from cause


def _down(status: ComponentStatus) -> tuple[str, ...]:
    """Names of the databases that are not mounted."""
    return tuple(each.name for each in status.databases if each.state != MOUNTED)
