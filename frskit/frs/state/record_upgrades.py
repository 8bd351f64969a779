"""How records of copies that an older frskit wrote become those of this one.

Pure functions on plain dictionaries, one step per version, as `frskit.model.json_records` wants
them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from frskit.model.json_records import UPGRADES

__all__ = ["COPY_DETAIL_VERSION", "upgrade_copy_detail"]

COPY_DETAIL_VERSION = 2
"""Version of ``frskit.copy-detail``: report, writers' records, documents."""

Plain = dict[str, Any]


def _late_files(plain: Plain) -> Plain:
    """Attachments, which nobody read, become late files with their content and without a place."""
    records = [_with_late(each) for each in plain.get("records", ())]
    return {**plain, "records": records}


def _with_late(record: Plain) -> Plain:
    rest = {name: value for name, value in record.items() if name != "attachments"}
    late = []
    for name, text in (record.get("attachments") or {}).items():
        content = base64.b64decode(text)
        late.append(
            {
                "component": record["component"],
                "path": name,
                "content": text,
                "size_bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    return {**rest, "late": late}


_DETAIL_2: tuple[Callable[[Plain], Plain], ...] = (_late_files,)


def upgrade_copy_detail(plain: Plain) -> Plain:
    """``frskit.copy-detail`` from version 1 to 2."""
    for step in _DETAIL_2:
        plain = step(plain)
    return plain


UPGRADES["frskit.copy-detail"] = {1: upgrade_copy_detail}
