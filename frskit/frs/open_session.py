"""A session of a shadow copy service, for the length of a block."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from frskit.events import Warned
from frskit.scopes import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.frs.deployment import Parts
    from frskit.model.shadows import ShadowRequest
    from frskit.protocols import ShadowCopyService, ShadowSession

__all__ = ["open_session"]


@contextmanager
def open_session(
    parts: Parts, service: ShadowCopyService, request: ShadowRequest
) -> Iterator[ShadowSession]:
    """Enter a session and leave it, whatever the block raises; what it raises always goes on.

    That a session could not be left spoils nothing that was done in it, so it is a warning: the
    writers have their verdict, or hear that there will be none.
    """
    session = service.session(request)
    entered = session.__enter__()
    try:
        yield entered
    except BaseException as error:
        _leave(parts, session, error)
        raise
    _leave(parts, session, None)


def _leave(parts: Parts, session: ShadowSession, error: BaseException | None) -> None:
    trace = None if error is None else error.__traceback__
    try:
        session.__exit__(None if error is None else type(error), error, trace)
    except Exception as trouble:  # noqa: BLE001 - parties are strangers: law 11
        text = f"the session of the shadow copy service was not left: {told(trouble)}"
        parts.sink.emit(Warned(at=parts.clock.now(), text=text))
