"""Backup and restore sessions: the friendly layer over `BackupComponents`.

A session makes illegal orders impossible: plan, create, complete, and leaving it always ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from frskit.clock import Budget
from frskit.codes.hresult import hresult
from frskit.errors import (
    BadState,
    FrskitError,
    OutcomeUnknown,
    SnapshotSetInProgress,
    Stopped,
    UsageError,
    WriterNotFound,
)
from frskit.model.components import ComponentId, WriterMetadata, WriterState
from frskit.model.files import FileSet
from frskit.model.ids import SetId, StorageId, VolumeId
from frskit.model.shadows import (
    CompletionReport,
    LunInformation,
    RestoreRequest,
    SetPlan,
    ShadowRequest,
    ShadowSet,
)
from frskit.model.storage import CopyKind
from frskit.model.volumes import Volume
from frskit.vss.context_flags import CTX_APP_ROLLBACK, CTX_BACKUP, Attribute
from frskit.vss.one_cut import check_one_cut
from frskit.vss.requestor.backup_components import BackupComponents
from frskit.vss.requestor.component_selection import Selection, select_components
from frskit.vss.requestor.import_break_delete import delete_set
from frskit.vss.state_tables import RequestorState

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from frskit.protocols import HardwareProvider
    from frskit.vss.engine import EngineOwner

__all__ = ["EngineRestoreSession", "EngineSession", "context_of"]


def context_of(request: ShadowRequest) -> int:
    """The context of a request: persistence, transport, and the kind as PLEX or DIFFERENTIAL.

    That snapclones are plexes and (v)snapshots differential is how [VSS 4.4] reads the EVA.
    """
    # The two contexts with writers; the others have none or belong to the system provider [VSS
    # 4.4].
    context = CTX_APP_ROLLBACK if request.persistent else CTX_BACKUP
    if request.transportable:
        context |= Attribute.TRANSPORTABLE
    if request.kind is CopyKind.SNAPCLONE:
        context |= Attribute.PLEX
    elif request.kind is not None:
        context |= Attribute.DIFFERENTIAL
    return int(context)


class EngineSession:
    """A `ShadowSession` of frskit's own coordinator."""

    def __init__(self, service: EngineOwner, request: ShadowRequest) -> None:
        self._service = service
        self._request = request
        self._components: BackupComponents | None = None
        self._plan: SetPlan | None = None
        self._created: ShadowSet | None = None
        self._begun = False
        self._over = False
        self._lock = threading.RLock()
        # Apart, so that `abandon` need not wait for a writer that is slow to say who it is.
        self._turn = threading.RLock()

    @property
    def components(self) -> BackupComponents:
        """The requestor object below.

        Raises:
            BadState: The session was not entered, or is over.
        """
        if self._components is None or self._over:
            raise BadState(
                "the session is over" if self._over else "the session was not entered",
                native=hresult("VSS_E_BAD_STATE"),
                hint="Use it in a with statement; one session serves one backup.",
            )
        return self._components

    def __enter__(self) -> Self:
        if self._components is not None:
            raise BadState("a session can be entered once", native=hresult("VSS_E_BAD_STATE"))
        components = BackupComponents(self._service)
        self._components = components
        try:
            components.initialize_for_backup()
            components.set_context(context_of(self._request))
            components.set_backup_state(self._request.backup_type)
        except BaseException:
            self.abandon()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()

    def plan(self, *, budget: Budget) -> SetPlan:
        """Choose components, volumes and LUNs; nothing on the array changes. Repeatable."""
        with self._turn:
            components = self.components
            # Once: a requestor object gathers metadata once [VSS-23].
            if self._plan is None:
                budget.check("planning a shadow copy set")
                components.gather_writer_metadata(budget=budget)
                self._plan = self._choose(components)
            return self._plan

    def _choose(self, components: BackupComponents) -> SetPlan:
        writers = components.get_writer_metadata()
        if not writers:
            raise WriterNotFound(
                f"no writer on server {self._service.engine.server.name} answered",
                context={"server": self._service.engine.server.name},
            )
        selection = select_components(
            writers,
            locate=self._locate,
            wanted=self._request.components,
            backup_type=self._request.backup_type,
        )
        storages = self._check_storages(selection, writers)
        # Last, because a component cannot be taken back: everything that may refuse comes before.
        for each in selection.explicit:
            components.add_component(each.id)
            if each.id in self._request.previous_stamps:
                stamp = self._request.previous_stamps[each.id]
                components.set_previous_backup_stamp(each.id, stamp)
        return SetPlan(
            writers=selection.writers,
            explicit=selection.explicit,
            components=selection.components,
            volumes=selection.volumes,
            storages=storages,
            excluded=selection.excluded,
        )

    def _locate(self, files: FileSet) -> VolumeId:
        return self._service.engine.server.resolve(files.path).volume

    def _check_storages(
        self, selection: Selection, writers: Sequence[WriterMetadata]
    ) -> tuple[StorageId, ...]:
        """The LUNs; fails now if their provider would refuse them together [R-23]."""
        found: dict[StorageId, LunInformation] = {}
        groups: list[tuple[HardwareProvider, dict[StorageId, LunInformation]]] = []
        engine, kind, context = self._service.engine, self._request.kind, context_of(self._request)
        for volume_id in selection.volumes:
            name = self._name(volume_id)
            volume, _ = engine.volume_at(name)
            lun, _, _ = engine.extent(volume, name)
            found[lun.storage] = lun
            provider = engine.providers.choose([lun], kind, context=context, volume=name)
            group = next((luns for each, luns in groups if each is provider), None)
            if group is None:
                groups.append((provider, {lun.storage: lun}))
            else:
                group[lun.storage] = lun
        chosen = {each.id.writer_id for each in selection.explicit}
        taking_part = [each for each in writers if each.writer_id in chosen]
        for provider, luns in groups:
            check_one_cut(engine, provider, len(luns), taking_part)
            # One LUN was asked about above; together they may exceed what the array does at one
            # instant.
            if len(luns) > 1:
                engine.providers.choose(
                    list(luns.values()),
                    kind,
                    context=context,
                    volume="the whole set",
                    provider_id=engine.providers.info(provider).id,
                )
        return tuple(found)

    def _name(self, volume_id: VolumeId) -> str:
        """A volume's name as the fine-grained layer wants it: with a separator at the end."""
        volume = self._volume(volume_id)
        place = volume.mount_points[0]
        if place.endswith(("\\", "/")):
            return place
        return place + ("/" if "/" in place else "\\")

    def _volume(self, volume_id: VolumeId) -> Volume:
        for volume in self._service.engine.server.volumes():
            if volume.id == volume_id and volume.mount_points:
                return volume
        # The files were found there a moment ago, so it has been dismounted meanwhile.
        raise UsageError(
            f"volume {volume_id} of server {self._service.engine.server.name} is not mounted any more",
            context={"volume": volume_id},
            hint="Mount it and try again.",
        )

    def create(self, *, budget: Budget) -> ShadowSet:
        """Make the shadow copies; returns thawed or raises thawed.

        Raises:
            As `frskit.protocols.ShadowSession.create`; writers have got Abort then.
        """
        with self._turn:
            plan = self.plan(budget=budget)
            components = self.components
            if self._begun:
                raise BadState(
                    "a session creates one set, and this one has begun it",
                    native=hresult("VSS_E_BAD_STATE"),
                    hint="Use a new session for each backup.",
                )
            self._begun = True
        created: ShadowSet | None = None
        try:
            # This service names its sets as the requestor wants.
            wanted = SetId(self._request.key)
            components.start_snapshot_set(wanted, kind=self._request.kind)
            for volume in plan.volumes:
                components.add_to_snapshot_set(self._name(volume))
            components.prepare_for_backup()
            if components.writer_failures:
                raise components.writer_failures[0]
            created = components.do_snapshot_set(budget=budget, stop_at_veto=True)
            # The status must be gathered after each of these steps [VSS 0.6].
            components.gather_writer_status()
            components.save_as_xml()
        except SnapshotSetInProgress:
            self._begun = False  # nothing was begun: the session may try again
            raise
        except BaseException as error:
            # Whether the service has sent Abort cannot be known from outside [VSS 1.5]. A session
            # that was abandoned by another thread is over by now.
            try:
                if components.state is not RequestorState.RELEASED:
                    components.abort_backup()
            finally:
                if created is not None:
                    self._remove(created, error)
            raise
        self._created = created
        return created

    def _remove(self, created: ShadowSet, error: BaseException) -> None:
        """The caller hears of no set, so none may remain; what does is named in the error."""
        engine = self._service.engine
        try:
            delete_set(engine, created.id, Budget.of(engine.clock, engine.cleanup_s))
        except Exception as problem:  # noqa: BLE001  the reason why it came to this says more
            error.add_note(f"left behind: set {created.id}: {problem}")
            if isinstance(error, FrskitError):
                left = f"set {created.id}: {problem}"
                error.leftovers = (*error.leftovers, left)

    def complete(self, outcomes: Mapping[ComponentId, bool], *, budget: Budget) -> CompletionReport:
        """Tell the writers the verdict; components without one count as failed [VSS-64].

        Raises:
            BadState: Nothing was created, or it was completed or abandoned before.
            NotFound: An outcome is for a component that is not in the backup; nothing was sent.
            OutcomeUnknown: A writer did not say whether it got the verdict [HAZ-20].
        """
        components = self.components
        if self._created is None:
            raise BadState("nothing was created", native=hresult("VSS_E_BAD_STATE"))
        budget.check("completing a backup")
        # Every explicit component gets a verdict, and what was not named failed [VSS-64].
        verdicts = {each.id: False for each in self.plan(budget=budget).explicit}
        for component, succeeded in {**verdicts, **outcomes}.items():
            components.set_backup_succeeded(component, succeeded)
        components.backup_complete()
        # What a writer that takes no part answered concerns nobody [VSS-40].
        known, taking_part = components.gather_writer_status(), components.taking_part
        statuses = tuple(each for each in known if each.instance_id in taking_part)
        # A handler that ran out of time may have done its work all the same.
        unclear = [
            each for each in components.writer_failures if isinstance(each.__cause__, Stopped)
        ]
        if unclear:
            raise OutcomeUnknown(
                f"it is not known whether the writer got the verdict: {unclear[0].message}",
                key=self._request.key,
            ) from unclear[0]
        # A failed writer shows in its status and not as an exception [VSS 0.6].
        stable = all(each.state is WriterState.STABLE for each in statuses)
        return CompletionReport(
            completed=stable and not components.writer_failures,
            writers=statuses,
            documents=components.documents(),
        )

    def abandon(self) -> None:
        """End the session: AbortBackup unless it was completed, then Release. Idempotent.

        From any thread, also while another one creates the set: writers are released at once, and
        `create` ends with `Cancelled`. Never raises but for an interrupt; what goes wrong is a
        warning in the trace.
        """
        with self._lock:
            was_over, self._over = self._over, True
        if was_over or self._components is None:
            return
        components = self._components
        try:
            # After BackupComplete there is nothing left to abort [VSS-10].
            if components.state is not RequestorState.COMPLETED:
                self._carefully(components.abort_backup)
        finally:
            self._carefully(components.release)

    def _carefully(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  leaving must not hide why it is left
            self._service.engine.trace.warn(f"while ending set {self._request.key}: {error}")


class EngineRestoreSession:
    """A `RestoreSession` of frskit's own coordinator."""

    def __init__(self, service: EngineOwner, request: RestoreRequest) -> None:
        self._service = service
        self._request = request
        self._components: BackupComponents | None = None

    def __enter__(self) -> Self:
        if self._components is not None:
            raise BadState("a session can be entered once", native=hresult("VSS_E_BAD_STATE"))
        components = BackupComponents(self._service)
        self._components = components
        try:
            components.initialize_for_restore(self._request.documents.backup_components)
            components.gather_writer_metadata()
            for each in self._request.components:
                components.set_selected_for_restore(each)
            components.set_additional_restores(self._request.additional_restores)
            components.pre_restore()
        except BaseException:
            components.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        components = self._components
        if components is None:
            return
        try:
            for each in self._request.components:
                components.set_file_restore_status(each, error is None)
            components.post_restore()
        except Exception:
            # The reason why the restore failed says more than what the writer makes of it.
            if error is None:
                raise
        finally:
            components.release()
