"""The providers of one server: registration, choice, and calls with their errors sorted.

A provider's refusal and the typed errors of the array below it pass as they are; anything else is
an unexpected provider error, which is also put on record as an event [VSS-28, VSS-29].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from attrs import define, field

from frskit.clock import Budget
from frskit.codes.hresult import hresult
from frskit.errors import (
    ArrayError,
    BadState,
    Busy,
    FrskitError,
    HostError,
    ProviderError,
    ProviderNotRegistered,
    Stopped,
    VolumeNotSupported,
)
from frskit.model.ids import SetId
from frskit.model.shadows import LunInformation
from frskit.model.storage import CopyKind
from frskit.protocols import HardwareProvider
from frskit.vss.trace import Tracer

__all__ = ["Providers", "SupportsReconcile"]

T = TypeVar("T")

# What a provider may raise; everything else is an unexpected error [VSS-29].
_LISTED = (ProviderError, ArrayError, HostError, Stopped, Busy)


@runtime_checkable
class SupportsReconcile(Protocol):
    """A provider that can find and remove what a set that never came to be has left behind."""

    def reconcile(self, set_id: SetId, *, budget: Budget) -> Sequence[str]:
        """Delete every target of a set that was *not* created; names of what remains.

        The caller vouches that the set is not in use: this also works after a restart, when the
        provider itself remembers nothing [HAZ-09, HAZ-10].
        """
        ...


@define(eq=False)
class Providers:
    """The registered providers of one coordinator."""

    trace: Tracer
    _members: list[HardwareProvider] = field(factory=list, init=False)

    def register(self, provider: HardwareProvider) -> None:
        """Add a provider.

        Raises:
            BadState: Its id is taken (VSS_E_PROVIDER_ALREADY_REGISTERED).
        """
        if any(each.info.id == provider.info.id for each in self._members):
            raise BadState(
                f"a provider with the id {provider.info.id} is registered already",
                context={"provider": provider.info.id},
                native=hresult("VSS_E_PROVIDER_ALREADY_REGISTERED"),
            )
        self._members.append(provider)

    def unregister(self, provider: HardwareProvider) -> bool:
        """Remove a provider after OnUnload; False if it was not there."""
        if provider not in self._members:
            return False
        self.call(provider, "OnUnload", None, provider.on_unload)
        self._members.remove(provider)
        return True

    def all(self) -> tuple[HardwareProvider, ...]:
        """The registered providers."""
        return tuple(self._members)

    def by_id(self, provider_id: str) -> HardwareProvider:
        """The provider of this id.

        Raises:
            ProviderNotRegistered: There is none.
        """
        for each in self._members:
            if each.info.id == provider_id:
                return each
        raise ProviderNotRegistered(
            f"no provider with the id {provider_id} is registered on this server",
            context={"provider": provider_id},
            native=hresult("VSS_E_PROVIDER_NOT_REGISTERED"),
        )

    def choose(
        self,
        luns: Sequence[LunInformation],
        kind: CopyKind | None,
        *,
        volume: str,
        provider_id: str | None = None,
        set_id: SetId | None = None,
    ) -> HardwareProvider:
        """The provider for a volume: the one asked for, else hardware, software, system [VSS-28].

        Raises:
            ProviderNotRegistered: None is registered, or not the one asked for.
            VolumeNotSupported: None supports all LUNs in this way.
        """
        if provider_id is not None:
            candidates = [self.by_id(provider_id)]
        else:
            # The values are the order of preference; among equals the first registered goes first.
            candidates = sorted(self._members, key=lambda each: each.info.kind.value)
        if not candidates:
            raise ProviderNotRegistered(
                "no provider is registered on this server",
                context={"volume": volume},
                native=hresult("VSS_E_PROVIDER_NOT_REGISTERED"),
            )
        for each in candidates:
            if self._supports(each, luns, kind, set_id):
                return each
        asked = "VSS_E_VOLUME_NOT_SUPPORTED" + ("_BY_PROVIDER" if provider_id else "")
        wish = f"as {kind.value}" if kind else "in any way"
        raise VolumeNotSupported(
            f"no provider can copy the LUNs of {volume} {wish}",
            context={"volume": volume, "luns": [lun.storage for lun in luns]},
            native=hresult(asked),
        )

    def _supports(
        self,
        provider: HardwareProvider,
        luns: Sequence[LunInformation],
        kind: CopyKind | None,
        set_id: SetId | None,
    ) -> bool:
        step, name = "AreLunsSupported", provider.info.name
        try:
            fine = provider.are_luns_supported(luns, kind)
        except Exception as error:  # noqa: BLE001  a provider that raises here does not support
            self.trace.row("P", step, set_id=set_id, subject=name, outcome=str(error))
            return False
        self.trace.row("P", step, set_id=set_id, subject=name, outcome="" if fine else "no")
        return fine

    def call(
        self,
        provider: HardwareProvider,
        step: str,
        set_id: SetId | None,
        function: Callable[[], T],
    ) -> T:
        """Call a provider and put the row on the trace.

        Raises:
            ProviderVeto, ArrayError, HostError, Stopped: As the provider raised them.
            ProviderError: Anything else, with native VSS_E_UNEXPECTED_PROVIDER_ERROR.
        """
        name = provider.info.name
        try:
            result = function()
        except BaseException as error:
            # An interrupt, too, is on the trace before it goes on.
            why = str(error) or type(error).__name__
            self.trace.row("P", step, set_id=set_id, subject=name, outcome=why)
            if isinstance(error, _LISTED) or not isinstance(error, Exception):
                raise
            self.trace.warn(f"provider {name} failed unexpectedly in {step}: {why}")
            raise _unexpected(name, step, error) from error
        self.trace.row("P", step, set_id=set_id, subject=name)
        return result


def _unexpected(name: str, step: str, error: Exception) -> ProviderError:
    context = dict(error.context) if isinstance(error, FrskitError) else {}
    return ProviderError(
        f"provider {name} failed unexpectedly in {step}: {error}",
        context={**context, "provider": name, "method": step},
        retryable=True,
        native=hresult("VSS_E_UNEXPECTED_PROVIDER_ERROR"),
    )
