"""Identifiers: opaque texts with distinct types, and the factory that makes new ones.

GUIDs are written as lower-case text without braces; compare foreign ones after `guid` only
(VSS-68: braces and case are irrelevant).
"""

from __future__ import annotations

import random
import re
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
    "canonical_guid",
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
"""The caller's key of one copy set, chosen before anything is asked of a service or an array."""

SetId = NewType("SetId", str)
"""GUID of a shadow copy set, as its service names it.

It comes out of `ShadowSession.create`. frskit's own service uses the caller's key; others do not.
"""

ShadowId = NewType("ShadowId", str)
"""GUID of one shadow copy in a set."""

CopyId = NewType("CopyId", str)
"""Id of a copy in the catalog, a GUID; its shadow copy set may have another [FRS R-2.5]."""

_CANONICAL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def guid(text: str) -> str:
    """The canonical spelling of a GUID, whatever its case and braces.

    Raises:
        UsageError: It is not a GUID.
    """
    try:
        return str(uuid.UUID(text.strip().strip("{}")))
    except ValueError as error:
        raise UsageError(f"{text!r} is not a GUID") from error


def canonical_guid(text: str) -> str:
    """The canonical spelling if it is a GUID, and the text itself if it is none.

    For ids that may be a stranger's: two texts that name one thing are equal afterwards [VSS-68].

    Example:
        >>> canonical_guid("{E109943B-232E-4B52-8DC4-62B7DE94761B}")
        'e109943b-232e-4b52-8dc4-62b7de94761b'
        >>> canonical_guid("my-writer")
        'my-writer'
    """
    # Most are canonical already, and components are made by the thousand.
    if _CANONICAL.fullmatch(text):
        return text
    try:
        return guid(text)
    except UsageError:
        return text


class IdFactory:
    """Makes GUIDs from an injected source of randomness, so that a seed fixes every id."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.SystemRandom()

    def guid(self) -> str:
        """A fresh version-4 GUID in canonical spelling."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
