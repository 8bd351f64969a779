"""`frskit tree` and `frskit show SERVER`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from frskit.cli.app import Session, command
from frskit.cli.damage import look_for_damage
from frskit.cli.output import Branch
from frskit.cli.render import (
    component_facts,
    copy_facts,
    items_text,
    stretch_text,
    verdict_text,
)
from frskit.cli.sites import short_ids
from frskit.clock import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from frskit.model.copies import Copy
    from frskit.model.plans import ComponentStatus
    from frskit.site import Site

__all__ = ["show", "tree"]


def _components(site: Site, server: str) -> list[ComponentStatus]:
    application = site.parts.production(server).application
    budget = Budget.of(site.clock)
    return [
        application.status(component.name, budget=budget)
        for component in application.components(budget=budget)
    ]


@command("tree")
def tree(session: Session) -> None:
    """Show servers, components and copies; warn of what the catalog has lost."""
    with session.site() as site:
        servers = [
            (name, _components(site, name), site.frs.copies(server=name)) for name in site.servers
        ]
        damage = look_for_damage(site, ask_array=True)
        short = short_ids(site)
    session.output.document(
        "frskit.tree/1",
        {
            "servers": [
                {
                    "name": name,
                    "storage_groups": [component_facts(each) for each in components],
                    "copies": [copy_facts(copy) for copy in found],
                }
                for name, components, found in servers
            ],
            **damage.facts,
        },
    )
    damage.warn(session.output)
    for name, components, found in servers:
        session.output.tree(Branch(name, [_branch(each, found, short) for each in components]))


def _branch(component: ComponentStatus, copies: Sequence[Copy], short: Mapping[str, str]) -> Branch:
    """A component with its databases and its copies."""
    databases = [
        f"{each.name}: {each.state}, {items_text(each.items, component.unit)}"
        for each in component.databases
    ]
    made = [
        f"copy {short[copy.id]} {copy.created_at:%Y-%m-%d %H:%M} "
        f"{copy.kind.value}, {verdict_text(copy)}, {copy.life.value}"
        for copy in copies
        if component.name.casefold() in {each.casefold() for each in copy.components}
    ]
    return Branch(component.name, [Branch(text) for text in (*databases, *made)])


@command("show")
@click.argument("server")
def show(session: Session, server: str) -> None:
    """Show a server's components and databases as they are now."""
    with session.site() as site:
        name = site.parts.production(server).server.name
        components = _components(site, server)
    session.output.document(
        "frskit.show/1",
        {"server": name, "storage_groups": [component_facts(each) for each in components]},
    )
    session.output.table(
        name,
        ("component", "database", "state", "items", "logs", "checkpoint"),
        [
            (
                component.name,
                database.name,
                database.state,
                items_text(database.items, component.unit),
                stretch_text(component.lowest_log, component.current_log) or "none",
                component.checkpoint,
            )
            for component in components
            for database in component.databases
        ],
    )
    for database in (
        each for component in components for each in component.databases if each.detail
    ):
        session.output.line(f"{database.name}: {database.detail}")
