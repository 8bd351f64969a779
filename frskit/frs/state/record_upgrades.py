"""Reading records of copies that an older frskit wrote: one step per version of the record.

A record of version 1 knew logs as generations, plain numbers. The number becomes the rank of a
`LogPoint` without a name and of no known stream. Inside one record that compares as it did; with
a place of a record made since, whose stream is known, it cannot be compared, which is the truth.

It had attachments, which nobody read: they become late files with their content and without a
place.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from frskit.model.json_records import UPGRADES

__all__ = ["COPY_VERSION", "upgrade_copy", "upgrade_copy_detail"]

COPY_VERSION = 2
"""Version of the two halves of a copy's record."""


def upgrade_copy(plain: dict[str, Any]) -> dict[str, Any]:
    """The light half of a copy's record, from version 1 to 2."""
    for step in (_truncation_points,):
        plain = step(plain)
    return plain


def upgrade_copy_detail(plain: dict[str, Any]) -> dict[str, Any]:
    """The heavy half, from version 1 to 2: report and writer records."""
    for step in (_report_points, _writer_record_points, _late_files):
        plain = step(plain)
    return plain


def _truncation_points(plain: dict[str, Any]) -> dict[str, Any]:
    gone = [
        {**each, "first": _point(each.get("first")), "last": _point(each.get("last"))}
        for each in plain.get("truncated", ())
    ]
    return {**plain, "truncated": gone}


def _report_points(plain: dict[str, Any]) -> dict[str, Any]:
    report = plain.get("report")
    if report is None:
        return plain
    components = [
        {
            **each,
            "logs_held": _stretch(each.get("logs_held")),
            "logs_needed": _stretch(each.get("logs_needed")),
            "truncation_bound": _point(each.get("truncation_bound")),
        }
        for each in report["components"]
    ]
    files = [{**each, "log": _point(each.get("generation"))} for each in report["files"]]
    for each in files:
        each.pop("generation", None)
    return {**plain, "report": {**report, "components": components, "files": files}}


def _writer_record_points(plain: dict[str, Any]) -> dict[str, Any]:
    records = [
        {**each, "logs_needed": _stretch(each.get("logs_needed"))}
        for each in plain.get("records", ())
    ]
    return {**plain, "records": records}


def _late_files(plain: dict[str, Any]) -> dict[str, Any]:
    """Attachments as late files."""
    records = [_with_late(each) for each in plain.get("records", ())]
    return {**plain, "records": records}


def _with_late(record: dict[str, Any]) -> dict[str, Any]:
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


def _point(generation: int | None) -> dict[str, Any] | None:
    return None if generation is None else {"rank": generation, "name": "", "stream": ""}


def _stretch(generations: list[int] | None) -> dict[str, Any] | None:
    if generations is None:
        return None
    first, last = generations
    return {"first": _point(first), "last": _point(last)}


UPGRADES["frskit.copy"] = {1: upgrade_copy}
UPGRADES["frskit.copy-detail"] = {1: upgrade_copy_detail}
