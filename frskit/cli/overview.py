"""`frskit tree` and `frskit show SERVER`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from frskit.cli.app import Session, command
from frskit.cli.output import Branch
from frskit.cli.render import copy_facts, group_facts
from frskit.cli.sites import short_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from frskit.model.copies import Copy
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
        short = short_ids(site)
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
    for name, groups, found in servers:
        session.output.tree(Branch(name, [_branch(each, found, short) for each in groups]))


def _branch(group: GroupStatus, copies: Sequence[Copy], short: Mapping[str, str]) -> Branch:
    """A storage group with its databases and its copies."""
    databases = [
        f"{each.name}: {each.state}, {'?' if each.items is None else each.items} messages"
        for each in group.databases
    ]
    made = [
        f"copy {short[copy.id]} {copy.created_at:%Y-%m-%d %H:%M} "
        f"{copy.kind.value}, {copy.verdict.value}, {copy.life.value}"
        for copy in copies
        if group.name.casefold() in {each.casefold() for each in copy.components}
    ]
    return Branch(group.name, [Branch(text) for text in (*databases, *made)])


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
