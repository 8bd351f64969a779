"""Ways to run programs on a host."""

from __future__ import annotations

from frskit.hosts.runners.local import LocalRunner

__all__ = ["LocalRunner"]
