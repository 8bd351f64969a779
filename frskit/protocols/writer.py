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
    veto, with its type and text. A writer names *files only*, never storage.

    Threads: one call at a time, each in any thread; but `abort`, `backup_shutdown` and `identify`
    may come at any time, in any thread, also inside of another call of the same writer: when its
    window has passed while it is still in `freeze` [VSS-11, HAZ-12].

    Time: a handler that sees its budget spent raises `TimedOut`; from one that does not, nobody
    waits for an answer. Then it gets `abort`, and `abort` once more should it come back; what it
    answered counts for nothing. Until it came back it gets no other event.

    Retry: no event is repeated by itself. A session is over after `abort`; a new backup is a new
    session. Nothing survives a restart of the application: a writer with another
    ``WriterMetadata.instance_id`` is not told the outcome [EXC-14].
    """

    def identify(self, *, budget: Budget) -> WriterMetadata:
        """Describe components and files as they are now; must not change any state [VSS-11].

        A writer that raises here, or does not answer, is absent from the list, without a status.
        """
        ...

    def prepare_backup(self, session: WriterSession, *, budget: Budget) -> None:
        """A backup of these components begins; mark them.

        Without components nothing of this writer is in the backup: then nothing has to be
        remembered, for no other event of that session follows but `backup_shutdown` [VSS-17].

        Raises:
            WriterVeto: Retryable if another backup of them is in progress [EXC-12].
        """
        ...

    def prepare_snapshot(self, session: WriterSession, *, budget: Budget) -> None:
        """Slow preparation; check that every needed path is in the set: ``session.covers`` [EXC-15].

        Nobody is frozen yet: whatever may wait, waits here.

        Raises:
            WriterVeto: A path is not in the set: the copy would not be whole.
        """
        ...

    def freeze(self, session: WriterSession, *, budget: Budget) -> None:
        """Bring files to a defined state, and hold them as ``WriterMetadata.quiesce`` says.

        On return what was promised holds. On any exception everything is released again, and
        nothing is held [EXC-23]. The budget ends with the window; when that has passed, the writer
        releases itself, whether anybody called or not [EXC-21]. Nothing in here, or held from here
        to `thaw`, may wait for another party.
        """
        ...

    def thaw(self, session: WriterSession, *, budget: Budget) -> None:
        """Go on writing.

        Raises:
            WriterVeto: The hold was lost in between (``native=WriterFailure.TIMEOUT.value``); the
                copy must not be trusted.
        """
        ...

    def post_snapshot(self, session: WriterSession, *, budget: Budget) -> Sequence[WriterRecord]:
        """The copies exist; return what should be kept with them (stamp, logs needed ...).

        Nobody is frozen any more, so it may wait. Once for each session, never after `abort`. What
        came after the instant and belongs to the copy is named in `WriterRecord.late`; a source
        that is named there must stay until the next event of this session.

        Raises:
            WriterVeto: The copies cannot be used; they are deleted.
        """
        ...

    def backup_complete(self, session: WriterSession, *, budget: Budget) -> None:
        """The outcome per component is in ``session.succeeded``; truncate logs on success only.

        Success means: verified by the requestor [EXC-33]. At most once for each session; if the
        budget is spent, it is not known what was truncated, and the record says so.
        """
        ...

    def backup_shutdown(self, session: WriterSession) -> None:
        """The requestor is gone; release everything of this session. Last, exactly once [VSS-09].

        Never truncates [R-4]. As `abort`: from any thread, and short.
        """
        ...

    def abort(self, session: WriterSession) -> None:
        """Give up: thaw if frozen, forget the session [VSS-36].

        Idempotent: in any state, for sessions that were never heard of, in any thread, up to three
        times in a row (at the end of a window, from the clean-up, after a late answer). Must not
        wait for a lock that `freeze` holds while it waits itself: it may come inside of it. It is
        waited for a few seconds only.
        """
        ...

    def pre_restore(self, session: WriterSession, *, budget: Budget) -> None:
        """Check that the components may be replaced.

        Raises:
            WriterVeto: Still mounted, not marked for overwriting, paths differ [EXC-58, EXC-59].
        """
        ...

    def post_restore(self, session: WriterSession, *, budget: Budget) -> None:
        """The files are in place; finish (replay, where the application does it here)."""
        ...
