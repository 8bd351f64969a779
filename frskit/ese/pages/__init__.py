"""Pages: checksums, verdicts on one page and on millions, and the worker of an executor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.ese.pages.checksums import (
        CHECKSUM_MAGIC,
        NEW_FORMAT_FLAG,
        PAGE_SIZES,
        block_checksum,
        block_size,
        header_checksum,
        is_new_format,
        new_checksums,
        old_checksum,
        seal_header,
        seal_page,
        stored_checksums,
        word_xor,
    )
    from frskit.ese.pages.verify import is_trailer_page, judge_new, verify_header_page, verify_page
    from frskit.ese.pages.verify_many import STATUS_NAMES, PageRun, PageVerifier, as_words
    from frskit.ese.pages.worker import Part, PartResult, check_part

__all__ = [
    "CHECKSUM_MAGIC",
    "NEW_FORMAT_FLAG",
    "PAGE_SIZES",
    "STATUS_NAMES",
    "PageRun",
    "PageVerifier",
    "Part",
    "PartResult",
    "as_words",
    "block_checksum",
    "block_size",
    "check_part",
    "header_checksum",
    "is_new_format",
    "is_trailer_page",
    "judge_new",
    "new_checksums",
    "old_checksum",
    "seal_header",
    "seal_page",
    "stored_checksums",
    "verify_header_page",
    "verify_page",
    "word_xor",
]

_HOMES = {
    "CHECKSUM_MAGIC": "frskit.ese.pages.checksums",
    "NEW_FORMAT_FLAG": "frskit.ese.pages.checksums",
    "PAGE_SIZES": "frskit.ese.pages.checksums",
    "PageRun": "frskit.ese.pages.verify_many",
    "PageVerifier": "frskit.ese.pages.verify_many",
    "Part": "frskit.ese.pages.worker",
    "PartResult": "frskit.ese.pages.worker",
    "STATUS_NAMES": "frskit.ese.pages.verify_many",
    "as_words": "frskit.ese.pages.verify_many",
    "block_checksum": "frskit.ese.pages.checksums",
    "block_size": "frskit.ese.pages.checksums",
    "check_part": "frskit.ese.pages.worker",
    "header_checksum": "frskit.ese.pages.checksums",
    "is_new_format": "frskit.ese.pages.checksums",
    "is_trailer_page": "frskit.ese.pages.verify",
    "judge_new": "frskit.ese.pages.verify",
    "new_checksums": "frskit.ese.pages.checksums",
    "old_checksum": "frskit.ese.pages.checksums",
    "seal_header": "frskit.ese.pages.checksums",
    "seal_page": "frskit.ese.pages.checksums",
    "stored_checksums": "frskit.ese.pages.checksums",
    "verify_header_page": "frskit.ese.pages.verify",
    "verify_page": "frskit.ese.pages.verify",
    "word_xor": "frskit.ese.pages.checksums",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
