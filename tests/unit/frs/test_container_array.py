"""The whole flow on an array of other habits: visible staging, one flag for all hosts, slow deletes."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from support.container_array import ContainerArray

from frskit import BackupType, Budget, Production, Recovery, RecoveryMethod, RecoveryMode, compose
from frskit.clock import VirtualClock
from frskit.errors import FrskitError, IntegrityError, PresentationFailed
from frskit.exchange import ExchangeChecker, Message, SimulatedExchange
from frskit.hosts import SimulatedServer
from frskit.model.copies import CopyLife
from frskit.spi import FanOut, HostRef, IdFactory, StorageState
from frskit.storage import ArrayCopyStore
from frskit.vss import ArrayProvider, Coordinator

MIB = 1 << 20
POINTS = {"L:\\": 64 * MIB, "M:\\": 32 * MIB}


def exchange_on(server, clock, rng, ids):
    """One storage group with one store, as it is after its first logs were closed."""
    exchange = SimulatedExchange(server, clock=clock, rng=rng, ids=ids, name="evs1")
    exchange.add_storage_group("sg1", base="E00", log_path="L:\\logs", system_path="L:\\logs")
    exchange.add_database("sg1", "mbx1", path="M:\\mdb\\mbx1.edb", kind="mailbox")
    exchange.start()
    exchange.group("sg1").roll()
    return exchange


@pytest.fixture
def place():
    """Two servers on the array, Exchange on one of them, and the requestor."""
    clock, rng, ids = VirtualClock(), random.Random(3), IdFactory(random.Random(4))
    prod, far = HostRef("prod"), HostRef("far")
    array = ContainerArray(clock, [prod, far], capacity_bytes=1 << 30, delete_s=5.0)
    server = SimulatedServer("evs1", prod, [array], clock=clock, ids=ids)
    budget = Budget.of(clock)
    for point, size_bytes in POINTS.items():
        disk = array.add_disk(f"disk-{point[0]}", size_bytes)
        array.present(disk, prod, read_only=False, number=ord(point[0]), budget=budget)
        server.rescan(budget=budget)
        server.initialize(disk, point, budget=budget)
    recovery = SimulatedServer("frs1", far, [array], clock=clock, ids=ids)
    exchange = exchange_on(server, clock, rng, ids)
    services = []
    for each in (server, recovery):
        service = Coordinator(each, clock=clock, ids=ids, sink=FanOut())
        service.register_provider(ArrayProvider(array, each.host, clock=clock))
        services.append(service)
    services[0].register_writer(exchange.writer)
    site = compose(
        productions=[
            Production(
                server=server,
                service=services[0],
                application=exchange.application,
                checker=ExchangeChecker(),
                store=ArrayCopyStore(array),
            )
        ],
        recovery=Recovery(server=recovery, service=services[1], mount_root="C:\\copies"),
        clock=clock,
    )
    with site:
        yield SimpleNamespace(
            array=array, exchange=exchange, frs=site.frs, clock=clock, far=far, server=server
        )
        exchange.stop(clean=True)


def deliver(place, count):
    """Mail comes in."""
    mails = [Message(subject=f"mail {n}", body=b"x" * 200) for n in range(count)]
    place.exchange.deliver("sg1", "mbx1", messages=mails)


def items(place):
    """How many messages the store has."""
    (store,) = place.exchange.application.status("sg1", budget=Budget.of(place.clock)).databases
    return store.items


def copy_of(place):
    """A verified copy."""
    return place.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)


def boxes(place):
    """The array's objects by state."""
    return place.array.storage(budget=Budget.of(place.clock))


@pytest.mark.parametrize("method", [RecoveryMethod.SWAP, RecoveryMethod.COPY_BACK])
@pytest.mark.parametrize(
    ("mode", "left"), [(RecoveryMode.POINT_IN_TIME, 20), (RecoveryMode.ROLL_FORWARD, 30)]
)
def test_copy_check_and_recovery(place, mode, left, method):
    """Nothing in the flow needs what only the simulated EVA has."""
    deliver(place, 20)
    copy = copy_of(place)
    assert copy.recoverable
    assert copy.life is CopyLife.PARKED
    deliver(place, 10)
    plan = place.frs.plan_recovery(copy.id, mode=mode, method=method)
    place.frs.recover(plan)
    assert items(place) == left
    # What it runs on can be copied again.
    assert copy_of(place).recoverable


def test_containers_do_not_outlive_a_copy_that_failed(place, monkeypatch):
    """They cost space and show: nothing of them may be left."""
    before = boxes(place)

    def refuses(self, session, *, budget):
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(type(place.exchange.writer), "freeze", refuses)
        with pytest.raises(FrskitError):
            copy_of(place)
    place.clock.advance(60)
    assert boxes(place) == before
    assert copy_of(place).recoverable


def test_a_deletion_that_takes_a_while_is_ended(place):
    """The members are listed until they are gone, and gone when the deletion returns."""
    deliver(place, 5)
    copy = copy_of(place)
    members = {each.storage for each in copy.members}
    place.frs.delete_copy(copy.id)
    assert not members & {each.id for each in boxes(place)}
    assert all(each.state is StorageState.READY for each in boxes(place))


def test_production_cannot_be_shown_read_only_to_somebody(place):
    """The flag is the storage's: the array refuses, and production goes on writing."""
    disk = boxes(place)[0].id
    with pytest.raises(PresentationFailed, match="otherwise"):
        place.array.present(disk, place.far, read_only=True, budget=Budget.of(place.clock))
    deliver(place, 3)
    assert items(place) == 3


def test_damage_in_a_page_of_a_copy_is_seen_through_this_array_too(place, monkeypatch):
    """The check reads what the array gives it."""
    deliver(place, 20)
    real = ContainerArray.commit_copies

    def page():
        """A page of the database as production has it now."""
        at = place.server.resolve("M:\\mdb\\mbx1.edb")
        with place.server.files(at.volume).open(at.path) as file:
            pages = (file.read_at(offset, 4096) for offset in range(8192, file.size_bytes, 4096))
            return next(each for each in pages if any(each[2048:]))

    def rots(self, staged, *, budget):
        made, good = real(self, staged, budget=budget), page()
        for each in made:
            data = self._inside.boxes[each.id].data
            data[:] = data.replace(good, bytes(each ^ 0x5A for each in good))
        return made

    monkeypatch.setattr(ContainerArray, "commit_copies", rots)
    with pytest.raises(IntegrityError):
        copy_of(place)
