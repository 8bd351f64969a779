"""Arrays made of what this machine has: directories whose copies are reflinked or copied."""

from __future__ import annotations

from frskit.local.directory import DirectoryArray

__all__ = ["DirectoryArray"]
