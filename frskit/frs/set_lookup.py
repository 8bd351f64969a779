"""The shadow copy set of a copy: found again after a creation that was cut off, and its LUNs.

A service may name its sets as it likes (`ServiceCapabilities.set_id_from_caller`). Until `create`
has returned, the requestor has its own key only. If it dies in between, the set is looked up by
that key, and else by comparing lists: what was not there before and carries no key may be the
copy's, or may be somebody else's, so it is named and never deleted without consent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.errors import StorageGroupNotRecognized
from frskit.frs.state.journal_words import CopyStep, RequestorOperation
from frskit.model.copies import CopyFilter
from frskit.model.ids import SetId, canonical_guid
from frskit.scopes import Releases, told

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from frskit.clock import Budget
    from frskit.frs.state.catalog import SqliteCatalog
    from frskit.frs.state.journal import Journal
    from frskit.model.ids import CopyId, CopyKey, StorageId, VolumeId
    from frskit.model.shadows import SetPlan
    from frskit.protocols import Server, ShadowCopyService

__all__ = [
    "FoundSets",
    "cleans_up_itself",
    "known_before",
    "look_for_set",
    "planned_luns",
    "remove_unfinished_set",
    "same_volume",
    "sets_before",
    "sets_on_record",
    "storages_of",
]


@frozen
class FoundSets:
    """Sets that a creation which was cut off may have left.

    Attributes:
        ours: Those that carry the copy's key.
        unnamed: New ones without any key.
    """

    ours: tuple[SetId, ...]
    unnamed: tuple[SetId, ...]


def sets_before(service: ShadowCopyService, budget: Budget) -> tuple[SetId, ...] | None:
    """The sets that are there before one is created; None if its id will be the key anyway."""
    if service.capabilities.set_id_from_caller:
        return None
    return tuple(dict.fromkeys(each.set_id for each in service.shadows(budget=budget)))


def known_before(journal: Journal, copy: CopyId) -> tuple[SetId, ...] | None:
    """That list, as the last run wrote it down, however it ended; None if there is none.

    Also of an operation that has ended: a set that was named as a leftover is looked for again
    until somebody has deleted it.
    """
    found: tuple[SetId, ...] | None = None
    for operation in journal.of(RequestorOperation.COPY, copy):
        for step, facts in operation.intents():
            known = facts.get("known_sets")
            if step == CopyStep.CREATE and isinstance(known, (list, tuple)):
                found = tuple(SetId(str(each)) for each in known)
    return found


def sets_on_record(catalog: SqliteCatalog) -> set[SetId] | None:
    """The sets of which a record of the site speaks: they are not nobody's.

    None if a record cannot be read: then a set that seems to be nobody's may be that copy's.
    """
    records, damaged = catalog.readable(CopyFilter(include_deleted=True))
    if damaged:
        return None
    return {each.shadow_set for each in records if each.shadow_set is not None}


def look_for_set(
    service: ShadowCopyService,
    key: CopyKey,
    before: Collection[SetId] | None,
    budget: Budget,
    others: Collection[SetId] = (),
) -> FoundSets:
    """What there is of a set whose creation was cut off.

    Args:
        service: The service that was creating it.
        key: The requestor's name for it.
        before: The sets that were there before; None: not known, so that nothing is called new.
        budget: For the listing.
        others: The sets of other copies, which are never called new.
    """
    ours: dict[SetId, None] = {}
    unnamed: dict[SetId, None] = {}
    known = None if before is None else {canonical_guid(each) for each in (*before, *others)}
    for shadow in service.shadows(budget=budget):
        if shadow.key is not None and canonical_guid(shadow.key) == canonical_guid(key):
            ours[shadow.set_id] = None
        elif shadow.key is None and known is not None and shadow.set_id not in known:
            unnamed[shadow.set_id] = None
    return FoundSets(tuple(ours), tuple(each for each in unnamed if each not in ours))


def remove_unfinished_set(
    service: ShadowCopyService,
    key: CopyKey,
    before: Collection[SetId] | None,
    budget: Budget,
    others: Collection[SetId] | None = (),
) -> list[str]:
    """Delete the set if it is there under the key; texts about what may be left of it.

    Arguments as for `look_for_set`; without `others`, because a record cannot be read, no set is
    called new: it may be that copy's. Never raises what the service does: the array's side of the
    set is cleaned up all the same.
    """
    doubts: list[str] = []
    try:
        if cleans_up_itself(service):
            return []
        if service.capabilities.set_id_from_caller:
            found = FoundSets((SetId(key),), ())  # there or not: deleting it is idempotent
        else:
            known = None if others is None else before
            if known is not before:
                doubts.append(
                    f"a set of {key} without its key, if there is one: a record of another copy "
                    "cannot be read, so nobody can tell whose a new set is"
                )
            found = look_for_set(service, key, known, budget, others or ())
    except Exception as error:  # noqa: BLE001 - parties are strangers: law 11
        return [f"whatever the service made of set {key}: {told(error)}"]
    releases = Releases()
    for set_id in found.ours:
        releases.push(f"set {set_id}", partial(service.delete_set, set_id, budget=budget))
    return [
        *releases.unwind(),
        *doubts,
        *(
            f"set {each} appeared while the copy was being made and does not say whose it is; "
            "delete it by hand if it is of no use"
            for each in found.unnamed
        ),
    ]


def cleans_up_itself(service: ShadowCopyService) -> bool:
    """Whether a creation that failed leaves nothing but what its error names, and LUNs by key."""
    try:
        can = service.capabilities
    except Exception:  # noqa: BLE001 - parties are strangers: law 11
        return False
    return can.bounded and can.set_id_from_caller


def same_volume(one: VolumeId, other: VolumeId) -> bool:
    """Whether two ids name one volume: services print GUIDs as they like [VSS-68]."""
    return canonical_guid(one) == canonical_guid(other)


def planned_luns(plan: SetPlan, server: Server) -> Mapping[str, Sequence[StorageId]]:
    """The LUNs of each planned volume, as the server sees them; none of one it does not know.

    By the volume's id in its canonical spelling.
    """
    mounted = {
        canonical_guid(each.id): tuple(dict.fromkeys(extent.storage for extent in each.extents))
        for each in server.volumes()
    }
    return {each: mounted.get(each, ()) for each in map(canonical_guid, plan.volumes)}


def storages_of(plan: SetPlan, server: Server) -> tuple[StorageId, ...]:
    """The LUNs of a plan: by the service's word, or else by the server's.

    Raises:
        StorageGroupNotRecognized: The service cannot tell, and the server does not know a volume,
            or has it on several LUNs: of which one a shadow is a copy nobody could say.
    """
    if plan.storages is not None:
        return plan.storages
    found = planned_luns(plan, server)
    missing = [volume for volume, luns in found.items() if not luns]
    if missing:
        raise StorageGroupNotRecognized(
            f"server {server.name} does not know the storage of {', '.join(missing)}",
            context={"server": server.name, "volumes": missing},
        )
    spanned = [volume for volume, luns in found.items() if len(luns) > 1]
    if spanned:
        raise StorageGroupNotRecognized(
            f"{', '.join(spanned)} lies on several LUNs, and the shadow copy service cannot tell "
            "which of them a shadow is a copy of",
            hint="Keep what is to be copied on volumes of one LUN each.",
            context={"server": server.name, "volumes": spanned},
        )
    return tuple(dict.fromkeys(lun for luns in found.values() for lun in luns))
