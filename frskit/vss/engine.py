"""What the parts of one coordinator share: the server, the clock, the rosters, the one open set."""

from __future__ import annotations

import re
import threading
from typing import Protocol

from attrs import define, field

from frskit.clock import Clock
from frskit.codes.hresult import hresult
from frskit.errors import SnapshotSetInProgress, VolumeNotFound, VolumeNotSupported
from frskit.model.ids import (
    CopyKey,
    IdFactory,
    SetId,
    ShadowId,
    StorageId,
    VolumeId,
    canonical_guid,
)
from frskit.model.shadows import LunInformation, Shadow, ShadowState
from frskit.model.storage import CopyKind, ScsiLun
from frskit.model.volumes import Disk, Volume
from frskit.protocols import HardwareProvider, Server
from frskit.vss.open_sessions import OpenSessions
from frskit.vss.persistent_sets import Records
from frskit.vss.providers import Providers
from frskit.vss.state_tables import SHADOW_TABLE, ShadowStep
from frskit.vss.trace import Tracer
from frskit.vss.writers import Roster
from frskit.watchdog import Watchdog

__all__ = ["Engine", "EngineOwner", "OpenSet", "SetMember", "SetSlot", "lun_information"]


class SetSlot:
    """The one place for a set that is being created on this server [VSS-19]."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: object | None = None

    def acquire(self, owner: object) -> None:
        """Take the slot.

        Raises:
            SnapshotSetInProgress: Somebody else has it; nothing was changed.
        """
        with self._lock:
            if self._owner is not None and self._owner is not owner:
                raise SnapshotSetInProgress(
                    "another shadow copy set is being created on this server",
                    native=hresult("VSS_E_SNAPSHOT_SET_IN_PROGRESS"),
                )
            self._owner = owner

    def release(self, owner: object) -> None:
        """Give the slot back; fine if it is not the owner's."""
        with self._lock:
            if self._owner is owner:
                self._owner = None


@define(eq=False)
class SetMember:
    """One volume of a set that is being created.

    Attributes:
        id: Shadow copy to be.
        volume, mount_point: The original.
        provider: Who copies it.
        source: LUN record of the original.
        offset_bytes, length_bytes: Extent of the volume on its LUN.
        state: As in `SHADOW_TABLE`.
        target: LUN record of the copy, once it exists.
    """

    id: ShadowId
    volume: Volume
    mount_point: str
    provider: HardwareProvider
    source: LunInformation
    offset_bytes: int
    length_bytes: int
    state: ShadowState = ShadowState.UNKNOWN
    target: LunInformation | None = None

    def advance(self, step: ShadowStep) -> None:
        """Move on; an impossible step is a mistake of the engine and raises KeyError."""
        self.state = SHADOW_TABLE[step, self.state]

    def shadow(self, set_id: SetId, attributes: int, key: CopyKey | None = None) -> Shadow:
        """The shadow copy as a value; before there is a copy its storage is empty."""
        return Shadow(
            id=self.id,
            set_id=set_id,
            volume=self.volume.id,
            mount_point=self.mount_point,
            source=self.source.storage,
            storage=self.target.storage if self.target else StorageId(""),
            offset_bytes=self.offset_bytes,
            length_bytes=self.length_bytes,
            state=self.state,
            attributes=attributes,
            key=key,
        )


@define(eq=False)
class OpenSet:
    """A set between StartSnapshotSet and the end of its creation.

    Attributes:
        key: The requestor's name for it; the id is made of it. None: the requestor gave none.
    """

    id: SetId
    context: int
    kind: CopyKind | None
    key: CopyKey | None = None
    members: list[SetMember] = field(factory=list)

    def providers(self) -> list[HardwareProvider]:
        """The providers of the set, each once, in order of first use."""
        found: list[HardwareProvider] = []
        for member in self.members:
            # By identity: nothing asks a provider to be comparable or hashable.
            if not any(member.provider is each for each in found):
                found.append(member.provider)
        return found

    def sources(self, provider: HardwareProvider | None = None) -> list[LunInformation]:
        """The original LUNs, each once [VSS-34]; of one provider, or all."""
        found: dict[str, LunInformation] = {}
        for member in self.members:
            if provider is None or member.provider is provider:
                found.setdefault(member.source.storage, member.source)
        return list(found.values())

    def volumes(self) -> list[VolumeId]:
        """The original volumes."""
        return [member.volume.id for member in self.members]

    def advance(self, step: ShadowStep) -> None:
        """Move every member on."""
        for member in self.members:
            member.advance(step)


@define(eq=False)
class Engine:
    """The shared parts of one coordinator.

    Attributes:
        server: Called through its watchdog.
        bare_server: The same, for calls that are made through `server_dog` with more to say.
        owed_sets: Given up while a provider hung in them. A late answer is undone by the id of its
            set, so no other set may have it.
        imports_begun: Sets whose import was begun here: it may be tried again after a failure.
        arrival_s: How long an import waits for disks; Windows' figure is not published [VSS 3],
            60 s is frskit's choice.
        cleanup_s: Time for cleaning up after a failure, apart from the caller's budget.
        strict: Whether components must be named before the set is started [VSS 1.1 row 8].
    """

    server: Server
    clock: Clock
    ids: IdFactory
    trace: Tracer
    roster: Roster
    providers: Providers
    records: Records
    server_dog: Watchdog
    bare_server: Server
    slot: SetSlot = field(factory=SetSlot)
    sessions: OpenSessions = field(factory=OpenSessions)
    owed_sets: set[SetId] = field(factory=set)
    imports_begun: set[SetId] = field(factory=set)
    arrival_s: float = 60.0
    cleanup_s: float = 300.0
    strict: bool = False

    def pardon(self) -> None:
        """Ask parties again that owe an answer."""
        self.server_dog.pardon()
        for dog in (*self.roster.dogs(), *self.providers.dogs()):
            dog.pardon()

    def volume_at(self, name: str) -> tuple[Volume, str]:
        r"""The mounted volume of this name, and the mount point.

        Args:
            name: A mount point, or ``\\?\Volume{...}\`` with the volume's id [VSS-27].

        Raises:
            VolumeNotFound: The name does not end in a separator, or nothing is mounted there
                [VSS-27].
        """
        if name.endswith(("\\", "/")):
            wanted, volume_id = _plain(name), _volume_id(name)
            for volume in self.server.volumes():
                for mount_point in volume.mount_points:
                    named = volume_id and canonical_guid(volume.id) == volume_id
                    if named or _plain(mount_point) == wanted:
                        return volume, mount_point
        raise VolumeNotFound(
            f"server {self.server.name} has no volume {name!r}",
            context={"server": self.server.name, "volume": name},
            hint="Volume names end in a separator, for example 'L:\\\\'.",
            native=hresult("VSS_E_OBJECT_NOT_FOUND"),
        )

    def disk(self, storage: str) -> Disk | None:
        """The disk of this storage as of the last rescan."""
        return next((each for each in self.server.disks() if each.storage == storage), None)

    def extent(self, volume: Volume, name: str) -> tuple[LunInformation, int, int]:
        """LUN record, offset and length of a volume.

        Raises:
            VolumeNotSupported: It lies on more than one place; such volumes need dynamic disks,
                which transported sets do not have [VSS 1.1 row 27a].
        """
        # Ours: a document keeps one extent per shadow copy, so striped or spanned volumes are
        # refused.
        if len(volume.extents) != 1:
            raise VolumeNotSupported(
                f"volume {name} has {len(volume.extents)} extents; exactly one can be copied",
                context={"volume": name},
                native=hresult("VSS_E_VOLUME_NOT_SUPPORTED"),
            )
        extent = volume.extents[0]
        disk = self.disk(extent.storage)
        if disk is None:
            raise VolumeNotSupported(
                f"the disk of volume {name} is not known to server {self.server.name}",
                context={"volume": name, "storage": extent.storage},
                native=hresult("VSS_E_VOLUME_NOT_SUPPORTED"),
            )
        return lun_information(disk), extent.offset_bytes, extent.length_bytes


def _volume_id(name: str) -> str:
    r"""The id in ``\\?\Volume{id}\``; empty if it is another kind of name."""
    found = re.fullmatch(r"\\\\\?\\Volume\{(.+)\}\\", name, re.IGNORECASE)
    return "" if found is None else canonical_guid(found[1])


def _plain(mount_point: str) -> str:
    # Compared as Windows does, case and kind of separator aside.
    return mount_point.replace("\\", "/").rstrip("/").casefold()


def lun_information(disk: Disk) -> LunInformation:
    """The record that the service makes of a disk (VDS_LUN_INFORMATION)."""
    access = disk.access
    if isinstance(access, ScsiLun):
        return LunInformation(
            storage=disk.storage,
            identifiers=access.identifiers,
            signature=disk.signature,
            device=disk.device,
        )
    return LunInformation(
        storage=disk.storage, signature=disk.signature, bus="other", device=disk.device
    )


class EngineOwner(Protocol):
    """A shadow copy service as its sessions and requestor objects see it: whoever has the engine.

    `Coordinator` is one.
    """

    @property
    def engine(self) -> Engine:
        """What the parts of the service share."""
        ...
