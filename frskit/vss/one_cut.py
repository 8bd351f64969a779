"""Do a set's members belong together? Asked at plan time, before anybody is disturbed [R-27].

An array that copies one member after the other gives one state of all of them only if nothing is
written meanwhile. That is so if the writer holds its application, if its backup mode makes members
of different times fit, or if the server itself holds writes.
"""

from __future__ import annotations

from functools import partial
from inspect import getattr_static
from typing import TYPE_CHECKING, Protocol

from frskit.codes.hresult import hresult
from frskit.errors import FrskitError, HostError, ProviderError, VolumeNotSupported
from frskit.model.components import Quiesce
from frskit.watchdog import foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from frskit.model.components import WriterMetadata
    from frskit.protocols import HardwareProvider
    from frskit.vss.engine import Engine
    from frskit.watchdog import Watchdog

__all__ = ["HoldsWrites", "ReliesOnHold", "check_one_cut"]


class ReliesOnHold(Protocol):
    """A provider that may copy the members of a set one after the other, inside of the hold."""

    @property
    def relies_on_hold(self) -> bool:
        """Whether it does."""
        ...


class HoldsWrites(Protocol):
    """A server whose `hold_writes` keeps every program from writing, and not only flushes."""

    @property
    def holds_writes(self) -> bool:
        """Whether it does."""
        ...


def check_one_cut(
    engine: Engine, provider: HardwareProvider, luns: int, writers: Iterable[WriterMetadata]
) -> None:
    """Whether the copies of so many LUNs will be of one state.

    Args:
        engine: Of the service of the server whose volumes are copied.
        provider: Who copies them.
        luns: How many it has to copy in this set.
        writers: Those with components in the set.

    Raises:
        VolumeNotSupported: They may not be; the reason names the writer.
        ProviderError, HostError: One of them cannot say.
        NoAnswer: One of them does not.
    """
    if luns < 2:
        return
    if not _says(
        engine.providers.dog(provider),
        "relies_on_hold",
        partial(_flag, provider, "relies_on_hold"),
        ProviderError,
    ):
        return
    server = engine.bare_server
    if _says(
        engine.server_dog,
        "holds_writes",
        partial(_flag, server, "holds_writes"),
        HostError,
    ):
        return
    loose = [each.name for each in writers if each.quiesce is Quiesce.INSTANT_ONLY]
    if not loose:
        return
    name = engine.providers.info(provider).name
    raise VolumeNotSupported(
        f"{name} copies {luns} LUNs one after the other, but {', '.join(loose)} "
        f"goes on writing meanwhile, and server {engine.server.name} does not hold writes",
        context={"provider": name, "writers": loose, "luns": luns},
        hint="Put the files on one LUN, use an array with one instant for a set, or let the "
        "server hold writes.",
        native=hresult("VSS_E_VOLUME_NOT_SUPPORTED"),
    )


def _flag(party: object, name: str) -> bool:
    """A property that a party need not have; one that it has and that is broken is no "no"."""
    try:
        return bool(getattr(party, name))
    except AttributeError:
        if getattr_static(party, name, None) is not None:
            raise
        return False


def _says(dog: Watchdog, what: str, ask: Callable[[], bool], kind: type[FrskitError]) -> bool:
    """What a stranger answers when it is asked what it is."""
    try:
        return dog.call(what, ask, deadline_s=None, closing=True)
    except FrskitError:
        raise
    except Exception as error:
        raise foreign(kind, dog.party, what, error) from error
