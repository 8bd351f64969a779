"""`FastRecovery`: copies, listings, deletions and recoveries of one site."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.clock import Budget, CancelToken
from frskit.errors import CopyInUse, CopyNotFound, TimedOut, UsageError
from frskit.frs.copy_run import CopyRun, CopyWish, recoverable_names
from frskit.frs.recovery.execution import RecoveryRun
from frskit.frs.recovery.planning import RecoveryWish, make_plan, mounted
from frskit.frs.resume import Resumed, resume
from frskit.frs.set_lookup import storages_of
from frskit.frs.state.journal_words import RECOVERING, DeletionStep, RequestorOperation
from frskit.model.choices import chosen
from frskit.model.components import BackupType
from frskit.model.copies import Copy, CopyFilter, CopyLife, MemberLife, Verdict
from frskit.model.ids import CopyId
from frskit.model.plans import CopyPlan, PlanStep, RecoveryMethod, RecoveryMode
from frskit.model.storage import CopyKind, CopyState

if TYPE_CHECKING:
    from frskit.events import EventSink
    from frskit.frs.deployment import Parts, Production
    from frskit.model.plans import LogAnalysis, RecoveryPlan, RecoveryReport
    from frskit.model.shadows import SetPlan
    from frskit.protocols import (
        CopyOperation,
        Requestor,
        SupportsLogAnalysis,
        SupportsRecovery,
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


class RunningCopy:
    """A copy that is being made in a thread of its own."""

    def __init__(self, run: CopyRun, token: CancelToken) -> None:
        self._run = run
        self._token = token
        self._error: BaseException | None = None
        # A daemon, because the process may end at any time: a resume finishes what it leaves.
        self._thread = threading.Thread(target=self._work, name=f"copy-{run.copy.id}", daemon=True)
        self._thread.start()

    @property
    def id(self) -> CopyId:
        """Id of the copy to be."""
        return self._run.copy.id

    def status(self) -> Copy:
        """The record as it stands."""
        return self._run.copy

    def wait(self, timeout_s: float | None = None) -> Copy:
        """The finished copy; raises what made it fail, or `TimedOut` while it goes on."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimedOut(f"copy {self.id} is still being made", context={"copy": self.id})
        if self._error is not None:
            raise self._error
        return self._run.copy

    def cancel(self) -> None:
        """Stop at the next safe point. Idempotent."""
        self._token.cancel()

    def _work(self) -> None:
        try:
            self._run.run()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            self._error = error


class FastRecovery:
    """The requestor of one site.

    Every call works on the site's parts; `subscribe` to see events. Made by `frskit.site`.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

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
    ) -> CopyPlan:
        """What `create_copy` would do; nothing on the array or at the writers stays changed."""
        production = self.parts.production(server)
        wish = self._wish(server, components, backup_type, kind, check=True)
        with production.service.session(wish.request()) as session:
            plan = session.plan(budget=Budget.of(self.parts.clock))
        return self._copy_plan(wish, plan)

    def _copy_plan(self, wish: CopyWish, plan: SetPlan) -> CopyPlan:
        production = self.parts.production(wish.server)
        points = {
            volume.id: (volume.mount_points or ("",))[0] for volume in production.server.volumes()
        }
        warnings = (
            ()
            if wish.kind is CopyKind.SNAPCLONE
            else ("only a snapclone can take the place of production's LUNs in a recovery",)
        )
        return CopyPlan(
            server=wish.server,
            components=recoverable_names(production, plan.explicit),
            kind=wish.kind,
            backup_type=wish.backup_type,
            volumes=tuple((volume, points.get(volume, "")) for volume in plan.volumes),
            storages=storages_of(plan, production.server),
            recovery_server=self.parts.recovery.server.name,
            excluded=tuple(f"{each.component.full_path}: {each.reason}" for each in plan.excluded),
            warnings=warnings,
            steps=tuple(PlanStep(title=title, detail=detail) for title, detail in _FLOW),
        )

    def create_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType | str,
        kind: CopyKind | str = CopyKind.SNAPCLONE,
        check: bool = True,
        budget: Budget | None = None,
    ) -> Copy:
        """Copy, check, tell the writers; return the copy or raise with the record attached.

        Args:
            server: Production server.
            components: What to copy, by name or caption: storage groups of Exchange.
            backup_type: VSS type, or its word; FULL truncates logs after a good verdict, COPY
                never does.
            kind: Kind of array copy, or its word.
            check: False makes an UNVERIFIED copy and truncates nothing [FRS-54].
            budget: Deadline and cancel token for the whole run.

        Raises:
            IntegrityError: The copy did not pass; no log was touched, the writer was told failure.
            FrskitError: With ``copy``, ``stage`` and ``leftovers``.
        """
        wish = self._wish(server, components, backup_type, kind, check)
        return CopyRun(self.parts, wish, budget or Budget.of(self.parts.clock)).run()

    def start_copy(
        self,
        server: str,
        components: Sequence[str],
        *,
        backup_type: BackupType | str,
        kind: CopyKind | str = CopyKind.SNAPCLONE,
        check: bool = True,
    ) -> RunningCopy:
        """Begin a copy in the background."""
        token = CancelToken()
        wish = self._wish(server, components, backup_type, kind, check)
        budget = Budget.of(self.parts.clock, token=token)
        return RunningCopy(CopyRun(self.parts, wish, budget), token)

    def copies(self, *, server: str | None = None, component: str | None = None) -> Sequence[Copy]:
        """The copies, newest first; verdicts are asked anew of the array [HAZ-04].

        Reports, writer records and documents are left out; `copy` has them.
        """
        wanted = CopyFilter(server=server, component=component)
        return tuple(self._looked_at(copy) for copy in self.parts.catalog.find(wanted))

    def copy(self, copy: CopyId | str) -> Copy:
        """One copy with everything that is known about it.

        Raises:
            CopyNotFound: None of this id.
        """
        return self._looked_at(self.parts.catalog.get(self._id(copy)))

    def delete_copy(self, copy: CopyId | str) -> None:
        """Delete a copy from array and catalog; resumable [HAZ-14].

        Raises:
            CopyNotFound: No such copy, or it was deleted before [R-24].
            CopyInUse: It is mounted or leased, or production runs on it.
            UsageError: The beginning of an id is too short to delete by.
            Busy: Another operation on the server is running.
        """
        wanted = self._id(copy)
        # What was typed counts, not what it stands for: a slip must not delete a copy.
        if len(copy) < _DELETE_BY:
            raise UsageError(
                f"{copy!r} is too little of an id to delete a copy by",
                hint=f"Give at least {_DELETE_BY} characters: 'frskit copy list'.",
            )
        server = self.parts.catalog.get(wanted).server
        with self.parts.locks.hold(f"server-{server}", "deletion"):
            # Everything is read in here: another operation may have changed it until now.
            record = self.parts.catalog.get(wanted)
            production = self.parts.production(server)
            _check_unused(record, production)
            journal = self.parts.journal.begin(RequestorOperation.DELETION, record.id)
            # On record before the first effect: a deletion that breaks off is gone on with
            # [HAZ-14].
            record = evolve(record, life=CopyLife.DELETING)
            self.parts.catalog.put(record)
            held = [m.storage for m in record.members if m.life is MemberLife.HELD]
            with journal.step(DeletionStep.DELETE, storages=held):
                production.store.delete(held, budget=Budget.of(self.parts.clock))
                self.parts.recovery.server.rescan(budget=Budget.of(self.parts.clock))
            members = tuple(
                evolve(m, life=MemberLife.DELETED) if m.life is MemberLife.HELD else m
                for m in record.members
            )
            self.parts.catalog.put(evolve(record, life=CopyLife.DELETED, members=members))
            journal.end("deleted")

    def resume(self) -> Sequence[Resumed]:
        """Finish or roll back what an earlier process left unfinished."""
        return resume(self.parts)

    # --- recovery ------------------------------------------------------------------------

    def plan_recovery(
        self,
        copy: CopyId | str,
        *,
        mode: RecoveryMode | str,
        method: RecoveryMethod | str = RecoveryMethod.SWAP,
        component: str | None = None,
        accept_unverified: bool = False,
        group: str | None = None,
    ) -> RecoveryPlan:
        """What a recovery would do; array and files are as before when it returns [FRS-32].

        Args:
            copy: Its id, or the beginning of it.
            mode: To the copy's instant, or forward with production's logs.
            method: How the data comes back.
            component: By name; None if the copy holds just one.
            accept_unverified: Whether a copy that was not checked will do (never a corrupt one).
            group: The former name of ``component``, deprecated.

        Raises:
            RecoveryPrecondition: Not legal or not possible; the context names the condition.
            Busy: Another operation on the server is running.
        """
        wish = RecoveryWish(
            mode=chosen(RecoveryMode, mode, "the mode of a recovery"),
            method=chosen(RecoveryMethod, method, "the method of a recovery"),
            component=_component(component, group),
            accept_unverified=accept_unverified,
        )
        with self._read_alone(copy, "planning") as record:
            return make_plan(self.parts, record, wish, Budget.of(self.parts.clock))

    def recover(self, plan: RecoveryPlan) -> RecoveryReport:
        """Carry a plan out.

        Raises:
            RecoveryPrecondition: The plan is out of date; nothing was changed.
            RecoveryFailed: Steps were undone; ``leftovers`` names what was not.
        """
        return RecoveryRun(self.parts, plan, Budget.of(self.parts.clock)).run()

    def analyze_logs(
        self, server: str, component: str, *, copy: CopyId | str | None = None
    ) -> Sequence[LogAnalysis]:
        """What the logs allow, per mode: of production alone, or with a copy's databases.

        Raises:
            Busy: With a copy: another operation on the server is running.
        """
        production = self.parts.production(server)
        application = production.application
        if copy is None:
            return tuple(application.analyze(component, None, mode) for mode in RecoveryMode)
        budget = Budget.of(self.parts.clock)
        with (
            self._read_alone(copy, "analysis") as record,
            mounted(self.parts, production, record, budget) as files,
        ):
            return tuple(application.analyze(component, files, mode) for mode in RecoveryMode)

    # --- small helpers -------------------------------------------------------------------

    def _wish(
        self,
        server: str,
        components: Sequence[str],
        backup_type: BackupType | str,
        kind: CopyKind | str,
        check: bool,
    ) -> CopyWish:
        if isinstance(components, str):
            raise UsageError("components is a list of names", hint=f"Say [{components!r}].")
        if not all(name.strip() for name in components):
            raise UsageError(
                "the name of a component is empty",
                hint="A variable of a script may be unset; name each component.",
            )
        return CopyWish(
            id=CopyId(self.parts.ids.guid()),
            server=server,
            components=tuple(components),
            backup_type=chosen(BackupType, backup_type, "the type of a backup"),
            kind=chosen(CopyKind, kind, "the kind of a copy"),
            check=check,
        )

    @contextmanager
    def _read_alone(self, copy: CopyId | str, doing: str) -> Iterator[Copy]:
        """A copy's record, to be mounted and read while no other operation moves its members."""
        wanted = self._id(copy)
        server = self.parts.catalog.get(wanted).server
        with self.parts.locks.hold(f"server-{server}", doing):
            yield self._looked_at(self.parts.catalog.get(wanted))

    def _id(self, text: str) -> CopyId:
        """A full id, from a full id or the unique beginning of one."""
        if len(text) == 36:
            return CopyId(text.lower())
        hits = [
            copy.id
            for copy in self.parts.catalog.find(CopyFilter(include_deleted=True))
            if text and copy.id.startswith(text.lower())
        ]
        if len(hits) != 1:
            what = "no copy" if not hits else f"{len(hits)} copies"
            raise CopyNotFound(f"{what} with an id that begins with {text!r}")
        return hits[0]

    def _looked_at(self, copy: Copy) -> Copy:
        """The record with its verdict decayed if the array lost a member."""
        held = [m.storage for m in copy.members if m.life is MemberLife.HELD]
        if copy.verdict is not Verdict.VERIFIED or copy.life is CopyLife.DELETED or not held:
            return copy
        states = self.parts.production(copy.server).store.states(held)
        alive = {each.id for each in states if each.state is not CopyState.INVALID}
        if alive == set(held):
            return copy
        lost = set(held) - alive

        def decay(record: Copy) -> Copy:
            """Unless a recovery or deletion has given the lost members up meanwhile."""
            still = {m.storage for m in record.members if m.life is MemberLife.HELD} & lost
            if not still or record.verdict is not Verdict.VERIFIED:
                return record
            failure = f"the array lost {', '.join(sorted(still))}"
            return evolve(record, verdict=Verdict.DECAYED, failure=failure)

        return self.parts.catalog.update(copy.id, decay)


def _component(name: str | None, former: str | None) -> str | None:
    """The component that was named, also by the argument's former name."""
    if former is None:
        return name
    warnings.warn("the argument 'group' is now 'component'", DeprecationWarning, stacklevel=3)
    if name is not None:
        raise UsageError("give 'component' or its former name 'group', not both")
    return former


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
    _4: type[CopyOperation] = RunningCopy
