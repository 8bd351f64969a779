"""What the caller of a copy wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.model.components import BackupType
from frskit.model.ids import CopyId, CopyKey
from frskit.model.shadows import ShadowRequest
from frskit.model.storage import CopyKind

if TYPE_CHECKING:
    from frskit.model.components import ComponentId

__all__ = ["CopyWish"]


@frozen(kw_only=True)
class CopyWish:
    """What the caller wants.

    Attributes:
        id: Id of the copy to be.
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
