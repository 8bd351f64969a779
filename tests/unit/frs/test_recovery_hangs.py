"""A party that takes a day over one call, in each method of each seam, through a copy's whole life.

In virtual time. Which methods there are is taken from the protocols; which calls of them are made
is counted in a life without trouble: a copy, its recovery, and its deletion. By default, in a
recovery by swap, the last call of each method hangs, and the first one of those that change
something when it has had its effect. With a profile of more examples the first and the last call
of each method in three kinds of recovery, before and after.
"""

from __future__ import annotations

import pytest
from support.examples import examples
from support.watched import methods

import frskit
from frskit import BackupType, RecoveryMethod, RecoveryMode
from frskit.errors import FrskitError
from frskit.protocols import Application, CopyStore, DiskArray, IntegrityChecker, Server
from frskit.watchdog import unguarded

PARTIES = {
    "application": (Application, lambda site: site.exchange.application),
    "checker": (IntegrityChecker, lambda site: site.parties.checker),
    "store": (CopyStore, lambda site: unguarded(site.parts.productions["evs1"].store)),
    "production": (Server, lambda site: site.parties.production),
    "recovery": (Server, lambda site: unguarded(site.parts.recovery.server)),
    "array": (DiskArray, lambda site: site.eva),
}
ALL = examples(1) > 1
LIVES = {
    "swap": (RecoveryMode.POINT_IN_TIME, RecoveryMethod.SWAP),
    "roll": (RecoveryMode.ROLL_FORWARD, RecoveryMethod.SWAP),
    "copy": (RecoveryMode.POINT_IN_TIME, RecoveryMethod.COPY_BACK),
}
LOOKS = {
    *("components", "status", "analyze", "file_actions", "available", "check", "look"),
    *("disks", "volumes", "resolve", "files", "storage", "copies", "presentations"),
}
DAY_S = 86_400.0


class Hang:
    """Counts the calls of a party's methods; one of them takes a day."""

    def __init__(self, site, who, wanted=None, *, after=False):
        seam, find = PARTIES[who]
        self.site, self.calls, self.hung, self._wanted, self._after = site, [], False, wanted, after
        self._party = find(site)
        for name in methods(seam):
            if hasattr(self._party, name):
                object.__setattr__(self._party, name, self._call(name, getattr(self._party, name)))

    def _call(self, name, real):
        def call(*words, **named):
            self.calls.append(name)
            due = (name, self.calls.count(name)) == self._wanted
            if due and not self._after:
                self._sleep()
            answer = real(*words, **named)
            if due and self._after:
                self._sleep()
            return answer

        return call

    def _sleep(self):
        self.hung = True
        self.site.clock.sleep(5 * DAY_S)


def live(site, mode, method):
    """A copy, its recovery, and its deletion; the errors."""
    errors = []

    def step(action):
        try:
            return action()
        except FrskitError as error:
            errors.append(error)

    copy = step(lambda: site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL))
    site.deliver("evs1", "sg1", messages=3)
    if copy is not None:
        plan = step(lambda: site.frs.plan_recovery(copy.id, mode=mode, method=method))
        if plan is not None:
            step(lambda: site.frs.recover(plan))
        step(lambda: site.frs.delete_copy(copy.id))
    return errors


def opened():
    """A small lab with some mail."""
    site = frskit.lab(seed=5)
    site.deliver("evs1", "sg1", messages=3)
    return site


def calls():
    """By life, party and method: how often it is called."""
    found = {}
    for life, words in LIVES.items():
        if life == "roll" and not ALL:
            continue
        with opened() as site:
            hangs = {who: Hang(site, who) for who in PARTIES}
            assert live(site, *words) == []
            for who, hang in hangs.items():
                for name in dict.fromkeys(hang.calls):
                    # By default once, in the first life that has it: a copy that was swapped in is
                    # not deleted any more.
                    if ALL or ("swap", who, name) not in found:
                        found[life, who, name] = hang.calls.count(name)
    return found


CALLS = calls()
NOT_CALLED = {
    # The recovery server is asked for its disks by the shadow copy service, and mounts what it
    # finds; the staging of a set is discarded if the set fails, which the sweep of the service has.
    "recovery": {"hold_writes", "resolve", "set_flags", "volumes"},
    "array": {"discard_staged"},
}
"""Methods that no copy's life has a need of."""


@pytest.mark.parametrize("who", PARTIES)
def test_the_sweep_has_each_method(who):
    """Whoever adds a method to a seam has it swept, or says why not."""
    reached = {name for _, party, name in CALLS if party == who}
    assert set(methods(PARTIES[who][0])) - reached == NOT_CALLED.get(who, set())


def places(name, count):
    """Which calls hang, and whether after their effect."""
    if ALL:
        return [(number, after) for number in sorted({1, count}) for after in (False, True)]
    return [(count, False)] if name in LOOKS else [(count, False), (1, True)]


SWEEP = [
    pytest.param(life, who, name, number, after, id=f"{life}-{who}-{name}-{number}-{after}")
    for (life, who, name), count in CALLS.items()
    for number, after in places(name, count)
]


@pytest.mark.faults
@pytest.mark.rule("FRS-33", "VSS-07")
@pytest.mark.parametrize(("life", "who", "name", "number", "after"), SWEEP)
def test_production_is_up_after_a_hang_in_any_call(life, who, name, number, after):
    """Typed, nobody frozen; after a resume the databases are mounted and the next copy works."""
    with opened() as site:
        hang = Hang(site, who, (name, number), after=after)
        errors = live(site, *LIVES[life])
        assert hang.hung
        assert all(isinstance(each, FrskitError) for each in errors)
        site.frs.resume()
        status = site.status("evs1", "sg1")
        assert {each.state for each in status.databases} == {"mounted"}
        assert site.deliver("evs1", "sg1", messages=1) == 1
        assert site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL).recoverable
