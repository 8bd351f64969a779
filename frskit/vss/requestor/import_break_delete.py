"""Import, break and delete: what happens to a set after it was created [VSS 1.2, 1.3].

Disks are matched by their page 83 identity and by the extent that the volume needs; bus type and
signature are ignored [VSS-49]. A partial arrival is a success code at Windows and a failure here;
what did arrive stays presented, and is named, for the caller to clean up [VSS-50, HAZ-11].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from attrs import define, evolve

from frskit.clock import Budget
from frskit.codes.hresult import hresult
from frskit.errors import BadState, DocumentError, FrskitError, ImportFailed
from frskit.model.ids import SetId, StorageId
from frskit.model.shadows import ImportedSet, LunInformation, Shadow, ShadowState
from frskit.model.volumes import Disk
from frskit.protocols import HardwareProvider
from frskit.vss.context_flags import Attribute, creation_attributes
from frskit.vss.documents.backup_document import BackupDocument, DocumentShadow
from frskit.vss.engine import Engine, lun_information
from frskit.vss.persistent_sets import MemberRecord, SetLife, SetRecord

__all__ = ["break_set", "delete_set", "import_document", "surface"]

# Seconds between two rescans; how often Windows looks is not published [VSS 3] (ours).
_POLL_S = 5.0


@define(eq=False)
class Arrival:
    """Waits for the disks of a set on one server."""

    engine: Engine
    set_id: SetId
    members: Sequence[DocumentShadow]

    def run(self, budget: Budget) -> list[DocumentShadow]:
        """Present the targets, rescan, match; the members that arrived.

        Raises:
            ImportFailed: Nothing or not everything arrived; ``context["presented"]`` names the
                storage that has to be hidden again.
            ProviderNotRegistered: A provider of the set is not on this server; nothing was done.
        """
        # All must be here before any of them presents anything.
        providers = {
            each.provider_id: self.engine.providers.by_id(each.provider_id) for each in self.members
        }
        located: list[StorageId] = []
        for provider_id, provider in providers.items():
            self._locate(provider_id, provider, located, budget)
        try:
            arrived = self._wait(providers, budget)
        except FrskitError as error:
            error.context.setdefault("presented", list(located))
            raise
        # Windows would call a part of them a success [VSS 1.2]; here it is a failed copy [HAZ-11].
        if len(arrived) < len(self.members):
            raise self._failed(arrived, located)
        return arrived

    def seen(self) -> bool:
        """Whether the server has a disk of this set already, as of its last rescan."""
        disks = [lun_information(each) for each in self.engine.server.disks()]
        return any(_same(each.target, disk) for each in self.members for disk in disks)

    def _locate(
        self,
        provider_id: str,
        provider: HardwareProvider,
        located: list[StorageId],
        budget: Budget,
    ) -> None:
        """Ask one provider to present its targets; the service rescans, not the provider."""
        # By storage: a LUN with two volumes of the set is presented once.
        luns = {
            each.target.storage: each.target
            for each in self.members
            if each.provider_id == provider_id
        }
        locate = partial(provider.locate_luns, list(luns.values()), budget=budget)
        try:
            self.engine.providers.call(provider, "LocateLuns", self.set_id, locate)
        except FrskitError as error:
            # A provider that does not say what it had presented may have presented anything.
            told = error.context.get("presented")
            some = [StorageId(str(each)) for each in told] if isinstance(told, list) else list(luns)
            failure = self._failed([], [*located, *some])
            failure.context["reason"] = str(error)
            raise failure from error
        located += luns

    def _wait(self, providers: dict[str, HardwareProvider], budget: Budget) -> list[DocumentShadow]:
        """Rescan until every member is there or the time for arrival is over."""
        clock = self.engine.clock
        deadline_s = clock.monotonic() + self.engine.arrival_s
        while True:
            self.engine.server.rescan(budget=budget)
            self.engine.trace.row(
                "C", "Rescan", set_id=self.set_id, subject=self.engine.server.name
            )
            arrived = self._match(providers)
            # At least one look, even if the time for arrival is over by then.
            left_s = deadline_s - clock.monotonic()
            if len(arrived) == len(self.members) or left_s <= 0:
                return arrived
            budget.wait(min(_POLL_S, left_s), "waiting for disks to arrive")

    def _match(self, providers: dict[str, HardwareProvider]) -> list[DocumentShadow]:
        """The members whose disk is there, once and only once [VSS-49]."""
        disks = self.engine.server.disks()
        found = []
        for member in self.members:
            mine = [disk for disk in disks if _same(member.target, lun_information(disk))]
            # Two disks of one identity are worse than none: nobody can say which one is the copy
            # [HAZ-02].
            if len(mine) == 1 and self._fits(member, mine[0], providers[member.provider_id]):
                found.append(member)
        return found

    def _fits(self, member: DocumentShadow, disk: Disk, provider: HardwareProvider) -> bool:
        """Whether the provider knows the disk and it has room for the volume."""
        fill = partial(provider.fill_in_lun_info, lun_information(disk))
        record = self.engine.providers.call(provider, "FillInLunInfo", self.set_id, fill)
        if record is None or not _same(member.target, record):
            return False
        return disk.size_bytes >= member.offset_bytes + member.length_bytes

    def _failed(
        self, arrived: Sequence[DocumentShadow], presented: Sequence[StorageId]
    ) -> ImportFailed:
        missing = [each for each in self.members if each not in arrived]
        code = "VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED" if arrived else "VSS_E_NO_SNAPSHOTS_IMPORTED"
        return ImportFailed(
            f"{len(missing)} of {len(self.members)} shadow copies of set {self.set_id} did not "
            f"arrive on server {self.engine.server.name}",
            context={
                "set": self.set_id,
                "server": self.engine.server.name,
                "presented": list(dict.fromkeys(presented)),
                "missing": [each.target.storage for each in missing],
            },
            native=hresult(code),
        )


def _same(record: LunInformation, disk: LunInformation) -> bool:
    """Whether two records speak of one LUN.

    Ids of one scheme name objects, and decide: a stranger that has got the world wide name of a
    deleted copy is not that copy. Page 83 names decide where one side has nothing else.
    """
    if record.version != 1 or disk.version != 1:
        return False
    schemes = {each.storage.partition(":")[0] for each in (record, disk)}
    if len(schemes) == 1 and schemes != {"naa"}:
        return record.storage == disk.storage
    return bool({record.storage, *record.identifiers} & {disk.storage, *disk.identifiers})


def import_document(engine: Engine, document: BackupDocument, budget: Budget) -> ImportedSet:
    """Import the set that a BCD describes.

    Raises:
        DocumentError: It does not describe a transportable set [VSS-48].
        ImportFailed: It was imported before, here or (as far as its provider can see) elsewhere; or
            it did not arrive.
        ProviderNotRegistered: A provider of the set is not on this server.
    """
    set_id = document.set_id
    if set_id is None or not document.transportable:
        raise DocumentError(
            "the document does not describe a transportable set that frskit can read",
            native=hresult("VSS_E_NONTRANSPORTABLE_BCD"),
        )
    known = engine.records.get_set(set_id)
    arrival = Arrival(engine=engine, set_id=set_id, members=document.shadows)
    recorded = known is not None and known.life in (SetLife.IMPORTED, SetLife.BROKEN)
    # A service that lost its memory sees the disks of an import that it does not remember.
    if recorded or (set_id not in engine.imports_begun and arrival.seen()):
        raise ImportFailed(
            f"set {set_id} was imported on server {engine.server.name} before",
            context={"set": set_id, "server": engine.server.name, "presented": []},
            hint="A set can be imported once only; after a break its disks are managed elsewhere.",
            native=hresult("VSS_E_NO_SNAPSHOTS_IMPORTED"),
        )
    engine.imports_begun.add(set_id)
    arrival.run(budget)
    attributes = int(creation_attributes(document.context) | Attribute.IMPORTED)
    record = SetRecord(
        id=set_id,
        life=SetLife.IMPORTED,
        context=document.context,
        members=tuple(_member(each, set_id, attributes) for each in document.shadows),
    )
    engine.records.put_set(record)
    engine.trace.row("C", "SetImported", set_id=set_id, subject=engine.server.name)
    return ImportedSet(id=set_id, shadows=tuple(each.shadow for each in record.members))


def _member(each: DocumentShadow, set_id: SetId, attributes: int) -> MemberRecord:
    return MemberRecord(
        shadow=Shadow(
            id=each.id,
            set_id=set_id,
            volume=each.volume,
            mount_point=each.mount_point,
            source=each.source.storage,
            storage=each.target.storage,
            offset_bytes=each.offset_bytes,
            length_bytes=each.length_bytes,
            state=ShadowState.CREATED,
            attributes=attributes,
        ),
        provider_id=each.provider_id,
        source=each.source,
        target=each.target,
    )


def surface(engine: Engine, record: SetRecord, budget: Budget) -> SetRecord:
    """Bring a set that is not transportable up on the server that made it [VSS 1.1 row 27a].

    Raises:
        ImportFailed: As for any import.
    """
    shadows = [document_shadow(each) for each in record.members]
    Arrival(engine=engine, set_id=record.id, members=shadows).run(budget)
    return record.living(SetLife.IMPORTED)


def document_shadow(member: MemberRecord) -> DocumentShadow:
    """The LUN records of a created shadow copy, as a document carries them."""
    shadow = member.shadow
    return DocumentShadow(
        id=shadow.id,
        volume=shadow.volume,
        mount_point=shadow.mount_point,
        provider_id=member.provider_id,
        source=member.source,
        target=member.target or LunInformation(storage=shadow.storage),
        offset_bytes=shadow.offset_bytes,
        length_bytes=shadow.length_bytes,
    )


def break_set(engine: Engine, set_id: SetId, budget: Budget) -> None:
    """Let go of an imported set; its disks stay as they are, read-only.

    Raises:
        BadState: It was not imported here; nothing was changed.
    """
    record = engine.records.get_set(set_id)
    if record is None or record.life is not SetLife.IMPORTED:
        raise BadState(
            f"set {set_id} is not imported on server {engine.server.name}",
            context={"set": set_id, "server": engine.server.name},
            native=hresult("VSS_E_OBJECT_NOT_FOUND"),
            hint="Only an imported set can be broken, and only once.",
        )
    set_id = record.id
    budget.check("breaking a shadow copy set")
    # Each provider once, in the order of the members.
    for provider_id in dict.fromkeys(each.provider_id for each in record.members):
        provider = engine.providers.by_id(provider_id)
        luns = list(
            {
                each.target.storage: each.target
                for each in record.members
                if each.provider_id == provider_id and each.target is not None
            }.values()
        )
        change = partial(provider.on_lun_state_change, luns, mask=False)
        engine.providers.call(provider, "OnLunStateChange", set_id, change)
    engine.records.put_set(record.living(SetLife.BROKEN))
    engine.trace.row("C", "SetBroken", set_id=set_id, subject=engine.server.name)


def delete_set(engine: Engine, set_id: SetId, budget: Budget) -> int:
    """Delete the shadow copies of a set, one after the other; the number that was deleted.

    A set that is unknown here, or was broken, is left alone. Stops at the first error; calling it
    again goes on from there [VSS-57].

    Raises:
        FrskitError: As the server or provider raised it; ``context["undeleted"]`` names the shadow
            copy that is still there, ``context["deleted"]`` says how many are gone.
    """
    record = engine.records.get_set(set_id)
    if record is None or record.life not in (SetLife.IMPORTED, SetLife.CREATED):
        return 0
    set_id = record.id
    deleted = 0
    while record.members:
        first, rest = record.members[0], record.members[1:]
        try:
            _delete(engine, record, first, rest, budget)
        except FrskitError as error:
            error.context.setdefault("undeleted", first.shadow.id)
            error.context.setdefault("deleted", deleted)
            raise
        deleted += 1
        record = evolve(record, members=rest)
        # The last one is dropped below, with the whole set: a set without members is never on
        # record.
        if rest:
            engine.records.put_set(record)
    engine.records.drop_set(set_id)
    engine.server.rescan(budget=budget)
    engine.trace.row("C", "SetDeleted", set_id=set_id, subject=engine.server.name)
    return deleted


def _delete(
    engine: Engine,
    record: SetRecord,
    member: MemberRecord,
    rest: Sequence[MemberRecord],
    budget: Budget,
) -> None:
    """Delete one shadow copy; with the last one on a LUN the LUN goes too [VSS-55]."""
    target = member.target
    # Another volume of the set lies on the same LUN; the last one takes the LUN along [VSS-55].
    if target is None or any(each.shadow.storage == member.shadow.storage for each in rest):
        return
    if record.life is SetLife.IMPORTED:
        # Detached first: a disk that vanishes under a mounted file system is an error to the
        # server.
        engine.server.detach([member.shadow.storage], budget=budget)
    provider = engine.providers.by_id(member.provider_id)
    empty = partial(provider.on_lun_empty, target, budget=budget)
    engine.providers.call(provider, "OnLunEmpty", record.id, empty)
