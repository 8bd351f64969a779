"""Ids that a test can name beforehand."""

from __future__ import annotations

from itertools import count

from frskit.model.ids import IdFactory, StorageId


class CountingIds(IdFactory):
    """GUIDs that count from 1."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count(1)

    def guid(self) -> str:
        return counted_guid(next(self._numbers))


def counted_guid(number: int) -> str:
    """The GUID of this number."""
    return f"00000000-0000-4000-8000-{number:012d}"


def storage_id(name: str, number: int) -> StorageId:
    """The id of the object of this number in an array of directories with `CountingIds`."""
    return StorageId(f"file:{name}:{counted_guid(number)}")
