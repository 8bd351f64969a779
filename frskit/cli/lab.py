"""`frskit lab init|deliver|damage`: a simulated site in a directory, and its levers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from frskit.cli.app import Session, command, group
from frskit.cli.render import component_facts
from frskit.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from frskit.simulation.lab import Lab
    from frskit.site import Site

__all__ = ["lab"]


@group("lab", "The simulated site: make one, deliver mail, do damage.")
def lab() -> None:
    """Nothing happens before a command."""


def _lab(site: Site) -> Lab:
    from frskit.simulation.lab import Lab

    if not isinstance(site, Lab):
        raise ConfigurationError("this site is not a lab", hint="Only a lab has these levers.")
    return site


@command("init", parent=lab)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--edb",
    "edbs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Adopt an ESE file.",
)
@click.option("--model", default="EVA8000", show_default=True, help="Model of the array.")
@click.option("--seed", type=int, default=0, show_default=True, help="Fixes every id and mail.")
def init(
    session: Session, directory: Path, *, edbs: tuple[Path, ...], model: str, seed: int
) -> None:
    """Make a lab in DIRECTORY: an array, two servers, Exchange with one storage group."""
    from frskit.simulation.lab import create_directory

    with create_directory(directory, seed=seed, model=model, edbs=edbs) as made:
        servers = made.servers
        groups = [each.name for each in made.groups()]
    session.output.document(
        "frskit.lab/1",
        {"directory": str(directory), "servers": list(servers), "storage_groups": groups},
    )
    session.output.line(f"lab in {directory}: {', '.join(servers)} with {', '.join(groups)}")
    session.output.line(f"next: export FRSKIT_SITE={directory}")


@command("deliver", parent=lab)
@click.argument("server")
@click.argument("group_name", metavar="SG")
@click.option("--messages", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--database", help="Only into this store; else one after the other.")
def deliver(
    session: Session, server: str, group_name: str, *, messages: int, database: str | None
) -> None:
    """Deliver mail into a storage group's mailbox stores."""
    with session.site() as site:
        made = _lab(site)
        made.deliver(server, group_name, messages=messages, database=database)
        status = made.status(server, group_name)
    session.output.document("frskit.deliver/1", {"delivered": messages, **component_facts(status)})
    counts = ", ".join(f"{each.name} {each.items}" for each in status.databases)
    session.output.line(f"delivered {messages} messages; now: {counts}")


@command("damage", parent=lab)
@click.argument("server")
@click.argument("group_name", metavar="SG")
@click.option("--database", help="Damage this store (with --page: that page only).")
@click.option("--logs", "logs_too", is_flag=True, help="Damage the newest closed log.")
@click.option("--page", type=click.IntRange(min=1), help="Logical page number to flip a bit in.")
def damage(
    session: Session,
    server: str,
    group_name: str,
    *,
    database: str | None,
    logs_too: bool,
    page: int | None,
) -> None:
    """Damage production's files; without options: the first store, so that it cannot be mounted."""
    if logs_too and (database or page):
        raise UsageError("--logs stands alone")
    with session.site() as site:
        made = _lab(site)
        if logs_too:
            text = made.damage_logs(server, group_name)
        else:
            text = made.damage_database(server, group_name, database=database, page=page)
        status = made.status(server, group_name)
    session.output.document("frskit.damage/1", {"damage": text, **component_facts(status)})
    session.output.line(text)
    for each in status.databases:
        session.output.line(f"{each.name}: {each.state} {each.detail}".rstrip())
