"""Records on disk: JSON with a ``schema`` field, and the chain that upgrades old ones.

Every record says its schema, ``frskit.copy/1``. A newer frskit reads older ones through
`UPGRADES`, one step per version; a record of a newer frskit is refused with a hint.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from frskit.errors import CatalogError

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["UPGRADES", "dump", "load"]

T = TypeVar("T")

UPGRADES: dict[str, dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
"""By schema name: from version n to n + 1."""


@lru_cache(maxsize=1)
def converter() -> Converter:
    """The converter for all records; made on first use, because cattrs is slow to import."""
    from cattrs import Converter

    made = Converter()
    made.register_unstructure_hook(datetime, lambda value: value.isoformat())
    made.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
    made.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode("ascii"))
    made.register_structure_hook(bytes, lambda value, _: base64.b64decode(value))
    return made


def dump(value: object, schema: str, version: int = 1) -> str:
    """A value as one JSON document with its schema."""
    plain = converter().unstructure(value)
    return json.dumps({"schema": f"{schema}/{version}", **plain}, separators=(",", ":"))


def load(text: str, kind: type[T], schema: str, version: int = 1) -> T:
    """The value of a document.

    Raises:
        CatalogError: It is damaged, of another schema, or of a newer version.
    """
    try:
        plain = json.loads(text)
        name, _, found = plain.pop("schema").rpartition("/")
        number = int(found)
        if name != schema:
            raise ValueError(f"schema is {name}, not {schema}")
        if number > version:
            raise ValueError(f"version {number} is newer than this frskit knows ({version})")
        for step in range(number, version):
            plain = UPGRADES[schema][step](plain)
        return converter().structure(plain, kind)
    except Exception as error:  # cattrs raises groups of many kinds; all mean "not readable"
        raise CatalogError(
            f"a {schema} record cannot be read: {error}",
            hint="Restore the catalog from a copy, or rebuild it.",
        ) from error
