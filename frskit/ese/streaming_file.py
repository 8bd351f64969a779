"""The streaming file (.stm) of Exchange 2000/2003: headers, size and signature, nothing more.

Its data pages carry no checksum; their checksums live in a table of the .edb whose row layout is
not public [ese.md 5.4, UNKNOWN]. So `coverage` is always ``headers``, and no verdict of this
module says anything about the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from frskit.codes.ese import EseError
from frskit.errors import FormatError
from frskit.ese.database import check_database
from frskit.ese.sources import source_name

if TYPE_CHECKING:
    from frskit.ese.sources import Source
    from frskit.model.ese_files import DatabaseHeader
    from frskit.model.reports import DatabaseReport

__all__ = ["StreamingFileReport", "check_streaming_file"]


@frozen(kw_only=True)
class StreamingFileReport:
    """Result of checking a streaming file.

    Attributes:
        report: Counts of its two header pages; coverage ``headers``.
        belongs: Whether its signature is that of the database given; None if none was given.
    """

    report: DatabaseReport
    belongs: bool | None = None

    @property
    def ok(self) -> bool:
        """Whether the headers are good and the file belongs to the database, as far as asked."""
        return self.report.verdict == "ok" and self.belongs is not False


def check_streaming_file(
    file: Source, *, database: DatabaseHeader | None = None
) -> StreamingFileReport:
    """Check both headers, and whether the file belongs to `database` (equal signSLV).

    Raises:
        FormatError: No readable header (native -1018), or not a streaming file (-1812).
        FileMissing, HostError: It cannot be read.
    """
    report = check_database(file)
    header = report.header
    if header is None or not header.is_streaming_file:
        name = source_name(file)
        text = f"{name} is not a streaming file"
        raise FormatError(text, context={"file": name}, native=EseError.FILE_INVALID_TYPE)
    belongs = None if database is None else header.slv_signature == database.slv_signature
    return StreamingFileReport(report=report, belongs=belongs)
