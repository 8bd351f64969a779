"""`frskit journal show`."""

from __future__ import annotations

import click

from frskit.cli.app import Session, command, group
from frskit.cli.render import facts_text
from frskit.cli.sites import short_ids
from frskit.errors import CatalogError

__all__ = ["journal"]


@group("journal", "What was done, step by step.")
def journal() -> None:
    """Nothing happens before a command."""


@command("show", parent=journal)
@click.argument("subject", metavar="[ID]", required=False)
def show(session: Session, subject: str | None) -> int:
    """Show the journal, all of it or one copy's; warn of lines that cannot be read."""
    with session.site() as site:
        entries = [
            line
            for lines in site.parts.journal.entries()
            for line in lines
            if subject is None or str(line.get("subject", "")).startswith(subject.lower())
        ]
        damaged = [
            f"{each.damage} cannot be read"
            for each in site.parts.journal.damaged()
            if subject is None or each.subject.startswith(subject.lower())
        ]
        short = short_ids(site, (str(line.get("subject", "")) for line in entries))
    session.output.document("frskit.journal-show/1", {"lines": entries, "damaged": damaged})
    for text in damaged:
        session.output.warning(text)
    session.output.table(
        "" if entries else "nothing was recorded",
        ("time (UTC)", "kind", "subject", "phase", "step", "facts"),
        [
            (
                str(line.get("at", ""))[:19].replace("T", " "),
                line.get("kind"),
                short[str(line.get("subject", ""))],
                line.get("phase"),
                line.get("step"),
                facts_text(line.get("facts")),
            )
            for line in entries
        ],
    )
    return CatalogError.exit_status if damaged and not entries else 0
