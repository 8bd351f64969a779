"""The order of calls of one requestor object: its state, and whether a call is legal now.

Every call goes through the table of [VSS 2.2] before it does anything, so that a refused call
changes nothing [VSS-21].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.codes.hresult import hresult
from frskit.errors import BadState
from frskit.vss.context_flags import CTX_BACKUP, Attribute
from frskit.vss.state_tables import REQUESTOR_TABLE, RequestorCall, RequestorState, legal_calls

if TYPE_CHECKING:
    from frskit.model.ids import SetId
    from frskit.vss.trace import Tracer

__all__ = ["CallOrder"]


class CallOrder:
    """Where a requestor object is in its life, and what it may be asked to do.

    Attributes:
        state: Where it is.
        context: Its context; None until it was chosen, which means VSS_CTX_BACKUP.
        set_id: The set that it has begun; None before.
        generation: How often the writers' documents may have changed [VSS-41].
    """

    def __init__(self, trace: Tracer) -> None:
        self._trace = trace
        self.state: RequestorState = RequestorState.NEW
        self.context: int | None = None
        self.set_id: SetId | None = None
        self.generation: int = 0

    @property
    def effective_context(self) -> int:
        """The context that holds if none was chosen."""
        return self.context or CTX_BACKUP

    @property
    def without_writers(self) -> bool:
        """Whether the context leaves writers out."""
        return bool(self.effective_context & Attribute.NO_WRITERS)

    def check(self, call: RequestorCall) -> RequestorState:
        """The state after `call`; nothing is changed.

        Raises:
            BadState: The call is not legal now.
        """
        after = REQUESTOR_TABLE.get((call, self.state))
        if after is None:
            raise self.refusal(call, f"is not legal in state {self.state.value}")
        return after

    def enter(self, call: RequestorCall, subject: str = "") -> None:
        """Check a call, trace it, and be in the state after it. Errors as `check`."""
        after = self.check(call)
        self.row(call.value, subject)
        self.state = after

    def refusal(self, call: RequestorCall, why: str) -> BadState:
        """The error for a call that comes out of order."""
        return BadState(
            f"{call.value} {why}",
            context={
                "state": self.state.value,
                "call": call.value,
                "legal": legal_calls(self.state),
                "context": self.context,
            },
            native=hresult("VSS_E_BAD_STATE"),
        )

    def row(self, step: str, subject: str = "") -> None:
        """Trace a step of the requestor."""
        self._trace.row("R", step, set_id=self.set_id, subject=subject)
