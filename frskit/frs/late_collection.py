"""Late files on their way: from the writers' records into the store, and out again once unnamed.

What a writer can give only after the instant (the label of a hot backup, the log that ends it) is
part of the copy all the same: collected before the check, which sees it, and kept as long as the
copy. Everything here is frskit's choice.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import Busy, FrskitError, WriterError
from frskit.events import Warned
from frskit.frs.state.late_files import opened
from frskit.model.copies import CopyFilter, CopyLife, Verdict
from frskit.model.server_paths import same_path
from frskit.scopes import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.clock import Budget
    from frskit.frs.deployment import Parts, Production
    from frskit.frs.state.late_files import LateRef
    from frskit.model.components import ComponentId, LateFile, WriterRecord
    from frskit.model.copies import Copy
    from frskit.model.ids import CopyId
    from frskit.protocols import ReadableFile

__all__ = ["collect", "decayed", "late_refs", "sweep", "without_late"]

_NEARLY = 0.8
"""Share of the limit from which on a warning is given (frskit's choice)."""


def collect(
    parts: Parts, production: Production, records: Sequence[WriterRecord], budget: Budget
) -> tuple[WriterRecord, ...]:
    """Keep the late files that the records name; the records with their manifests.

    The caller is `LateFiles.alone` until the record that names them is durable.

    Raises:
        WriterError: One cannot be taken as it was named; its source is not there, for example. Or
            all of them are more than the site allows (``context["limit_bytes"]``); none was kept.
        NoSpace, CatalogError: One could not be kept.
    """
    named = [late for record in records for late in record.late]
    _check_names(named)
    with ExitStack() as stack:
        # All of them before the first is kept: what is not there, or too much, shows at once.
        sources = {
            late.path: stack.enter_context(_source(production, late, budget)) for late in named
        }
        _check_limit(parts, {path: each.size_bytes for path, each in sources.items()})
        kept = {late.path: _keep(parts, late, sources[late.path], budget) for late in named}
    return tuple(
        evolve(record, late=tuple(kept[late.path] for late in record.late)) for record in records
    )


def _check_names(named: Sequence[LateFile]) -> None:
    for place, late in enumerate(named):
        if (late.content is None) is not bool(late.source) or not late.path:
            raise _refused(late, "needs a path, and either its content or a source")
        if any(same_path(late.path, other.path) for other in named[:place]):
            raise _refused(late, "is named twice")


def _source(production: Production, late: LateFile, budget: Budget) -> ReadableFile:
    """The late file, open for reading."""
    if late.content is not None:
        return opened(late.content)
    budget.check("collecting late files")
    try:
        place = production.server.resolve(late.source)
        return production.server.files(place.volume).open(place.path)
    except Exception as error:
        raise _refused(late, f"cannot be read from {late.source}: {told(error)}") from error


def _keep(parts: Parts, late: LateFile, source: ReadableFile, budget: Budget) -> LateFile:
    size, digest = parts.late.put(source, budget)
    said = (late.size_bytes, late.sha256)
    if said[0] not in (None, size) or said[1] not in ("", digest):
        raise _refused(late, f"is not what its writer said: {size} bytes, sha256 {digest}")
    if size != source.size_bytes:
        raise _refused(late, f"ended after {size} of {source.size_bytes} bytes")
    return evolve(late, content=None, size_bytes=size, sha256=digest)


def _check_limit(parts: Parts, sizes: dict[str, int]) -> None:
    total, limit = sum(sizes.values()), parts.policy.late_limit_bytes
    if total > limit:
        worst = max(sizes, key=lambda path: sizes[path])
        raise WriterError(
            f"the late files are {total} bytes, the site allows {limit}; the largest is {worst}",
            hint="Raise late_limit_bytes of the site's policy, or let the writer name less.",
            context={"total_bytes": total, "limit_bytes": limit, "largest": worst},
        )
    if total > _NEARLY * limit:
        text = f"the late files are {total} bytes, close to the {limit} that the site allows"
        parts.sink.emit(Warned(at=parts.clock.now(), text=text))


def _refused(late: LateFile, why: str) -> WriterError:
    return WriterError(
        f"late file {late.path or '(without a path)'} of {late.component.name} {why}",
        hint="The copy cannot be recovered without it, and was given up.",
        context={"late": late.path, "source": late.source},
    )


def without_late(records: Sequence[WriterRecord]) -> tuple[WriterRecord, ...]:
    """The records without their late files."""
    return tuple(evolve(record, late=()) for record in records)


def late_refs(parts: Parts, copy: Copy) -> tuple[tuple[ComponentId, LateRef], ...]:
    """The late files of a copy with their components, to be opened."""
    return tuple((late.component, parts.late.ref(late)) for late in copy.late)


def decayed(parts: Parts, copy: CopyId, path: str) -> Copy:
    """A copy that lost a late file is verified no more; its record as it is now."""

    def change(record: Copy) -> Copy:
        if record.verdict is not Verdict.VERIFIED or record.life is CopyLife.DELETED:
            return record
        failure = f"late file {path} is gone or changed"
        return evolve(record, verdict=Verdict.DECAYED, failure=failure)

    return parts.catalog.update(copy, change)


def sweep(parts: Parts) -> None:
    """Remove the late files that no living copy names; what fails now is left for the next time."""
    if parts.late.is_empty():
        return
    try:
        with parts.late.alone("removing late files"):
            living = {
                late.sha256 for each in parts.catalog.find(CopyFilter()) for late in each.late
            }
            parts.late.sweep(living)
    except Busy:
        return
    except FrskitError as error:
        text = f"late files that no copy needs are still there: {error}"
        parts.sink.emit(Warned(at=parts.clock.now(), text=text))
