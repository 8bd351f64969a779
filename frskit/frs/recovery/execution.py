"""Carrying a recovery plan out: every step journalled, every step with its undo.

The undo stack is unwound on any failure before the stores are mounted again; after that nothing is
undone any more, and what remains is finished here or by a resume. Replay is the first point of no
return: before its first write the copy is recorded as consumed (swap), because the replay writes
into it. The old production LUNs are kept as *displaced* until somebody releases them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NoReturn

from attrs import evolve

from frskit.errors import FrskitError, RecoveryFailed, RecoveryPrecondition
from frskit.events import RecoveryStage
from frskit.frs.recovery.file_actions import action_facts, drop_undo, run_action
from frskit.frs.recovery.interrupted import MOUNTED, release, settle
from frskit.frs.recovery.planning import RecoveryWish, make_plan, mounted, used_up
from frskit.frs.state.journal_words import RECOVERING, Phase, RecoveryStep, RequestorOperation
from frskit.model.copies import CopyLife, MemberLife
from frskit.model.plans import OnlineReport, RecoveryMethod, RecoveryReport
from frskit.model.server_paths import same_path
from frskit.model.shadows import RestoreRequest
from frskit.model.volumes import DiskFlags
from frskit.scopes import Releases, told

if TYPE_CHECKING:
    from frskit.clock import Budget
    from frskit.frs.deployment import Parts, Production
    from frskit.frs.state.journal import JournalOperation
    from frskit.model.copies import Copy, CopyMember
    from frskit.model.ids import StorageId
    from frskit.model.plans import ComponentStatus, RecoveryPlan

__all__ = ["RecoveryRun"]


class RecoveryRun:
    """One run of one recovery plan."""

    def __init__(self, parts: Parts, plan: RecoveryPlan, budget: Budget) -> None:
        self._parts = parts
        self._plan = plan
        self._budget = budget
        self._undo = Releases()
        self._displaced: list[tuple[CopyMember, StorageId]] = []
        self._online: OnlineReport | None = None

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
        with parts.locks.hold(f"server-{plan.server}", "recovery"):
            copy = parts.catalog.get(plan.copy)
            self._still_holds(copy)
            before = production.application.status(plan.component)
            journal = parts.journal.begin(
                RequestorOperation.RECOVERY,
                plan.copy,
                component=plan.component,
                mode=plan.mode.value,
                stop_kind=plan.target.stop_kind,
                stop=plan.target.stop,
            )
            try:
                self._until_online(production, copy, journal, before)
            except BaseException as error:  # noqa: BLE001 - `_raise` raises it, or what it caused
                up = self._online is not None
                _raise(self._not_settled(error) if up else self._undo_all(error, journal), error)
            try:
                self._settle(production, copy, journal)
            except BaseException as error:  # noqa: BLE001 - the same
                _raise(self._not_settled(error), error)
        return self._report(before)

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
        plan, application = self._plan, production.application
        # Durable first: a resume must know that this copy is being used.
        self._parts.catalog.update(copy.id, lambda record: evolve(record, stage=RECOVERING))
        # Pushed before its step, because a step may fail after it took effect.
        self._undo.push("mounts of the stores", lambda: self._back_online(production, before))
        with self._step(journal, RecoveryStep.TAKE_OFFLINE):
            application.take_offline(plan.component, budget=self._budget)
        self._undo.push(
            "overwrite flag", lambda: application.allow_overwrite(plan.component, False)
        )
        application.allow_overwrite(plan.component, True)
        with self._restore_session(production, copy, journal):
            if plan.method is RecoveryMethod.SWAP:
                self._swap(production, journal)
                self._file_actions(production, copy, journal, from_copy=False)
            elif plan.method is RecoveryMethod.COPY_BACK:
                self._file_actions(production, copy, journal, from_copy=True)
            else:
                raise RecoveryPrecondition("this array cannot copy back by itself yet")
        if plan.consumes:
            self._consume(copy)
        self._undo.push(
            "stores", lambda: application.take_offline(plan.component, budget=self._budget)
        )
        with self._step(journal, RecoveryStep.REPLAY):
            self._online = self._bring_online(production)

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
            return OnlineReport(status=status)
        broken = _down(online.status)
        if broken:
            raise RecoveryFailed(f"stores did not come up: {', '.join(broken)}")
        return online

    def _seen(self, production: Production) -> ComponentStatus | None:
        """The component's state, or None if the application cannot tell."""
        try:
            return production.application.status(self._plan.component)
        except Exception:  # noqa: BLE001 - parties are strangers: law 11
            return None

    def _restore_session(
        self, production: Production, copy: Copy, journal: JournalOperation
    ) -> AbstractContextManager[object]:
        """PreRestore and PostRestore around the work; the saved documents say what."""
        if copy.documents is None:
            raise RecoveryPrecondition("the copy's documents are missing; VSS cannot restore it")
        selected = tuple(
            component.id
            for component in copy.selected
            if component.answers_to(self._plan.component) or len(copy.selected) == 1
        )
        journal.write(Phase.INTENT, RecoveryStep.PRE_RESTORE)
        return production.service.restore_session(
            RestoreRequest(documents=copy.documents, components=selected)
        )

    # --- swap ----------------------------------------------------------------------------

    def _swap(self, production: Production, journal: JournalOperation) -> None:
        """Every member takes the place of the LUN that is mounted where it came from."""
        for member in self._plan.members:
            old = self._mounted_storage(production, member)
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

    @staticmethod
    def _mounted_storage(production: Production, member: CopyMember) -> StorageId:
        for volume in production.server.volumes():
            if any(same_path(member.mount_point, point) for point in volume.mount_points):
                # A volume on several LUNs cannot change places with one copy, and fails here.
                (storage,) = volume.storages
                return storage
        raise RecoveryPrecondition(f"{member.mount_point} is not mounted on production")

    def _take_away(self, production: Production, member: CopyMember, old: StorageId) -> None:
        """Dismount, unpresent, rescan, in this order [HAZ-01]; the old LUN is hidden first.

        Each undo is remembered before its step: a step may fail after it took effect, and every
        undo is harmless where nothing happened.
        """
        server, store, budget = production.server, production.store, self._budget
        self._undo.push(
            f"mount of {old} at {member.mount_point}",
            lambda: self._mount(production, old, member.mount_point),
        )
        server.detach([old], budget=budget)
        self._undo.push(f"presentation of {old}", lambda: self._show(production, old))
        store.unpresent([old], budget=budget)
        server.rescan(budget=budget)

    def _put_in_place(self, production: Production, member: CopyMember) -> None:
        # Hidden from the recovery server first, so that no LUN is seen by both.
        production.store.unpresent([member.storage], budget=self._budget)
        self._undo.push(
            f"presentation of {member.storage}",
            lambda: self._hide(production, member.storage),
        )
        self._show(production, member.storage)
        self._mount(production, member.storage, member.mount_point)

    def _show(self, production: Production, storage: StorageId) -> None:
        production.store.present(
            [storage], production.server.host, read_only=False, budget=self._budget
        )
        production.server.rescan(budget=self._budget)

    def _hide(self, production: Production, storage: StorageId) -> None:
        production.server.detach([storage], budget=self._budget)
        production.store.unpresent([storage], budget=self._budget)
        production.server.rescan(budget=self._budget)

    def _mount(self, production: Production, storage: StorageId, mount_point: str) -> None:
        """Mount for writing; the flags that a copy carries from its creation are cleared."""
        production.server.set_flags([storage], DiskFlags())
        production.server.attach({storage: mount_point}, read_only=False, budget=self._budget)

    # --- files ---------------------------------------------------------------------------

    def _file_actions(
        self, production: Production, copy: Copy, journal: JournalOperation, *, from_copy: bool
    ) -> None:
        """Carry out the plan's changes of files, each with its undo."""
        if not self._plan.file_actions:
            return
        if not from_copy:
            for action in self._plan.file_actions:
                facts = action_facts(production.server, action)
                with self._step(journal, RecoveryStep(action.kind.value), **facts):
                    run_action(production.server, None, action, self._undo)
            return
        with mounted(self._parts, production, copy, self._budget) as source:
            for action in self._plan.file_actions:
                facts = action_facts(production.server, action)
                with self._step(journal, RecoveryStep(action.kind.value), **facts):
                    run_action(production.server, source, action, self._undo)

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
        production.application.allow_overwrite(self._plan.component, False)
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
            leftovers += self._closed(journal)
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

    def _closed(self, journal: JournalOperation) -> list[str]:
        """Give the copy free and end the journal; what did not work."""
        try:
            release(self._parts, self._plan.copy)
            journal.end("undone")
        except FrskitError as failed:
            return [f"record of the copy: {failed}"]
        return []

    def _back_online(self, production: Production, before: ComponentStatus) -> None:
        """Mount what was mounted; a store that was down before may stay so."""
        was_up = {each.name for each in before.databases if each.state == MOUNTED}
        if not was_up:
            return
        component = self._plan.component
        status = production.application.bring_online(component, budget=self._budget).status
        missing = was_up.intersection(_down(status))
        if missing:
            raise RecoveryFailed(f"mounted before and not now: {', '.join(sorted(missing))}")

    def _step(
        self, journal: JournalOperation, name: RecoveryStep, **facts: object
    ) -> AbstractContextManager[None]:
        now = self._parts.clock.now()
        self._parts.sink.emit(
            RecoveryStage(at=now, copy=self._plan.copy, step=name, detail=str(facts or ""))
        )
        return journal.step(name, **facts)


def _raise(error: BaseException, cause: BaseException) -> NoReturn:
    """Raise one because of the other; an interrupt that goes on is no cause of itself."""
    if error is cause:
        raise error
    raise error from cause


def _down(status: ComponentStatus) -> tuple[str, ...]:
    """Names of the databases that are not mounted."""
    return tuple(each.name for each in status.databases if each.state != MOUNTED)
