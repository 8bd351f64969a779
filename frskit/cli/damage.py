"""What listings say about records that cannot be read, and about copies without a record.

A listing that could show something ends with status 0 and warns; one that could show nothing else
ends with the status of a damaged catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from frskit.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.cli.output import Output
    from frskit.model.copies import DamagedRecord, UnrecordedCopy
    from frskit.site import Site

__all__ = ["Damage", "look_for_damage"]


@frozen
class Damage:
    """What is wrong with a site's catalog.

    Attributes:
        records: Records that cannot be read.
        unrecorded: Copies on the array without a record.
    """

    records: Sequence[DamagedRecord] = ()
    unrecorded: Sequence[UnrecordedCopy] = ()

    @property
    def facts(self) -> dict[str, object]:
        """For the document of a listing."""
        return {
            "damaged": [
                {"id": each.id, "problem": each.problem, "hint": each.hint} for each in self.records
            ],
            "unrecorded": [
                {"id": each.id, "server": each.server, "storages": list(each.storages)}
                for each in self.unrecorded
            ],
        }

    @property
    def lines(self) -> list[str]:
        """One line for each, with the way out."""
        return [
            *(f"damaged: {each.problem}. {each.hint}" for each in self.records),
            *(each.problem for each in self.unrecorded),
        ]

    def warn(self, output: Output) -> None:
        """Print them as warnings."""
        for line in self.lines:
            output.warning(line)

    def status(self, *, shown: bool) -> int:
        """Exit status of a listing; whether it could show anything else."""
        return 0 if shown or not self.lines else CatalogError.exit_status


def look_for_damage(
    site: Site,
    *,
    server: str | None = None,
    component: str | None = None,
    ask_array: bool = False,
) -> Damage:
    """Look into the catalog, and at the array if asked to, or if the catalog has no record at all."""
    lost = ask_array or not site.parts.catalog.ids(include_deleted=True)
    return Damage(
        site.frs.damaged_records(server=server, component=component),
        site.frs.unrecorded_copies() if lost else (),
    )
