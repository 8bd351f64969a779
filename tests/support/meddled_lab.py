"""A lab whose parties can be struck at every call, as the requestor kit wants to see one."""

from __future__ import annotations

from contextlib import contextmanager, suppress

import frskit
from frskit import CopyLife
from frskit.model.copies import CopyFilter
from frskit.protocols import Application, DiskArray, IntegrityChecker, Server, Writer
from support.labs import closed_logs


class MeddledLab:
    """The lab as a world of the kit with every lever; `wrap` may put a broken requestor before it.

    Args:
        wrap: Makes the requestor of the site.
        furnish: Changes the lab before it is used.
    """

    def __init__(self, wrap=lambda site: site.frs, furnish=lambda site: None):
        self.site = site = frskit.lab(seed=11)
        self.server, self.component = "evs1", "sg1"
        self._act, self._undo, self._within = None, [], []
        furnish(site)
        parties = site.parties
        self._watch("array", parties.eva, DiskArray)
        self._watch("writer", parties.exchange.writer, Writer)
        self._watch("application", parties.exchange.application, Application)
        self._watch("checker", parties.checker, IntegrityChecker)
        for server in (parties.production, parties.recovery):
            self._watch(server.name, server, Server)
        self.work()
        self.requestor = wrap(site)

    def _watch(self, party, real, protocol):
        for name, value in vars(protocol).items():
            if callable(value) and not name.startswith("_"):
                self._wrap(f"{party}.{name}", real, name)

    def _wrap(self, step, real, name):
        method = getattr(real, name)
        slots = not hasattr(real, "__dict__")
        home = type(real) if slots else real

        def call(*args, **words):
            args = args[1:] if slots else args
            # What a party's own call does inside of itself is no call of the requestor's.
            if self._act is None or self._within:
                return method(*args, **words)
            act = self._act
            self._strike(act, step, False)
            result = method(*args, **words)
            self._strike(act, step, True)
            return result

        if slots:
            self._undo.append((home, name, vars(home)[name]))
        setattr(home, name, call)

    def _strike(self, act, step, done):
        self._within.append(step)
        try:
            act(step, done)
        finally:
            self._within.pop()

    def work(self):
        """Mail, and one more closed generation."""
        self.site.deliver("evs1", "sg1", messages=10)
        self.site.exchange.group("sg1").roll()

    def logs(self):
        """Closed logs, byte by byte."""
        return closed_logs(self.site)

    @contextmanager
    def damaged(self):
        """Flip a bit in a page of the running store's file; flip it back at the end."""
        self.site.damage_database("evs1", "sg1", database="mailbox-sg1", page=3)
        yield
        self.site.damage_database("evs1", "sg1", database="mailbox-sg1", page=3)

    def meddle(self, act):
        """At every call of a party."""
        self._act = act

    def wait(self, seconds):
        """By the lab's clock, from inside a call."""
        self.site.parties.clock.sleep(seconds)

    def unrest(self):
        """What must not be while nothing is under way."""
        act, self._act = self._act, None
        try:
            return [*self._held(), *self._left()]
        finally:
            self._act = act

    def _held(self):
        try:
            self.site.deliver("evs1", "sg1", messages=1)
        except frskit.FrskitError as error:
            yield f"production cannot write: {error!r}"
        for each in self.site.exchange.groups:
            if each.busy:
                yield f"a backup of {each.name} is in progress"

    def _left(self):
        records = self.site.parts.catalog.find(CopyFilter())
        living = {CopyLife.DELETED, CopyLife.FAILED}
        kept = {m.storage for each in records if each.life not in living for m in each.members}
        told = " ".join(text for each in records for text in each.leftovers)
        for each in self.site.eva.copies():
            if each.id not in kept and (each.name or each.id) not in told and each.id not in told:
                yield f"{each.name or each.id} is named by no record"
        for each in self.site.eva._state.tables.sets.rows.values():
            if each.staged and each.key not in told:
                yield f"set {each.key} is staged"

    def close(self):
        """Stop the lab."""
        self._act = None
        for home, name, value in self._undo:
            setattr(home, name, value)
        with suppress(frskit.FrskitError):
            self.site.close()
