"""Carrying a recovery plan out: every step journalled, every step with its undo.

The undo stack is unwound on any failure before the stores are mounted again. Replay is the first
point of no return: before its first write the copy is recorded as consumed (swap), because the
replay writes into it. The old production LUNs are kept as *displaced* until somebody releases
them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import FrskitError, RecoveryFailed, RecoveryPrecondition
from frskit.events import RecoveryStage
from frskit.frs.file_actions import action_facts, drop_undo, run_action
from frskit.frs.interrupted import RECOVERING, REPLAY, release, settle
from frskit.frs.recovery_plan import RecoveryWish, make_plan, mounted, used_up
from frskit.model.copies import CopyLife, MemberLife
from frskit.model.plans import RecoveryMethod, RecoveryReport
from frskit.model.shadows import RestoreRequest
from frskit.model.volumes import DiskFlags
from frskit.scopes import Releases

if TYPE_CHECKING:
    from frskit.clock import Budget
    from frskit.frs.journal import JournalOperation
    from frskit.frs.parts import Parts, Production
    from frskit.model.copies import Copy, CopyMember
    from frskit.model.ids import StorageId
    from frskit.model.plans import OnlineReport, RecoveryPlan

__all__ = ["RecoveryRun"]


class RecoveryRun:
    """One run of one recovery plan."""

    def __init__(self, parts: Parts, plan: RecoveryPlan, budget: Budget) -> None:
        self._parts = parts
        self._plan = plan
        self._budget = budget
        self._undo = Releases()
        self._displaced: list[tuple[CopyMember, StorageId]] = []

    def run(self) -> RecoveryReport:
        """Recover.

        Raises:
            RecoveryPrecondition: The plan no longer holds; nothing was changed.
            RecoveryFailed: A step failed; what was done was undone, `leftovers` says what not.
        """
        parts, plan = self._parts, self._plan
        production = parts.production(plan.server)
        with parts.locks.hold(f"server-{plan.server}", "recovery"):
            copy = parts.catalog.get(plan.copy)
            self._still_holds(copy)
            before = production.application.status(plan.group)
            journal = parts.journal.begin(
                "recovery", plan.copy, group=plan.group, mode=plan.mode.value
            )
            parts.catalog.put(evolve(copy, stage=RECOVERING))
            try:
                online = self._carry_out(production, copy, journal)
            except BaseException as error:
                self._undo_all(error, journal)
                raise RecoveryFailed(
                    f"recovery of {plan.group} failed: {error}",
                    hint="The steps were undone; 'frskit resume' tries again what was not.",
                    context={"copy": plan.copy, "undone": not self._undo.leftovers},
                    native=getattr(error, "native", None),
                ) from error
            release(parts, plan.copy)
            journal.end("recovered")
        return RecoveryReport(
            plan=plan,
            before=before,
            after=online.status,
            replayed=online.replayed,
            displaced=tuple(storage for _, storage in self._displaced),
        )

    def _still_holds(self, copy: Copy) -> None:
        """A plan is refused if a new one would differ."""
        plan = self._plan
        fresh = make_plan(
            self._parts,
            copy,
            RecoveryWish(
                mode=plan.mode, method=plan.method, group=plan.group, accept_unverified=True
            ),
            self._budget,
        )
        if evolve(fresh, made_at=plan.made_at) != plan:
            raise RecoveryPrecondition(
                "the plan is out of date: things changed since it was made",
                hint="Make a new plan.",
                context={"condition": "P-11"},
            )

    def _carry_out(
        self, production: Production, copy: Copy, journal: JournalOperation
    ) -> OnlineReport:
        plan, application = self._plan, production.application
        self._undo.push("mounts of the stores", lambda: self._back_online(production))
        with self._step(journal, "take offline"):
            application.take_offline(plan.group, budget=self._budget)
        self._undo.push("overwrite flag", lambda: application.allow_overwrite(plan.group, False))
        application.allow_overwrite(plan.group, True)
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
        with self._step(journal, REPLAY):
            online = application.bring_online(plan.group, budget=self._budget)
        broken = [each.name for each in online.status.databases if each.state != "mounted"]
        if broken:
            raise RecoveryFailed(f"stores did not come up: {', '.join(broken)}")
        self._undo.keep()
        drop_undo(production.server, plan.file_actions)
        application.allow_overwrite(plan.group, False)
        self._settle(copy)
        return online

    def _restore_session(
        self, production: Production, copy: Copy, journal: JournalOperation
    ) -> AbstractContextManager[object]:
        """PreRestore and PostRestore around the work; the saved documents say what."""
        if copy.documents is None:
            raise RecoveryPrecondition("the copy's documents are missing; VSS cannot restore it")
        selected = tuple(
            component.id
            for component in copy.selected
            if component.answers_to(self._plan.group) or len(copy.selected) == 1
        )
        journal.write("intent", "PreRestore")
        return production.service.restore_session(
            RestoreRequest(documents=copy.documents, components=selected)
        )

    # --- swap ----------------------------------------------------------------------------

    def _swap(self, production: Production, journal: JournalOperation) -> None:
        """Every member takes the place of the LUN that is mounted where it came from."""
        for member in self._plan.members:
            old = self._mounted_storage(production, member)
            with self._step(journal, "swap", mount=member.mount_point, old=old, new=member.storage):
                self._take_away(production, member, old)
                self._put_in_place(production, member)
            self._displaced.append((member, old))

    @staticmethod
    def _mounted_storage(production: Production, member: CopyMember) -> StorageId:
        for volume in production.server.volumes():
            points = {point.casefold() for point in volume.mount_points}
            if member.mount_point.casefold() in points:
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
                with self._step(journal, action.kind.value, **facts):
                    run_action(production.server, None, action, self._undo)
            return
        with mounted(self._parts, production, copy, self._budget) as source:
            for action in self._plan.file_actions:
                facts = action_facts(production.server, action)
                with self._step(journal, action.kind.value, **facts):
                    run_action(production.server, source, action, self._undo)

    # --- the end -------------------------------------------------------------------------

    def _consume(self, copy: Copy) -> None:
        """Durable before the first write of replay: this copy is used up."""
        used = {member.storage for member in self._plan.members}
        members = tuple(
            evolve(member, life=MemberLife.CONSUMED) if member.storage in used else member
            for member in copy.members
        )
        consumed = evolve(copy, members=members)
        life = CopyLife.CONSUMED if used_up(consumed) else copy.life
        self._parts.catalog.put(evolve(consumed, life=life))

    def _settle(self, copy: Copy) -> None:
        """Lineage and displaced LUNs, once production runs on the copy."""
        for member, old in self._displaced:
            settle(self._parts, copy.id, old, member.storage)

    def _undo_all(self, error: BaseException, journal: JournalOperation) -> None:
        """Undo; what could not be undone stays open in the journal for `resume`."""
        leftovers = self._undo.unwind()
        journal.write("undone", "recovery", error=str(error), leftovers=list(leftovers))
        if not leftovers:
            release(self._parts, self._plan.copy)
            journal.end("undone")
        if isinstance(error, FrskitError):
            error.leftovers = (*error.leftovers, *leftovers)

    def _back_online(self, production: Production) -> None:
        """Try to mount what was mounted; a damaged store stays as it was."""
        production.application.bring_online(self._plan.group, budget=self._budget)

    def _step(
        self, journal: JournalOperation, name: str, **facts: object
    ) -> AbstractContextManager[None]:
        now = self._parts.clock.now()
        self._parts.sink.emit(
            RecoveryStage(at=now, copy=self._plan.copy, step=name, detail=str(facts or ""))
        )
        return journal.step(name, **facts)
