"""The writer: how an application takes part in a copy [VSS 1.1, 2.1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.clock import Budget
    from frskit.model.components import WriterMetadata, WriterRecord, WriterSession

__all__ = ["Writer"]


class Writer(Protocol):
    """An application's representative at the shadow copy service.

    A handler vetoes by raising `WriterVeto`; any other exception is treated as a non-retryable
    veto. Handlers between freeze and thaw must not wait for anything. A writer names *files only*,
    never storage. The service calls from one thread at a time, but `abort` and `identify` may
    come in the middle of anything [VSS-11, HAZ-12].
    """

    def identify(self) -> WriterMetadata:
        """Describe components and files as they are now; must not change any state [VSS-11].

        A writer that raises here is absent from the list, without a status.
        """
        ...

    def prepare_backup(self, session: WriterSession) -> None:
        """A backup of these components begins; mark them.

        Raises:
            WriterVeto: Retryable if another backup of them is in progress [EXC-12].
        """
        ...

    def prepare_snapshot(self, session: WriterSession) -> None:
        """Slow preparation; check that every needed path is in the set: ``session.covers`` [EXC-15].

        Raises:
            WriterVeto: A path is not in the set: the copy would not be whole.
        """
        ...

    def freeze(self, session: WriterSession, *, budget: Budget) -> None:
        """Bring files to a defined state and hold writes until thaw or abort.

        The writer releases itself when its window has passed [EXC-21]. On failure it must have
        released everything it took [EXC-23].
        """
        ...

    def thaw(self, session: WriterSession) -> None:
        """Go on writing.

        Raises:
            WriterVeto: The hold was lost in between (TIMEOUT); the copy must not be trusted.
        """
        ...

    def post_snapshot(self, session: WriterSession) -> Sequence[WriterRecord]:
        """The copies exist; return what should be kept with them (stamp, logs needed ...)."""
        ...

    def backup_complete(self, session: WriterSession) -> None:
        """The outcome per component is in ``session.succeeded``; truncate logs on success only.

        Success means: verified by the requestor [EXC-33].
        """
        ...

    def backup_shutdown(self, session: WriterSession) -> None:
        """The requestor is gone; release everything of this session. Last, exactly once [VSS-09].

        Never truncates [R-4].
        """
        ...

    def abort(self, session: WriterSession) -> None:
        """Give up: thaw if frozen, forget the session. Idempotent, from any state [VSS-36]."""
        ...

    def pre_restore(self, session: WriterSession) -> None:
        """Check that the components may be replaced.

        Raises:
            WriterVeto: Still mounted, not marked for overwriting, paths differ [EXC-58, EXC-59].
        """
        ...

    def post_restore(self, session: WriterSession) -> None:
        """The files are in place; finish (replay, where the application does it here)."""
        ...
