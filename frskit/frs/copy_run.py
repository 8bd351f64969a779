"""One copy, from wish to parked: the six steps of the flow, in the order of laws 5 and 6.

Plan, create (thawed when it returns), import on the recovery server, wait for normalization,
check every page and log from the presented copy, verdict durable, writers told, parked. On any
failure the application is thawed first, then things are cleaned up, then the error is reported;
older copies are never touched.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from frskit.clock import Budget
from frskit.errors import (
    ConfigurationError,
    FrskitError,
    IntegrityError,
    NormalizationFailed,
    NormalizationTimeout,
    OutcomeUnknown,
    ServiceError,
    StorageGroupNotRecognized,
    UsageError,
    WriterError,
)
from frskit.events import CopyStage, Progress, Warned
from frskit.frs.mounted_copy import MountedCopy, mount_points
from frskit.frs.previous_stamps import previous_stamps
from frskit.frs.report_completeness import held_against_files
from frskit.frs.set_lookup import planned_luns, remove_unfinished_set, sets_before, storages_of
from frskit.frs.state.journal_words import CopyStep, RequestorOperation
from frskit.frs.truncation_ledger import log_files, outcomes, truncations
from frskit.model.checks import FileVerdict
from frskit.model.copies import Completion, Copy, CopyLife, CopyMember, Verdict
from frskit.model.ids import CopyId, CopyKey, SetId, StorageId, VolumeId
from frskit.model.shadows import ShadowRequest
from frskit.model.storage import CopyKind, CopyState
from frskit.scopes import Releases, attached, told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from frskit.frs.deployment import Parts, Production
    from frskit.frs.state.journal import JournalOperation
    from frskit.model.checks import IntegrityReport
    from frskit.model.components import BackupType, Component, ComponentId
    from frskit.model.shadows import SetPlan, Shadow, ShadowSet
    from frskit.protocols import ShadowSession

__all__ = ["CopyRun", "CopyWish", "recoverable_names"]


@frozen(kw_only=True)
class CopyWish:
    """What the caller wants.

    Attributes:
        id: Id of the copy to be.
        server, components: What to copy.
        backup_type, kind: How.
        check: Whether to check; without it the copy is UNVERIFIED and nothing is truncated.
    """

    id: CopyId
    server: str
    components: tuple[str, ...]
    backup_type: BackupType
    kind: CopyKind
    check: bool = True

    @property
    def key(self) -> CopyKey:
        """What service and array are told to call it by, as `Copy.key`."""
        return CopyKey(self.id)

    def request(self, stamps: Mapping[ComponentId, str] | None = None) -> ShadowRequest:
        """The wish in the words of the shadow copy service.

        Args:
            stamps: Of the last backup; None tells nothing.
        """
        return ShadowRequest(
            key=self.key,
            components=self.components,
            backup_type=self.backup_type,
            kind=self.kind,
            previous_stamps=dict(stamps or {}),
        )


def recoverable_names(production: Production, explicit: Sequence[Component]) -> tuple[str, ...]:
    """What a record calls the selected components: by the application's names for them.

    People may name a component otherwise (by its GUID, its path, a container above it); a
    recovery and a listing find a copy by the component's name.

    Raises:
        StorageGroupNotRecognized: None of them can be recovered by the application.
    """
    components = {each.id: each.name for each in production.application.components()}
    if not any(each.id in components for each in explicit):
        named = ", ".join(each.caption or each.id.full_path for each in explicit)
        raise StorageGroupNotRecognized(
            f"{production.application.name} could not recover {named}",
            hint=f"Name one of: {', '.join(components.values()) or 'none'}.",
            context={"components": [each.id.full_path for each in explicit]},
        )
    return tuple(components.get(each.id) or each.caption or each.id.name for each in explicit)


class CopyRun:
    """One run of one copy."""

    def __init__(self, parts: Parts, wish: CopyWish, budget: Budget) -> None:
        self._parts = parts
        self._wish = wish
        self._budget = budget
        self._journal: JournalOperation | None = None
        self._luns: Mapping[VolumeId, Sequence[StorageId]] = {}
        self._creating = False
        self._sets_before: tuple[SetId, ...] | None = None
        self.copy: Copy = Copy(
            id=wish.id,
            server=wish.server,
            components=wish.components,
            kind=wish.kind,
            backup_type=wish.backup_type,
            created_at=parts.clock.now(),
            recovery_host=parts.recovery.server.host,
        )

    def run(self) -> Copy:
        """Make the copy.

        Raises:
            FrskitError: With ``copy``, ``stage`` and ``leftovers`` filled in; the record is
                durable before it is raised.
        """
        if not self._wish.components:
            raise UsageError("name at least one component")
        production = self._parts.production(self._wish.server)
        # One operation per server, so that no two freezes can ever meet [FRS-43].
        with self._parts.locks.hold(f"server-{self._wish.server}", "copy"):
            self._precheck(production)
            # Durable before anything is asked of anybody: from here on a resume can find it.
            self._record("requested")
            self._journal = self._parts.journal.begin(
                RequestorOperation.COPY,
                self.copy.id,
                server=self.copy.server,
                components=self.copy.components,
            )
            try:
                self._make(production)
            except BaseException as error:
                self._failed(error)
                raise
            self._journal.end(self.copy.life.value)
        return self.copy

    def _precheck(self, production: Production) -> None:
        """What must be right before anybody is disturbed."""
        checker = production.checker
        if self._wish.check and not checker.available(self._parts.recovery.server):
            raise UsageError(
                f"the checker {checker.name} is not available on the recovery server",
                hint="Install it there, or ask for an unverified copy explicitly.",
            )
        able = production.service.capabilities
        if self._wish.backup_type not in able.backup_types:
            raise UsageError(
                f"the shadow copy service cannot make {self._wish.backup_type.value} backups"
            )
        if not able.transportable:
            raise UsageError("the shadow copy service cannot make sets for another server")

    def _make(self, production: Production) -> None:
        """Session, verdict, completion, parking."""
        # Open until the verdict is in: leaving it would tell the writers that the backup is over
        # [VSS-65].
        with production.service.session(self._wish.request(self._stamps(production))) as session:
            plan = session.plan(budget=self._budget)
            storages = self._planned(plan)
            created = self._create(production, session, storages)
            self._created(created)
            try:
                report = self._judge(production)
            except BaseException:
                # No verdict: the writers hear failure, so that no log goes, and the set is deleted.
                self._tell(session, dict.fromkeys(self._selected(), False))
                self._discard(production)
                raise
            self._conclude(production, session, report)
        self._park()
        if report is not None and self.copy.verdict is Verdict.CORRUPT:
            raise self._integrity_error(report)

    def _stamps(self, production: Production) -> Mapping[ComponentId, str]:
        if not production.service.capabilities.previous_stamps:
            return {}
        return previous_stamps(self._parts.catalog, self._wish.server)

    def _create(
        self, production: Production, session: ShadowSession, storages: Sequence[StorageId]
    ) -> ShadowSet:
        """Create the set; what may be needed to find it again is on record before."""
        before = sets_before(production.service, self._budget)
        facts = {} if before is None else {"known_sets": before}
        self._creating, self._sets_before = True, before
        with self._step(CopyStep.CREATE, key=self.copy.key, storages=storages, **facts):
            created = session.create(budget=self._budget)
        self._creating = False
        return created

    def _planned(self, plan: SetPlan) -> tuple[StorageId, ...]:
        production = self._parts.production(self._wish.server)
        storages = storages_of(plan, production.server)
        if not storages:
            raise StorageGroupNotRecognized(
                f"none of {', '.join(self._wish.components)} lies on an array",
                context={"server": self._wish.server},
            )
        self._refuse_own_state(plan)
        self._luns = planned_luns(plan, production.server)
        self.copy = evolve(
            self.copy,
            components=recoverable_names(production, plan.explicit),
            selected=plan.explicit,
            files=plan.components,
        )
        self._record("planned", f"{len(plan.volumes)} volumes on {len(storages)} LUNs")
        return storages

    def _refuse_own_state(self, plan: SetPlan) -> None:
        """The catalog must not lie on a volume that is about to be frozen [HAZ-19]."""
        state = self._parts.state
        if state is None:
            return
        try:
            place = self._parts.production(self._wish.server).server.resolve(str(state.resolve()))
        except FrskitError:
            return  # not on any volume of that server
        if place.volume in plan.volumes:
            raise ConfigurationError(
                f"the catalog and journal in {state} lie on a volume that would be frozen",
                hint="Keep the site's state directory on another volume.",
                context={"volume": place.volume},
            )

    def _created(self, created: ShadowSet) -> None:
        """The copies exist and the application runs again; make that durable."""
        # One member per LUN, whatever lies on it.
        members = {
            shadow.storage: CopyMember(
                volume=shadow.volume,
                mount_point=shadow.mount_point,
                source=self._source(shadow),
                storage=shadow.storage,
            )
            for shadow in created.shadows
        }
        self.copy = evolve(
            self.copy,
            set_id=created.id,
            members=tuple(members.values()),
            life=CopyLife.CREATED,
            created_at=created.created_at,
            documents=created.documents,
            records=created.records,
            freeze_s=created.freeze_s,
            hold_s=created.hold_s,
        )
        frozen = "" if created.freeze_s is None else f"frozen for {created.freeze_s:.3f} s"
        self._record("created", frozen)

    def _source(self, shadow: Shadow) -> StorageId:
        """The LUN of the original: by the service's word, or else as the server sees the volume."""
        if shadow.source is not None:
            return shadow.source
        luns = self._luns.get(shadow.volume, ())
        if len(luns) != 1:
            raise ServiceError(
                f"the shadow copy service copied {shadow.volume} of {shadow.mount_point}, "
                "whose LUN is not known",
                context={"set": shadow.set_id, "volume": shadow.volume},
            )
        return luns[0]

    # --- the recovery side ---------------------------------------------------------------

    def _judge(self, production: Production) -> IntegrityReport | None:
        """Import, wait, mount, check; None if no check was wanted."""
        recovery = self._parts.recovery
        # Bounds how long the writers wait for their verdict.
        budget = self._budget.at_most(self._parts.policy.verdict_deadline_s)
        if self.copy.documents is None:
            raise WriterError("the shadow copy service returned no documents")
        with self._step(CopyStep.IMPORT):
            recovery.service.import_set(self.copy.documents, budget=budget)
        self.copy = evolve(self.copy, life=CopyLife.IMPORTED)
        self._record("imported")
        self._wait_normalized(production, budget)
        if not self._wish.check:
            return None
        at = mount_points(recovery.mount_root, self.copy, self.copy.members)
        with attached(recovery.server, at, read_only=True, budget=budget) as volumes:
            self._stage("checking")
            return self._check(production, MountedCopy(self.copy, recovery.server, volumes), budget)

    def _check(
        self, production: Production, target: MountedCopy, budget: Budget
    ) -> IntegrityReport:
        """The checker's report, held against the list of files, which frskit knows itself."""
        checker = production.checker
        try:
            report = checker.check(
                target,
                executor=self._parts.executor,
                progress=self._progress("check"),
                budget=budget,
            )
        except FrskitError:
            raise
        except Exception as error:
            raise IntegrityError(
                f"the checker {checker.name} failed: {told(error)}",
                hint="The copy was not judged. This is a defect of the checker.",
                context={"copy": self.copy.id},
            ) from error
        return held_against_files(report, target, checker.name)

    def _wait_normalized(self, production: Production, budget: Budget) -> None:
        """Wait until no member is normalizing; the array is the only witness [FRS-07]."""
        policy = self._parts.policy
        # Monotonic, because the clock may be set during a night of copying.
        limit = self._parts.clock.monotonic() + policy.normalization_timeout_s
        storages = [member.storage for member in self.copy.members]
        self._stage("normalizing")
        while True:
            states = production.store.states(storages)
            broken = [each.id for each in states if each.state is CopyState.INVALID]
            # Asked for exactly these: one that the array does not name is gone.
            missing = set(storages) - {each.id for each in states}
            if broken or missing:
                raise NormalizationFailed(
                    "the array lost members of the copy: " + ", ".join([*broken, *missing])
                )
            running = [each for each in states if each.state is CopyState.NORMALIZING]
            total = sum(each.size_bytes for each in states)
            left = sum(each.size_bytes - (each.copied_bytes or 0) for each in running)
            self._progress("normalization")(total - left, total)
            if not running:
                break
            # Late is a failure: no check ever starts on a copy that still normalizes.
            if self._parts.clock.monotonic() >= limit:
                raise NormalizationTimeout(
                    f"{len(running)} members still normalize after "
                    f"{policy.normalization_timeout_s:.0f} s",
                    context={"copy": self.copy.id, "left_bytes": left},
                )
            budget.wait(policy.normalization_poll_s, "waiting for normalization")
        self._stage("normalized")

    # --- the end -------------------------------------------------------------------------

    def _conclude(
        self, production: Production, session: ShadowSession, report: IntegrityReport | None
    ) -> None:
        """Verdict durable first, then the writers; what disappeared is found by looking."""
        if report is None:
            self.copy = evolve(self.copy, verdict=Verdict.UNVERIFIED)
            self._record("unverified", "no check was wanted; no log will be truncated")
            return
        # A correctable page only looks like the old one: it passes with the site's consent alone
        #
        good = report.image_ok and self._pages_ok(report)
        self.copy = evolve(
            self.copy,
            report=report,
            verdict=Verdict.VERIFIED if good else Verdict.CORRUPT,
            life=CopyLife.VERIFIED if good else CopyLife.FAILED,
        )
        self._record("verified" if good else "corrupt")
        objections = outcomes(self.copy, report, self._parts.policy)
        success = {
            component: good and not objections.get(component, "it was not checked")
            for component in self._selected()
        }
        for component, objection in objections.items():
            if good and objection:
                self._warn(f"logs of {component.name} are kept: {objection}")
        # Looked at right before and after; only what is gone then counts as truncated.
        before = log_files(production.server, self.copy.files)
        self._tell(session, success)
        after = log_files(production.server, self.copy.files)
        gone = truncations(report, before, after)
        self.copy = evolve(self.copy, truncated=gone)
        self._record("completed", f"{sum(each.count for each in gone)} logs were truncated")

    def _pages_ok(self, report: IntegrityReport) -> bool:
        if self._parts.policy.accept_correctable:
            return True
        return not any(
            file.verdict is FileVerdict.CORRECTABLE and file.needed for file in report.files
        )

    def _tell(self, session: ShadowSession, success: Mapping[ComponentId, bool]) -> None:
        """Tell the writers the outcome; what came of it is recorded, never raised."""
        want = all(success.values())
        # With time of its own: that the caller's is used up must not leave the writers waiting.
        try:
            with self._step(CopyStep.COMPLETE, success=want):
                report = session.complete(success, budget=Budget.of(self._parts.clock))
        except OutcomeUnknown as error:
            completion = Completion.UNKNOWN
            self._warn(f"it is not known whether the writers got the outcome: {error}")
        except FrskitError as error:
            completion = Completion.FAILED
            self._warn(f"the writers could not be told the outcome: {error}")
        except Exception as error:  # noqa: BLE001 - a foreign error says nothing of what was told
            completion = Completion.UNKNOWN
            self._warn(f"it is not known whether the writers got the outcome: {told(error)}")
        else:
            # A writer that was told of a failure has completed nothing.
            completion = Completion.DONE if want and report.completed else Completion.FAILED
            if report.documents is not None:
                self.copy = evolve(self.copy, documents=report.documents)
        self.copy = evolve(self.copy, completion=completion)

    def _park(self) -> None:
        """Let go of the set: from now on the copy is managed by the identity of its members."""
        recovery = self._parts.recovery
        with self._step(CopyStep.BREAK):
            recovery.service.break_set(self._set(), budget=self._budget)
        storages = [member.storage for member in self.copy.members]
        production = self._parts.production(self._wish.server)
        with self._step(CopyStep.HIDE):
            production.store.unpresent(storages, budget=self._budget)
            recovery.server.rescan(budget=self._budget)
        # A corrupt copy is parked, too, for whoever wants to look into it, but stays FAILED.
        if self.copy.life is not CopyLife.FAILED:
            self.copy = evolve(self.copy, life=CopyLife.PARKED)
        self._record("parked")

    # --- failure -------------------------------------------------------------------------

    def _discard(self, production: Production) -> None:
        """Delete a set that will never get a verdict; what cannot be deleted is named."""
        recovery, set_id = self._parts.recovery, self._set()
        storages = [member.storage for member in self.copy.members]
        budget = Budget.of(self._parts.clock)
        releases = Releases()
        # Unwound from the last: mounts, set, members.
        releases.push("members on the array", lambda: self._delete(production, storages, budget))
        releases.push(
            "set on the recovery server",
            lambda: recovery.service.delete_set(set_id, budget=budget),
        )
        releases.push("mounts of the copy", lambda: recovery.server.detach(storages, budget=budget))
        leftovers = releases.unwind()
        self.copy = evolve(self.copy, leftovers=(*self.copy.leftovers, *leftovers))

    def _delete(
        self, production: Production, storages: Sequence[StorageId], budget: Budget
    ) -> None:
        production.store.delete(storages, budget=budget)
        self._parts.recovery.server.rescan(budget=budget)

    def _failed(self, error: BaseException) -> None:
        """Make the failure durable and put it onto the error."""
        code = error.code if isinstance(error, FrskitError) else type(error).__name__
        stage = self.copy.stage
        leftovers = (
            *self.copy.leftovers,
            *getattr(error, "leftovers", ()),
            *self._remove_half_made(),
        )
        # A durable verdict outlives whatever fails after it.
        verified = self.copy.verdict is Verdict.VERIFIED
        self.copy = evolve(
            self.copy,
            life=self.copy.life if verified else CopyLife.FAILED,
            failure=f"{code}: {error}",
            leftovers=tuple(dict.fromkeys(leftovers)),
        )
        self._parts.catalog.put(self.copy)
        self._emit_stage("failed", f"in stage {stage}: {error}")
        if self._journal is not None:
            self._journal.end(f"failed in {stage}")
        if isinstance(error, FrskitError):
            error.copy, error.stage, error.leftovers = self.copy, stage, self.copy.leftovers

    def _remove_half_made(self) -> list[str]:
        """What a creation that did not return has left, where the service names sets itself."""
        if not self._creating:
            return []
        service = self._parts.production(self._wish.server).service
        budget = Budget.of(self._parts.clock)
        try:
            return remove_unfinished_set(service, self.copy.key, self._sets_before, budget)
        except Exception as error:  # noqa: BLE001 - the reason of the failure says more
            return [f"whatever the service made of set {self.copy.key}: {told(error)}"]

    def _integrity_error(self, report: IntegrityReport) -> IntegrityError:
        worst = [
            f"{file.path}: {file.verdict.value}" + (f" ({file.detail})" if file.detail else "")
            for file in report.damaged
        ]
        problems = [text for check in report.components for text in check.problems]
        return IntegrityError(
            f"the copy did not pass its check: {'; '.join(worst[:3] or problems[:3])}",
            context={"copy": self.copy.id, "files": worst, "problems": problems},
        )

    # --- small helpers -------------------------------------------------------------------

    def _set(self) -> SetId:
        """The set of this copy, which was created.

        Raises:
            ServiceError: It was not.
        """
        if self.copy.set_id is None:
            raise ServiceError(f"copy {self.copy.id} has no shadow copy set")
        return self.copy.set_id

    def _selected(self) -> Sequence[ComponentId]:
        return tuple(component.id for component in self.copy.selected)

    def _record(self, stage: str, detail: str = "") -> None:
        self.copy = evolve(self.copy, stage=stage)
        self._parts.catalog.put(self.copy)
        self._emit_stage(stage, detail)

    def _stage(self, stage: str) -> None:
        self.copy = evolve(self.copy, stage=stage)
        self._emit_stage(stage, "")

    def _emit_stage(self, stage: str, detail: str) -> None:
        now = self._parts.clock.now()
        self._parts.sink.emit(CopyStage(at=now, copy=self.copy.id, stage=stage, detail=detail))

    def _warn(self, text: str) -> None:
        self._parts.sink.emit(Warned(at=self._parts.clock.now(), text=text))

    def _step(self, name: CopyStep, **facts: object) -> AbstractContextManager[None]:
        return nullcontext() if self._journal is None else self._journal.step(name, **facts)

    def _progress(self, operation: str) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            now = self._parts.clock.now()
            self._parts.sink.emit(Progress(at=now, operation=operation, done=done, total=total))

        return report
