"""The world that the kit for requestors works in: a requestor, and levers on production."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from frskit.protocols import Requestor

__all__ = ["RequestorWorld"]


class RequestorWorld(Protocol):
    """A requestor and the levers that the kit needs; made anew for each scenario."""

    @property
    def requestor(self) -> Requestor:
        """The requestor under test."""
        ...

    @property
    def server(self) -> str:
        """Name of a production server."""
        ...

    @property
    def component(self) -> str:
        """Name of a component there that can be copied."""
        ...

    def work(self) -> None:
        """Let the application do something, so that a full backup has logs to truncate."""
        ...

    def logs(self) -> Mapping[str, bytes]:
        """Production's closed logs, by name."""
        ...

    def damaged(self) -> AbstractContextManager[None]:
        """While it is open, copies that are made do not pass their check."""
        ...

    def close(self) -> None:
        """Give everything up."""
        ...
