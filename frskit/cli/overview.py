"""`frskit tree` and `frskit show SERVER`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.tree import Tree

from frskit.cli.app import Session, command
from frskit.cli.render import copy_facts, group_facts

if TYPE_CHECKING:
    from frskit.model.plans import GroupStatus
    from frskit.site import Site

__all__ = ["show", "tree"]


def _groups(site: Site, server: str) -> list[GroupStatus]:
    application = site.parts.production(server).application
    return [application.status(group.name) for group in application.groups()]


@command("tree")
def tree(session: Session) -> None:
    """Show servers, storage groups and copies."""
    with session.site() as site:
        servers = [
            (name, _groups(site, name), site.frs.copies(server=name)) for name in site.servers
        ]
    session.output.document(
        "frskit.tree/1",
        {
            "servers": [
                {
                    "name": name,
                    "storage_groups": [group_facts(each) for each in groups],
                    "copies": [copy_facts(copy) for copy in found],
                }
                for name, groups, found in servers
            ]
        },
    )
    if session.output.as_json:
        return
    for name, groups, found in servers:
        root = Tree(name)
        for group in groups:
            branch = root.add(group.name)
            for database in group.databases:
                items = "?" if database.items is None else database.items
                branch.add(f"{database.name}: {database.state}, {items} messages")
            for copy in found:
                if group.name.casefold() in {each.casefold() for each in copy.components}:
                    branch.add(
                        f"copy {copy.id[:8]} {copy.created_at:%Y-%m-%d %H:%M} "
                        f"{copy.kind.value}, {copy.verdict.value}, {copy.life.value}"
                    )
        session.output.console.print(root)


@command("show")
@click.argument("server")
def show(session: Session, server: str) -> None:
    """Show a server's storage groups and databases as they are now."""
    with session.site() as site:
        name = site.parts.production(server).server.name
        groups = _groups(site, server)
    session.output.document(
        "frskit.show/1",
        {"server": name, "storage_groups": [group_facts(each) for each in groups]},
    )
    session.output.table(
        name,
        ("group", "database", "state", "messages", "logs", "checkpoint"),
        [
            (
                group.name,
                database.name,
                database.state,
                database.items,
                f"{group.lowest_log}-{group.current_log}",
                group.checkpoint,
            )
            for group in groups
            for database in group.databases
        ],
    )
    for database in (each for group in groups for each in group.databases if each.detail):
        session.output.line(f"{database.name}: {database.detail}")
