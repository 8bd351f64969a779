"""The parties of a lab, built or started again: array, servers, services, Exchange."""

from __future__ import annotations

import random
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from attrs import evolve, frozen

from frskit.clock import Budget, Clock
from frskit.errors import UsageError
from frskit.eva import PROFILES, ModelProfile, SimulatedEva
from frskit.events import FanOut
from frskit.exchange import ExchangeChecker, SimulatedExchange
from frskit.hosts import SimulatedServer
from frskit.model.ids import IdFactory, StorageId
from frskit.model.volumes import DiskFlags
from frskit.simulation.layout import GroupLayout
from frskit.storage import ArrayCopyStore
from frskit.vss import ArrayProvider, Coordinator

__all__ = ["DISK_GROUP", "PRODUCTION", "RECOVERY", "Parties", "model_profile"]

PRODUCTION = "evs1"
RECOVERY = "frs1"
DISK_GROUP = "Default Disk Group"
# Room for a good many copies of everything (ours).
DISK_GROUP_BYTES = 512 << 30
COMMIT_S = 0.25  # how long the lab's array takes for a commit, on the lab's clock
_PORTS = {PRODUCTION: "1000-0000-C9F0-0001", RECOVERY: "1000-0000-C9F0-0002"}


def model_profile(name: str) -> ModelProfile:
    """The profile of an array model.

    Raises:
        UsageError: No such model.
    """
    for known, profile in PROFILES.items():
        if known.casefold() == name.casefold():
            return evolve(profile, commit_s=COMMIT_S)
    raise UsageError(f"no such model: {name!r}", hint=f"One of {', '.join(PROFILES)}.")


@frozen(kw_only=True)
class Parties:
    """Everything that a lab is made of.

    Attributes:
        clock, rng, ids: Time and chance.
        sink: Where events of all parties go.
        eva: The array.
        production, recovery: The servers.
        services: Their shadow copy services, in this order.
        exchange: Exchange on the production server.
        store: Copies kept on the array.
        checker: The recovery server's checker.
    """

    clock: Clock
    rng: random.Random
    ids: IdFactory
    sink: FanOut
    eva: SimulatedEva
    production: SimulatedServer
    recovery: SimulatedServer
    services: tuple[Coordinator, Coordinator]
    exchange: SimulatedExchange
    store: ArrayCopyStore
    checker: ExchangeChecker

    @classmethod
    def boot(
        cls,
        *,
        clock: Clock,
        rng: random.Random,
        model: str,
        directory: Path | None = None,
        memories: Mapping[str, MutableMapping[str, bytes]] | None = None,
        mounts: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> Parties:
        """Start everything: the array, then the servers, then what runs on them.

        All but Exchange, which the caller starts once it knows what must stay offline.

        Args:
            clock: Time.
            rng: Chance.
            model: Name of the array model.
            directory: Where the array lives; None = in memory.
            memories: What the services of the servers remember, by server.
            mounts: Mount points of production, by volume id: what Windows calls mount manager.
            settings: Exchange's settings; None for a new server.
        """
        eva = SimulatedEva(
            "EVA1", profile=model_profile(model), clock=clock, rng=rng, directory=directory
        )
        try:
            return cls._start(eva, clock, rng, memories, mounts or {}, settings)
        except BaseException:
            eva.close()
            raise

    @classmethod
    def _start(
        cls,
        eva: SimulatedEva,
        clock: Clock,
        rng: random.Random,
        memories: Mapping[str, MutableMapping[str, bytes]] | None,
        mounts: Mapping[str, str],
        settings: Mapping[str, object] | None,
    ) -> Parties:
        """Servers, Exchange and services, on an array that is open."""
        ids, sink = IdFactory(rng), FanOut()
        if not eva.disk_groups():
            eva.create_disk_group(DISK_GROUP, size_bytes=DISK_GROUP_BYTES)
        production, recovery = (
            SimulatedServer(
                name, eva.add_host(name, ports=[_PORTS[name]]), [eva], clock=clock, ids=ids
            )
            for name in (PRODUCTION, RECOVERY)
        )
        _mount(production, mounts, clock)
        exchange = _exchange(production, clock, rng, ids, settings)
        services = tuple(
            _service(eva, server, clock, ids, sink, memories) for server in (production, recovery)
        )
        services[0].register_writer(exchange.writer)
        # Only now that all writers and providers are registered, as `recover` wants it.
        for service in services:
            service.recover(budget=Budget.of(clock))
        return cls(
            clock=clock,
            rng=rng,
            ids=ids,
            sink=sink,
            eva=eva,
            production=production,
            recovery=recovery,
            services=(services[0], services[1]),
            exchange=exchange,
            store=ArrayCopyStore(eva),
            checker=ExchangeChecker(),
        )

    def provision(self, layout: GroupLayout) -> None:
        """Make the LUNs of a storage group, present them and put empty volumes on them."""
        budget = Budget.of(self.clock)
        for volume in layout.volumes:
            storage = self.eva.create_storage(volume.disk, volume.size_bytes, disk_group=DISK_GROUP)
            self.eva.present(storage, self.production.host, read_only=False, budget=budget)
            self.production.rescan(budget=budget)
            self.production.initialize(storage, volume.mount_point, budget=budget)

    def mounts(self) -> dict[str, str]:
        """Mount points of production, by volume id."""
        return {str(each.id): each.mount_points[0] for each in self.production.volumes()}

    def production_luns(self) -> frozenset[StorageId]:
        """The LUNs that production has mounted."""
        return frozenset(one for each in self.production.volumes() for one in each.storages)

    def shut_down(self) -> None:
        """Stop Exchange, flush and dismount the volumes, release the array."""
        budget = Budget.of(self.clock)
        try:
            self.exchange.stop(clean=True)
            self.production.detach(sorted(self.production_luns()), budget=budget)
        finally:
            self.eva.close()


def _exchange(
    server: SimulatedServer,
    clock: Clock,
    rng: random.Random,
    ids: IdFactory,
    settings: Mapping[str, object] | None,
) -> SimulatedExchange:
    """A new Exchange server, or the one that these settings describe."""
    if settings is None:
        return SimulatedExchange(server, clock=clock, rng=rng, ids=ids, name=PRODUCTION)
    return SimulatedExchange.from_settings(
        settings, server, clock=clock, rng=rng, ids=ids, name=PRODUCTION
    )


def _service(
    eva: SimulatedEva,
    server: SimulatedServer,
    clock: Clock,
    ids: IdFactory,
    sink: FanOut,
    memories: Mapping[str, MutableMapping[str, bytes]] | None,
) -> Coordinator:
    """The shadow copy service of one server, with the array's provider registered."""
    memory = None if memories is None else memories[server.name]
    service = Coordinator(server, clock=clock, ids=ids, sink=sink, memory=memory)
    service.register_provider(ArrayProvider(eva, server.host, clock=clock))
    return service


def _mount(server: SimulatedServer, mounts: Mapping[str, str], clock: Clock) -> None:
    """Mount production's volumes where they belong, as a server does when it boots.

    Flags that a copy left on the originals when the process was killed are cleared first.
    """
    budget = Budget.of(clock)
    for disk in server.disks():
        volume = server.volume_on(disk.storage)
        point = None if volume is None else mounts.get(volume)
        if point is not None:
            server.set_flags([disk.storage], DiskFlags())
            server.attach({disk.storage: point}, read_only=False, budget=budget)
