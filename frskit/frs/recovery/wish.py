"""What the caller of a recovery wants."""

from __future__ import annotations

from attrs import frozen

from frskit.model.plans import RecoveryMethod, RecoveryMode, RecoveryTarget

__all__ = ["RecoveryWish"]


@frozen(kw_only=True)
class RecoveryWish:
    """What the caller wants.

    Attributes:
        target: Where recovery ends.
        method: How.
        component: Its name; None if the copy holds just one.
        accept_unverified: Whether an unverified copy may be used (never a corrupt one).
    """

    target: RecoveryTarget
    method: RecoveryMethod = RecoveryMethod.SWAP
    component: str | None = None
    accept_unverified: bool = False

    @property
    def mode(self) -> RecoveryMode:
        """The mode of the target."""
        return self.target.mode
