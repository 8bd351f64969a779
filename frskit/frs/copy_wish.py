"""What the caller of a copy wants."""

from __future__ import annotations

from attrs import frozen

from frskit.model.components import BackupType
from frskit.model.ids import CopyId, SetId
from frskit.model.shadows import ShadowRequest
from frskit.model.storage import CopyKind

__all__ = ["CopyWish"]


@frozen(kw_only=True)
class CopyWish:
    """What the caller wants.

    Attributes:
        id: Id of the copy to be; also the set's GUID and the array's key.
        server, components: What to copy.
        backup_type, kind: How.
        check: Whether to check; without it the copy is UNVERIFIED and nothing is truncated.
        keyed: Whether the id is the caller's key, and may have come before.
    """

    id: CopyId
    server: str
    components: tuple[str, ...]
    backup_type: BackupType
    kind: CopyKind
    check: bool = True
    keyed: bool = False

    def request(self) -> ShadowRequest:
        """The wish in the words of the shadow copy service."""
        return ShadowRequest(
            key=SetId(self.id),
            components=self.components,
            backup_type=self.backup_type,
            kind=self.kind,
        )
