"""`FastRecovery`: copies, listings, deletions and recoveries of one site."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.clock import Budget, CancelToken
from frskit.errors import CopyInUse, CopyNotFound, UsageError
from frskit.frs.component_names import recoverable_names
from frskit.frs.copy_run import CopyRun
from frskit.frs.copy_wish import CopyWish
from frskit.frs.damaged_state import unrecorded, warn_damaged
from frskit.frs.held_databases import not_copied
from frskit.frs.late_collection import sweep
from frskit.frs.open_session import open_session
from frskit.frs.recovery.execution import RecoveryRun
from frskit.frs.recovery.planning import analyze_with, make_plan, mounted
from frskit.frs.recovery.wish import RecoveryWish
from frskit.frs.resume import resume
from frskit.frs.running_copy import RunningCopy, RunsUnderWay
from frskit.frs.set_lookup import remove_unfinished_set, storages_of
from frskit.frs.state.journal_words import RECOVERING, DeletionStep, RequestorOperation
from frskit.frs.still_there import looked_at
from frskit.model.choices import chosen
from frskit.model.components import BackupType
from frskit.model.copies import Copy, CopyFilter, CopyLife, MemberLife, Resumed
from frskit.model.ids import CopyId, canonical_guid, guid
from frskit.model.plans import CopyPlan, PlanStep, RecoveryMethod, RecoveryMode, RecoveryTarget
from frskit.model.storage import LONGEST_COMMIT_S, ArrayCapabilities, CopyKind, ReadOnlyScope

if TYPE_CHECKING:
    from frskit.events import EventSink
    from frskit.frs.deployment import Parts, Production
    from frskit.model.copies import DamagedRecord, UnrecordedCopy
    from frskit.model.ids import StorageId
    from frskit.model.plans import LogAnalysis, RecoveryPlan, RecoveryReport
    from frskit.model.shadows import SetPlan
    from frskit.protocols import (
        Requestor,
        SupportsLogAnalysis,
        SupportsRecovery,
        SupportsResume,
    )

__all__ = ["FastRecovery", "RunningCopy"]

_DELETE_BY = 6
"""Characters of an id that a deletion asks for at least; listings show eight."""

_FLOW = (
    ("select components", "ask the writers, choose volumes and LUNs"),
    ("create the copy set", "prepare, freeze, copy all LUNs at one instant, thaw"),
    ("import on the recovery server", "present, rescan, match identity"),
    ("wait for normalization", "the array copies in the background; production runs"),
    ("check", "every page and every log, from the presented copy"),
    ("complete", "record the verdict, then tell the writers; logs are truncated on success only"),
    ("park", "break the set read-only and hide it"),
)


class FastRecovery:
    """The requestor of one site.

    Every call works on the site's parts; `subscribe` to see events. Made by `frskit.site`.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._runs = RunsUnderWay()

    def subscribe(self, sink: EventSink) -> None:
        """Hand every later event to `sink`; never between Freeze and Thaw."""
        self.parts.sink.subscribe(sink)

    # --- copies --------------------------------------------------------------------------

    def plan_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType | str,
        kind: CopyKind | str = CopyKind.SNAPCLONE,
        budget: Budget | None = None,
    ) -> CopyPlan:
        """What `create_copy` would do; nothing on the array or at the writers stays changed."""
        production = self.parts.production(server)
        wish = self._wish(server, components, backup_type, kind, check=True)
        with open_session(self.parts, production.service, wish.request()) as session:
            plan = session.plan(budget=self._budget(budget))
        return self._copy_plan(wish, plan)

    def _copy_plan(self, wish: CopyWish, plan: SetPlan) -> CopyPlan:
        production = self.parts.production(wish.server)
        application = production.application
        known = application.components(budget=Budget.of(self.parts.clock))
        points = {
            canonical_guid(volume.id): (volume.mount_points or ("",))[0]
            for volume in production.server.volumes()
        }
        return CopyPlan(
            server=wish.server,
            components=recoverable_names(application.name, known, plan.explicit),
            kind=wish.kind,
            backup_type=wish.backup_type,
            volumes=tuple(
                (volume, points.get(canonical_guid(volume), "")) for volume in plan.volumes
            ),
            storages=storages_of(plan, production.server),
            recovery_server=self.parts.recovery.server.name,
            excluded=tuple(f"{each.component.full_path}: {each.reason}" for each in plan.excluded),
            warnings=(*self._copy_warnings(wish, production), *not_copied(plan, known)),
            steps=tuple(PlanStep(title=title, detail=detail) for title, detail in _FLOW),
        )

    def _copy_warnings(self, wish: CopyWish, production: Production) -> tuple[str, ...]:
        """What is worth knowing before: of the kind, and of what the array says that it can do."""
        found = []
        if wish.kind is not CopyKind.SNAPCLONE:
            found.append("only a snapclone can take the place of production's LUNs in a recovery")
        # A store of somebody else need not tell.
        can = getattr(production.store, "capabilities", None)
        if isinstance(can, ArrayCapabilities):
            expected_s = can.estimate_commit_s
            if expected_s is not None and expected_s > LONGEST_COMMIT_S:
                found.append(
                    f"the array expects {expected_s:.1f} s for the instant and writes are held "
                    f"for {LONGEST_COMMIT_S:.0f} s at most: the copy will be refused"
                )
            if can.read_only is ReadOnlyScope.NONE:
                found.append(
                    "the array keeps nobody from writing the copy: "
                    f"{self.parts.recovery.server.name} mounts it read-only"
                )
        return tuple(found)

    def create_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType | str,
        kind: CopyKind | str = CopyKind.SNAPCLONE,
        check: bool = True,
        key: CopyId | str | None = None,
        budget: Budget | None = None,
    ) -> Copy:
        """Copy, check, tell the writers; return the copy or raise with the record attached.

        With a `key` the call may be repeated until it has an answer: `Requestor.create_copy` says
        what happens then.

        Args:
            server: Production server.
            components: What to copy, by name or caption: storage groups of Exchange.
            backup_type: VSS type, or its word; FULL truncates logs after a good verdict, COPY
                never does.
            kind: Kind of array copy, or its word.
            check: False makes an UNVERIFIED copy and truncates nothing [FRS-54].
            key: A GUID, in any spelling: id of the copy to be. None = a new one.
            budget: Deadline and cancel token for the whole run.

        Raises:
            UsageError: The key came before with another wish, is no GUID, or is that of a copy
                that was deleted since.
            IntegrityError: The copy did not pass, or the array lost it after it had; the hint says
                whether logs may have gone for it.
            Busy: Another operation on this server is running, be it the one of this key in
                another process.
            FrskitError: With ``copy``, ``stage`` and ``leftovers``.
        """
        wish = self._wish(server, components, backup_type, kind, check, key)
        budget = self._budget(budget)
        return self._runs.make(CopyRun(self.parts, wish, budget), budget)

    def start_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType | str,
        kind: CopyKind | str = CopyKind.SNAPCLONE,
        check: bool = True,
        key: CopyId | str | None = None,
    ) -> RunningCopy:
        """Begin a copy in the background, or wait there for the one of the same key."""
        token = CancelToken()
        wish = self._wish(server, components, backup_type, kind, check, key)
        budget = Budget.of(self.parts.clock, token=token)
        return RunningCopy(self._runs, CopyRun(self.parts, wish, budget), budget, token)

    def copies(self, *, server: str | None = None, component: str | None = None) -> Sequence[Copy]:
        """The copies, newest first; verdicts are asked anew of the array [HAZ-04].

        Reports, writer records and documents are left out; `copy` has them. A record that cannot
        be read is left out with a warning event; `damaged_records` has those.
        """
        wanted = CopyFilter(server=server, component=component)
        found, damaged = self.parts.catalog.readable(wanted)
        warn_damaged(self.parts, damaged)
        return tuple(looked_at(self.parts, copy) for copy in found)

    def damaged_records(
        self, *, server: str | None = None, component: str | None = None
    ) -> Sequence[DamagedRecord]:
        """Records that `copies` with these arguments leaves out, because they cannot be read."""
        wanted = CopyFilter(server=server, component=component)
        return self.parts.catalog.readable(wanted)[1]

    def unrecorded_copies(self, *, budget: Budget | None = None) -> Sequence[UnrecordedCopy]:
        """Copies of production's LUNs on the array of which there is no record.

        There are some if the catalog was emptied, removed, or put back from a time before them.
        """
        return unrecorded(self.parts, self._budget(budget))

    def copy(self, copy: CopyId | str) -> Copy:
        """One copy with everything that is known about it.

        Raises:
            CopyNotFound: None of this id.
        """
        return looked_at(self.parts, self.parts.catalog.get(self._id(copy)))

    def delete_copy(self, copy: CopyId | str, *, budget: Budget | None = None) -> None:
        """Delete a copy from array and catalog; resumable [HAZ-14].

        Of a failed copy whatever the array still has is deleted, and its leftovers are struck off.

        Raises:
            CopyNotFound: No such copy, or it was deleted before [R-24].
            CopyInUse: It is mounted or leased, or production runs on it.
            UsageError: The beginning of an id is too short to delete by.
            Busy: Another operation on the server is running.
            TimedOut, Cancelled: As the budget says; this call or a resume deletes the rest.
        """
        wanted = self._id(copy)
        # What was typed counts, not what it stands for: a slip must not delete a copy.
        if len(copy) < _DELETE_BY:
            raise UsageError(
                f"{copy!r} is too little of an id to delete a copy by",
                hint=f"Give at least {_DELETE_BY} characters: 'frskit copy list'.",
            )
        budget = self._budget(budget)
        budget.check("deleting a copy")
        server = self.parts.catalog.get(wanted).server
        with self.parts.locks.hold(f"server-{server}", "deletion"):
            # Everything is read in here: another operation may have changed it until now.
            record = self.parts.catalog.get(wanted)
            production = self.parts.production(server)
            _check_unused(record, production)
            journal = self.parts.journal.begin(RequestorOperation.DELETION, record.id)
            # On record before the first effect: a deletion that breaks off is gone on with
            # [HAZ-14].
            record = self.parts.catalog.update(
                wanted, lambda now: evolve(now, life=CopyLife.DELETING)
            )
            doomed = _doomed(record, production, budget)
            with journal.step(DeletionStep.DELETE, storages=doomed):
                self.parts.recovery.server.detach(doomed, budget=budget)
                production.store.delete(doomed, budget=budget)
                if record.shadow_set is None:
                    # Of a creation that was cut off the array may know nothing, the service more.
                    remove_unfinished_set(production.service, record.key, None, budget)
                self.parts.recovery.server.rescan(budget=budget)
            self.parts.catalog.update(wanted, _deleted)
            # Last, so that no record ever names what is not there.
            sweep(self.parts)
            journal.end("deleted")

    def resume(self, *, budget: Budget | None = None) -> Sequence[Resumed]:
        """Finish or roll back what earlier calls left, leftovers of failed ones included.

        `Resumed.ended` says per object whether something is left to do. Parties that owe an answer
        are asked again: whoever resumes has looked after them.
        """
        self.parts.pardon()
        return resume(self.parts, self._budget(budget))

    # --- recovery ------------------------------------------------------------------------

    def plan_recovery(
        self,
        copy: CopyId | str,
        *,
        mode: RecoveryMode | str,
        method: RecoveryMethod | str = RecoveryMethod.SWAP,
        component: str | None = None,
        accept_unverified: bool = False,
        stop: str = "",
        stop_kind: str = "",
        group: str | None = None,
        budget: Budget | None = None,
    ) -> RecoveryPlan:
        """What a recovery would do; array and files are as before when it returns [FRS-32].

        Args:
            copy: Its id, or the beginning of it.
            mode: To the copy's instant, or forward with production's logs.
            method: How the data comes back.
            component: By name; None if the copy holds just one.
            accept_unverified: Whether a copy that was not checked will do (never a corrupt one).
            stop: Where a roll forward ends, as the application writes it; empty: at the last
                transaction.
            stop_kind: What ``stop`` is, one of the component's `ComponentInfo.stop_kinds`.
            group: The former name of ``component``, deprecated.
            budget: Deadline and cancel token.

        Raises:
            UsageError: A stop without roll forward or without a kind.
            RecoveryPrecondition: Not legal or not possible; the context names the condition.
            Busy: Another operation on the server is running.
        """
        wish = RecoveryWish(
            target=RecoveryTarget(
                mode=chosen(RecoveryMode, mode, "the mode of a recovery"),
                stop_kind=stop_kind,
                stop=stop,
            ),
            method=chosen(RecoveryMethod, method, "the method of a recovery"),
            component=_component(component, group),
            accept_unverified=accept_unverified,
        )
        with self._read_alone(copy, "planning") as record:
            return make_plan(self.parts, record, wish, self._budget(budget))

    def recover(
        self,
        plan: RecoveryPlan,
        *,
        budget: Budget | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> RecoveryReport:
        """Carry a plan out.

        The budget is obeyed up to the plan's first point of no return, and what was begun is
        undone then; from there on the recovery is finished: see `SupportsRecovery.recover`.

        Args:
            plan: From `plan_recovery`.
            budget: Deadline and cancel token.
            progress: Gets the steps done and all steps, in this thread.

        Raises:
            RecoveryPrecondition: The plan is out of date; nothing was changed.
            RecoveryFailed: ``context["undone"]`` and ``context["recovered"]`` say what production
                is now; ``leftovers`` names what a resume has to finish.
            Busy: Another operation on the server is running.
            TimedOut, Cancelled: As the budget says; nothing was begun.
        """
        return RecoveryRun(self.parts, plan, self._budget(budget), progress).run()

    def analyze_logs(
        self,
        server: str,
        component: str,
        *,
        copy: CopyId | str | None = None,
        budget: Budget | None = None,
    ) -> Sequence[LogAnalysis]:
        """What the logs allow, per mode: of production alone, or with a copy's databases.

        Raises:
            Busy: With a copy: another operation on the server is running.
        """
        production = self.parts.production(server)
        application = production.application
        budget = self._budget(budget)
        targets = [RecoveryTarget(mode=mode) for mode in RecoveryMode]
        if copy is None:
            return tuple(
                application.analyze(component, None, each, budget=budget) for each in targets
            )
        with (
            self._read_alone(copy, "analysis") as record,
            mounted(self.parts, production, record, budget) as files,
        ):
            return tuple(
                analyze_with(production, record, component, files, each, budget) for each in targets
            )

    # --- small helpers -------------------------------------------------------------------

    def _wish(
        self,
        server: str,
        components: Sequence[str],
        backup_type: BackupType | str,
        kind: CopyKind | str,
        check: bool,
        key: CopyId | str | None = None,
    ) -> CopyWish:
        if isinstance(components, str):
            raise UsageError("components is a list of names", hint=f"Say [{components!r}].")
        if not all(name.strip() for name in components):
            raise UsageError(
                "the name of a component is empty",
                hint="A variable of a script may be unset; name each component.",
            )
        return CopyWish(
            id=CopyId(self.parts.ids.guid() if key is None else guid(key)),
            server=server,
            components=tuple(components),
            backup_type=chosen(BackupType, backup_type, "the type of a backup"),
            kind=chosen(CopyKind, kind, "the kind of a copy"),
            check=check,
            keyed=key is not None,
        )

    def _budget(self, given: Budget | None) -> Budget:
        """The caller's budget, or one without limit."""
        return given or Budget.of(self.parts.clock)

    @contextmanager
    def _read_alone(self, copy: CopyId | str, doing: str) -> Iterator[Copy]:
        """A copy's record, to be mounted and read while no other operation moves its members."""
        wanted = self._id(copy)
        server = self.parts.catalog.get(wanted).server
        with self.parts.locks.hold(f"server-{server}", doing):
            yield looked_at(self.parts, self.parts.catalog.get(wanted))

    def _id(self, text: str) -> CopyId:
        """A full id, from a full id or the unique beginning of one."""
        if len(text) == 36:
            return CopyId(text.lower())
        hits = [
            copy
            for copy in self.parts.catalog.ids(include_deleted=True)
            if text and copy.startswith(text.lower())
        ]
        if len(hits) != 1:
            what = "no copy" if not hits else f"{len(hits)} copies"
            raise CopyNotFound(f"{what} with an id that begins with {text!r}")
        return hits[0]


def _component(name: str | None, former: str | None) -> str | None:
    """The component that was named, also by the argument's former name."""
    if former is None:
        return name
    warnings.warn("the argument 'group' is now 'component'", DeprecationWarning, stacklevel=3)
    if name is not None:
        raise UsageError("give 'component' or its former name 'group', not both")
    return former


def _doomed(copy: Copy, production: Production, budget: Budget) -> list[StorageId]:
    """The members that a deletion deletes: those on record, and of a failed copy whatever is left.

    A run that failed may have members of which no record speaks; the array knows them by key.
    """
    held = [m.storage for m in copy.members if m.life is MemberLife.HELD]
    if copy.failure:
        held += [each.id for each in production.store.look(key=copy.key, budget=budget)]
    given_up = {m.storage for m in copy.members if m.life is not MemberLife.HELD}
    return [each for each in dict.fromkeys(held) if each not in given_up]


def _deleted(copy: Copy) -> Copy:
    """The record of a copy whose members are gone."""
    members = tuple(
        evolve(m, life=MemberLife.DELETED) if m.life is MemberLife.HELD else m for m in copy.members
    )
    return evolve(copy, life=CopyLife.DELETED, members=members, leftovers=())


def _check_unused(copy: Copy, production: Production) -> None:
    """Whether a copy may be deleted now; the caller holds the server's lock."""
    if copy.life is CopyLife.DELETED:
        raise CopyNotFound(f"copy {copy.id} was deleted before", context={"copy": copy.id})
    if copy.life is CopyLife.PRESENTED:
        raise CopyInUse(f"copy {copy.id} is mounted", context={"copy": copy.id})
    if copy.stage == RECOVERING:
        raise CopyInUse(
            f"a recovery from copy {copy.id} is not ended",
            hint="Run 'frskit resume'.",
            context={"copy": copy.id},
        )
    # After a recovery the LUN of a copy may be production's own.
    mounted = {one for each in production.server.volumes() for one in each.storages}
    used = [m.storage for m in copy.members if m.life is MemberLife.HELD]
    if mounted.intersection(used):
        raise CopyInUse(f"production runs on a LUN of copy {copy.id}", context={"copy": copy.id})


if TYPE_CHECKING:
    _1: type[Requestor] = FastRecovery
    _2: type[SupportsRecovery] = FastRecovery
    _3: type[SupportsLogAnalysis] = FastRecovery
    _4: type[SupportsResume] = FastRecovery
