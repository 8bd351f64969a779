"""The providers of one server: registration, choice, and calls with their errors sorted.

A provider's refusal and the typed errors of the array below it pass as they are; anything else is
an unexpected provider error, which is also put on record as an event [VSS-28, VSS-29].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar, cast, runtime_checkable

from attrs import define, field

from frskit.clock import Budget, CancelToken, Clock
from frskit.codes.hresult import hresult
from frskit.errors import (
    ArrayError,
    BadState,
    Busy,
    FrskitError,
    HostError,
    ProviderError,
    ProviderNotRegistered,
    ProviderVeto,
    Stopped,
    VolumeNotSupported,
)
from frskit.model.ids import SetId, canonical_guid
from frskit.model.shadows import LunInformation, ProviderInfo
from frskit.model.storage import CopyKind
from frskit.protocols import HardwareProvider
from frskit.vss.trace import Tracer
from frskit.watchdog import ANSWER_S, CLOSING_S, Watchdog

__all__ = ["Providers", "SupportsReconcile"]

T = TypeVar("T")

_GUID_NULL = "00000000-0000-0000-0000-000000000000"

# What a provider may raise; everything else is an unexpected error [VSS-29].
_LISTED = (ProviderVeto, ArrayError, HostError, Stopped, Busy)


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
class _Member:
    """A registered provider, who it is, and who calls it."""

    provider: HardwareProvider
    info: ProviderInfo
    dog: Watchdog


@define(eq=False)
class Providers:
    """The registered providers of one coordinator."""

    trace: Tracer
    clock: Clock
    answer_s: float = ANSWER_S
    closing_s: float = CLOSING_S
    _members: list[_Member] = field(factory=list, init=False)

    def register(self, provider: HardwareProvider) -> None:
        """Add a provider.

        Raises:
            BadState: Its id is taken (VSS_E_PROVIDER_ALREADY_REGISTERED).
            NoAnswer: It does not say who it is.
            ProviderError: It cannot.
        """
        made = self._made(provider)
        if any(each.info.id == made.info.id for each in self._members):
            raise BadState(
                f"a provider with the id {made.info.id} is registered already",
                context={"provider": made.info.id},
                native=hresult("VSS_E_PROVIDER_ALREADY_REGISTERED"),
            )
        self._members.append(made)

    def _made(self, provider: HardwareProvider) -> _Member:
        """Who a provider is: asked here, and not again, least of all inside of a window."""
        plain = f"provider {type(provider).__name__}"
        asking = Watchdog(plain, self.clock, wrap=ProviderError, closing_s=self.closing_s)
        info = asking.call("info", lambda: provider.info, deadline_s=None, closing=True)
        dog = Watchdog(f"provider {info.name}", self.clock, closing_s=self.closing_s)
        return _Member(provider, info, dog)

    def unregister(self, provider: HardwareProvider) -> bool:
        """Remove a provider after OnUnload; False if it was not there."""
        if not any(each.provider is provider for each in self._members):
            return False
        self.call(provider, "OnUnload", None, provider.on_unload)
        self._members = [each for each in self._members if each.provider is not provider]
        return True

    def _member(self, provider: HardwareProvider) -> _Member:
        for each in self._members:
            if each.provider is provider:  # they need not be comparable
                return each
        # A set that is being made may have one that was unregistered meanwhile.
        return self._made(provider)

    def dog(self, provider: HardwareProvider) -> Watchdog:
        """Who calls this provider."""
        return self._member(provider).dog

    def info(self, provider: HardwareProvider) -> ProviderInfo:
        """Who this provider is, as it said when it was registered."""
        return self._member(provider).info

    def dogs(self) -> tuple[Watchdog, ...]:
        """Who calls the providers."""
        return tuple(each.dog for each in self._members)

    def all(self) -> tuple[HardwareProvider, ...]:
        """The registered providers."""
        return tuple(each.provider for each in self._members)

    def by_id(self, provider_id: str) -> HardwareProvider:
        """The provider of this id, in any spelling [VSS-68].

        Raises:
            ProviderNotRegistered: There is none.
        """
        wanted = canonical_guid(provider_id)
        for each in self._members:
            if each.info.id == wanted:
                return each.provider
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
        context: int,
        volume: str,
        provider_id: str | None = None,
        set_id: SetId | None = None,
    ) -> HardwareProvider:
        """The provider for a volume: the one asked for, else hardware, software, system [VSS-28].

        The GUID of zeros asks for nobody in particular, as at AddToSnapshotSet.

        Raises:
            ProviderNotRegistered: None is registered, or not the one asked for.
            VolumeNotSupported: None supports all LUNs in this way.
        """
        if provider_id is not None and canonical_guid(provider_id) == _GUID_NULL:
            provider_id = None
        if provider_id is not None:
            candidates = [self.by_id(provider_id)]
        else:
            # The values are the order of preference; among equals the first registered goes first.
            ordered = sorted(self._members, key=lambda each: each.info.kind.value)
            candidates = [each.provider for each in ordered]
        if not candidates:
            raise ProviderNotRegistered(
                "no provider is registered on this server",
                context={"volume": volume},
                native=hresult("VSS_E_PROVIDER_NOT_REGISTERED"),
            )
        for each in candidates:
            if self._supports(each, luns, kind, context, set_id):
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
        context: int,
        set_id: SetId | None,
    ) -> bool:
        step, name = "AreLunsSupported", self.info(provider).name
        try:
            fine = self.dog(provider).call(
                step,
                partial(provider.are_luns_supported, luns, kind, context=context),
                deadline_s=self.clock.monotonic() + self.answer_s,
            )
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
        *,
        deadline_s: float | None = None,
        on_expiry: Callable[[], None] | None = None,
        on_late: Callable[[], None] | None = None,
        closing: bool = False,
        token: CancelToken | None = None,
    ) -> T:
        """Call a provider and put the row on the trace.

        Args:
            provider: Who is called.
            step: The name of the call, for the trace and for messages.
            set_id: For the trace.
            function: The call.
            deadline_s: Reading of the clock at which it is left; None: after `answer_s`, or after
                `closing_s` if it is closing.
            on_expiry: As of `frskit.watchdog.Watchdog.call`.
            on_late: As there.
            closing: As there.
            token: As there.

        Raises:
            NoAnswer: It hangs, or has not come back from an earlier call.
            ProviderVeto, ArrayError, HostError, Stopped: As the provider raised them.
            ProviderError: Anything else, with native VSS_E_UNEXPECTED_PROVIDER_ERROR.
        """
        name = self.info(provider).name
        try:
            if deadline_s is None and not closing:
                deadline_s = self.clock.monotonic() + self.answer_s
            result = self.dog(provider).call(
                step,
                function,
                deadline_s=deadline_s,
                on_expiry=on_expiry,
                on_late=on_late,
                closing=closing,
                token=token,
            )
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

    def reconcile(
        self, provider: SupportsReconcile, set_id: SetId, budget: Budget
    ) -> Sequence[str]:
        """Let a provider remove what is left of a set, also one that hangs in another call.

        Raises:
            As `call`.
        """
        end_s = budget.deadline_s
        return self.call(
            cast("HardwareProvider", provider),
            "Reconcile",
            set_id,
            lambda: list(provider.reconcile(set_id, budget=budget)),
            deadline_s=self.clock.monotonic() + self.answer_s if end_s is None else end_s,
            closing=True,
        )


def _unexpected(name: str, step: str, error: Exception) -> ProviderError:
    context = dict(error.context) if isinstance(error, FrskitError) else {}
    return ProviderError(
        f"provider {name} failed unexpectedly in {step}: {error}",
        context={**context, "provider": name, "method": step},
        retryable=True,
        native=hresult("VSS_E_UNEXPECTED_PROVIDER_ERROR"),
    )
