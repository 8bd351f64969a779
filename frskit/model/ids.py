"""Identifiers: opaque texts with distinct types, and the factory that makes new ones.

GUIDs are written as lower-case text without braces; compare foreign ones after `guid` only
(VSS-68: braces and case are irrelevant).
"""

from __future__ import annotations

import random
import uuid
from typing import NewType

from frskit.errors import UsageError

__all__ = [
    "CopyId",
    "CopyKey",
    "HostRef",
    "IdFactory",
    "SetId",
    "ShadowId",
    "StorageId",
    "VolumeId",
    "guid",
]

StorageId = NewType("StorageId", str)
"""An array object (LUN, virtual disk, directory): opaque, with a scheme: ``eva:...``, ``file:...``.

It names the object and is never used again. What hosts see of the object, such as a world wide LUN
name, may be given to another one and is data beside it (`Storage.identifiers`). Objects that older
versions named after their world wide name (``naa:...``) keep that id while they exist.
"""

VolumeId = NewType("VolumeId", str)
"""Id of a volume as its server knows it; a copy of a volume carries the id of its original."""

HostRef = NewType("HostRef", str)
"""A host object of the array: who may see a presented LUN."""

CopyKey = NewType("CopyKey", str)
"""The caller's idempotency key of one copy set on an array; frskit uses the set's GUID."""

SetId = NewType("SetId", str)
"""GUID of a shadow copy set."""

ShadowId = NewType("ShadowId", str)
"""GUID of one shadow copy in a set."""

CopyId = NewType("CopyId", str)
"""Id of a copy in the catalog: the GUID of its shadow copy set [FRS R-2.5]."""


def guid(text: str) -> str:
    """The canonical spelling of a GUID, whatever its case and braces.

    Raises:
        UsageError: It is not a GUID.
    """
    try:
        return str(uuid.UUID(text.strip().strip("{}")))
    except ValueError as error:
        raise UsageError(f"{text!r} is not a GUID") from error


class IdFactory:
    """Makes GUIDs from an injected source of randomness, so that a seed fixes every id."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.SystemRandom()

    def guid(self) -> str:
        """A fresh version-4 GUID in canonical spelling."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
