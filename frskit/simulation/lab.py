"""The lab: a site whose array, servers and Exchange are simulated, and the levers to play with it.

`lab()` makes one in memory; `lab("DIR")` opens or makes a durable one, which survives the process
being killed at any time. Closing a durable lab stops its servers; opening it boots them, and a
store that was not stopped recovers from its files as after a power failure.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.clock import Budget, VirtualClock
from frskit.errors import ConfigurationError, FileMissing, UsageError
from frskit.ese import read_database_header
from frskit.exchange import EXCHANGE_2003
from frskit.frs import (
    Journal,
    Policy,
    Production,
    Recovery,
    RequestorOperation,
    SqliteCatalog,
)
from frskit.simulation.keeping import (
    LabClock,
    LabRecord,
    ServiceMemory,
    check_memory,
    load_record,
    save_record,
    toml_text,
)
from frskit.simulation.layout import (
    FOREIGN_GROUP,
    GROUP_LAYOUTS,
    GroupLayout,
    foreign_layout,
    group_layout,
)
from frskit.simulation.levers import Levers
from frskit.simulation.parties import PRODUCTION, RECOVERY, Parties, model_profile
from frskit.site import SITE_FILE, Site, compose, read_settings
from frskit.storage import file_lock, make_directory, replace_file

if TYPE_CHECKING:
    from frskit.eva import SimulatedEva
    from frskit.exchange import SimulatedExchange
    from frskit.model.plans import ComponentInfo, ComponentStatus

__all__ = ["Lab", "create_directory", "lab", "open_directory"]

MOUNT_ROOT = "C:\\frskit\\copies"


class Lab(Site):
    """A simulated site; everything of `Site`, and levers.

    Attributes:
        parties: The array, the servers, the services and Exchange.
        directory: Where it is kept; None = in memory.
    """

    def __init__(self, parties: Parties, site: Site, directory: Path | None) -> None:
        super().__init__(site.parts, on_close=site.close)
        self.parties = parties
        self.directory = directory
        self._levers = Levers(parties)

    @property
    def eva(self) -> SimulatedEva:
        """The array."""
        return self.parties.eva

    @property
    def exchange(self) -> SimulatedExchange:
        """Exchange on the production server."""
        return self.parties.exchange

    def groups(self) -> Sequence[ComponentInfo]:
        """The storage groups."""
        return self.exchange.application.components()

    def status(self, server: str, group: str) -> ComponentStatus:
        """State of a storage group, with the number of messages in each store.

        Raises:
            ServerNotFound, StorageGroupNotRecognized: Unknown names.
        """
        budget = Budget.of(self.clock)
        return self.parts.production(server).application.status(group, budget=budget)

    def advance(self, seconds: float) -> None:
        """Let time pass; quiet stores write their pages and advance their checkpoints."""
        self.clock.sleep(seconds)
        for group in self.exchange.groups:
            group.idle()

    def deliver(
        self, server: str, group: str, *, messages: int = 100, database: str | None = None
    ) -> int:
        """Deliver messages, into one store or one after the other; returns how many.

        Each one is committed: its log records are durable when this returns.

        Raises:
            StoreError: No mailbox store of the group is mounted.
        """
        self.parts.production(server)
        return self._levers.deliver(group, messages, database)

    def damage_database(
        self, server: str, group: str, *, database: str | None = None, page: int | None = None
    ) -> str:
        """Damage a store's file under the running server; returns what was done.

        Without `page` headers and first pages are overwritten, so that the store cannot be
        mounted any more. With it one bit of that page is flipped.
        """
        self.parts.production(server)
        return self._levers.damage_database(group, database, page)

    def damage_logs(self, server: str, group: str) -> str:
        """Flip one bit in the newest closed log of a group; returns what was done."""
        self.parts.production(server)
        return self._levers.damage_log(group)


def lab(
    path: str | PathLike[str] | None = None,
    seed: int | None = None,
    *,
    groups: int | None = None,
    layout: str | None = None,
    model: str | None = None,
    policy: Policy | None = None,
    edbs: Iterable[str | PathLike[str]] = (),
) -> Lab:
    """A simulated site: in memory, or in a directory that is opened or made.

    Args:
        path: Directory of a durable lab; None = in memory.
        seed: Fixes every id, name and message; 0 unless given.
        groups: Storage groups of the production server, 1 (unless given) to 4.
        layout: ``separate`` (logs and databases apart, unless given) or ``shared`` (all on one
            LUN).
        model: Array model; an EVA8000 unless given.
        policy: Choices of the requestor.
        edbs: ESE databases to adopt as page-only stores of a group ``foreign`` [R-22].

    Raises:
        UsageError: A wrong argument, or one that the lab in the directory contradicts.
        Busy: Another process has the directory open.
        ConfigurationError: The directory is something else.
    """
    if path is not None and (Path(path) / SITE_FILE).exists():
        made = open_directory(Path(path), _settings(Path(path)), policy=policy)
        try:
            _refuse_conflicts(made, seed=seed, model=model, layout=layout, groups=groups)
            # It need not have a length, so it is asked for a first one.
            if any(True for _ in edbs):
                raise UsageError(
                    f"there is a lab in {path} already; it adopts no more databases",
                    hint="Choose a new directory for the lab.",
                )
        except UsageError:
            made.close()
            raise
        return made
    seed, groups = seed or 0, 1 if groups is None else groups
    layout, model = layout or "separate", model or "EVA8000"
    if path is not None:
        return create_directory(
            Path(path),
            seed=seed,
            model=model,
            groups=groups,
            layout=layout,
            edbs=edbs,
            policy=policy,
        )
    adopted = _databases(edbs)
    parties = Parties.boot(clock=VirtualClock(), rng=random.Random(seed), model=model)
    _furnish(parties, groups, layout, adopted)
    return _compose(parties, None, policy, parties.shut_down)


def _refuse_conflicts(made: Lab, **asked: object) -> None:
    """What the caller asked for must be what the lab in the directory is.

    Raises:
        UsageError: It is another one; the message says in what.
    """
    assert made.directory is not None
    own = [group for group in made.groups() if group.name != FOREIGN_GROUP]
    found = {**_settings(made.directory), "groups": len(own)}
    wrong = [
        f"{name} is {found.get(name)!r}, not {value!r}"
        for name, value in asked.items()
        if value is not None and str(value).casefold() != str(found.get(name)).casefold()
    ]
    if wrong:
        raise UsageError(
            f"there is another lab in {made.directory}: {'; '.join(wrong)}",
            hint="Leave these arguments out to open it, or choose a new directory.",
        )


def create_directory(
    directory: Path,
    *,
    seed: int = 0,
    model: str = "EVA8000",
    groups: int = 1,
    layout: str = "separate",
    edbs: Iterable[str | PathLike[str]] = (),
    policy: Policy | None = None,
) -> Lab:
    """Make a durable lab in an empty or new directory.

    Raises:
        ConfigurationError: The directory holds something already.
        FileMissing, FormatError: A database to adopt is not there or is no ESE file.
    """
    model_profile(model)
    group_layout(groups, PRODUCTION, layout)
    adopted = _databases(edbs)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigurationError(
            f"{directory} is not an empty directory", hint="Choose a new directory for the lab."
        )
    make_directory(directory)
    settings: dict[str, str | int] = {"kind": "lab", "seed": seed, "model": model, "layout": layout}
    save_record(directory / "lab.json", LabRecord())
    made = _open(
        directory,
        settings,
        policy,
        lambda parties: _furnish(parties, groups, layout, adopted),
    )
    # Last: a directory without it is no lab yet.
    replace_file(directory / SITE_FILE, toml_text(settings).encode("utf-8"))
    return made


def open_directory(
    directory: Path, settings: Mapping[str, object], *, policy: Policy | None = None
) -> Lab:
    """Open a durable lab: boot its servers.

    Raises:
        Busy: Another process has it open.
        ConfigurationError, ArrayDamaged, CatalogError: Its files are damaged.
    """
    return _open(directory, settings, policy, None)


def _open(
    directory: Path,
    settings: Mapping[str, object],
    policy: Policy | None,
    furnish: Callable[[Parties], None] | None,
) -> Lab:
    with ExitStack() as stack:
        stack.enter_context(file_lock(directory / "lab.lock", f"opening the lab {directory}"))
        kept = load_record(directory / "lab.json")
        if kept.boots and furnish is None:
            check_memory(directory / "services.sqlite")
        memories = {
            name: stack.enter_context(closing(ServiceMemory(directory / "services.sqlite", name)))
            for name in (PRODUCTION, RECOVERY)
        }
        save_record(directory / "lab.json", evolve(kept, boots=kept.boots + 1))
        # Counted before anything is drawn: no boot repeats the ids of another.
        parties = Parties.boot(
            clock=LabClock(directory / "time", least_s=_shown(kept)),
            rng=random.Random(f"{settings.get('seed', 0)}:{kept.boots}"),
            model=str(settings.get("model", "EVA8000")),
            directory=directory / "eva",
            memories=memories,
            mounts=kept.mounts,
            settings=kept.exchange,
        )
        stack.callback(parties.eva.close)
        if furnish is None:
            parties.exchange.start(leave_offline=_being_recovered(directory, parties))
        else:
            furnish(parties)
        _save(directory, parties)
        keep = stack.pop_all()

    def close() -> None:
        # Whatever fails, the array is closed and the lock let go.
        with keep:
            _save(directory, parties)
            parties.shut_down()

    try:
        return _compose(parties, directory, policy, close)
    except BaseException:
        close()
        raise


def _compose(
    parties: Parties, directory: Path | None, policy: Policy | None, close: Callable[[], None]
) -> Lab:
    site = compose(
        productions=[
            Production(
                server=parties.production,
                service=parties.services[0],
                application=parties.exchange.application,
                checker=parties.checker,
                store=parties.store,
            )
        ],
        recovery=Recovery(
            server=parties.recovery, service=parties.services[1], mount_root=MOUNT_ROOT
        ),
        clock=parties.clock,
        rng=parties.rng,
        state=None if directory is None else directory / "state",
        policy=policy,
        sink=parties.sink,
        on_close=close,
    )
    return Lab(parties, site, directory)


def _furnish(parties: Parties, groups: int, layout: str, edbs: Sequence[Path]) -> None:
    """Volumes, storage groups and stores of a new lab; then start Exchange.

    The logs in which the stores were created are left behind, as on any server that has run for a
    while: otherwise replay would make a lost store anew from its first record.
    """
    if layout not in GROUP_LAYOUTS:
        raise UsageError(f"no such layout: {layout!r}", hint=f"One of {', '.join(GROUP_LAYOUTS)}.")
    for number in range(1, groups + 1):
        _add_group(parties, group_layout(number, PRODUCTION, layout))
    if edbs:
        _adopt(parties, edbs)
    parties.exchange.start()
    for group in parties.exchange.groups:
        group.roll()


def _add_group(parties: Parties, layout: GroupLayout) -> None:
    parties.provision(layout)
    exchange = parties.exchange
    exchange.add_storage_group(
        layout.name, base=layout.base, log_path=layout.log_path, system_path=layout.log_path
    )
    name = layout.name
    exchange.add_database(
        name, f"mailbox-{name}", path=f"{layout.mailbox_path}\\mbx-{name}.edb", kind="mailbox"
    )
    exchange.add_database(
        name, f"public-{name}", path=f"{layout.public_path}\\pub-{name}.edb", kind="public"
    )


def _databases(edbs: Iterable[str | PathLike[str]]) -> list[Path]:
    """The databases to adopt, looked at before anything is made."""
    paths = [Path(each) for each in edbs]
    if len(paths) > EXCHANGE_2003.max_databases:
        raise UsageError(
            f"a storage group holds {EXCHANGE_2003.max_databases} databases, not {len(paths)}",
            hint="Adopt fewer files at once.",
        )
    for path in paths:
        if not path.is_file():
            raise FileMissing(f"there is no file {path}", context={"path": str(path)})
        read_database_header(path)
    return paths


def _adopt(parties: Parties, edbs: Sequence[Path]) -> None:
    layout = foreign_layout(PRODUCTION, sum(path.stat().st_size for path in edbs))
    parties.provision(layout)
    parties.exchange.add_storage_group(
        layout.name, base=layout.base, log_path=layout.log_path, system_path=layout.log_path
    )
    for number, path in enumerate(edbs, 1):
        parties.exchange.add_database(
            layout.name,
            f"foreign-{number}",
            path=f"{layout.mailbox_path}\\{number}-{path.name}",
            adopt=path,
        )


def _being_recovered(directory: Path, parties: Parties) -> list[str]:
    """Storage groups whose recovery was interrupted: an administrator would not mount them.

    Every group, if the journal does not tell which one it was.
    """
    journal = Journal(directory / "state" / "journal", parties.clock)
    open_ones = [each for each in journal.unfinished() if each.kind == RequestorOperation.RECOVERY]
    found = [each.component for each in open_ones]
    known = {each.subject for each in open_ones}
    # The journal does not tell which group, or a record speaks of a recovery of which the journal
    # has lost all: then none of them is mounted.
    if None in found or not known.issuperset(_on_record(directory)):
        return [group.name for group in parties.exchange.groups]
    return [name for name in found if name is not None]


def _on_record(directory: Path) -> Sequence[str]:
    """Copies whose records say that a recovery from them is under way."""
    file = directory / "state" / "catalog.sqlite"
    if not file.exists():
        return ()
    with closing(SqliteCatalog(file)) as catalog:
        return catalog.recovering()


def _shown(kept: LabRecord) -> float | None:
    """What the lab's clock has shown before; None if the lab is being made."""
    if not kept.boots:
        return None
    return kept.elapsed_s or 0.0


def _save(directory: Path, parties: Parties) -> None:
    kept = load_record(directory / "lab.json")
    save_record(
        directory / "lab.json",
        evolve(
            kept,
            mounts={**kept.mounts, **parties.mounts()},
            exchange=parties.exchange.to_settings(),
            elapsed_s=parties.clock.monotonic(),
        ),
    )


def _settings(directory: Path) -> Mapping[str, object]:
    return read_settings(directory / SITE_FILE)
