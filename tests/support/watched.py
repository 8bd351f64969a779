"""A party of which each use is counted, and one use does something: raise, or take for ever."""

from __future__ import annotations


def methods(seam):
    """Names of a protocol's methods, so that a new one cannot be forgotten."""
    found = {name: value for each in seam.__mro__ for name, value in vars(each).items()}
    return sorted(name for name, value in found.items() if name[0] != "_" and callable(value))


def names(seam):
    """Names of a protocol's methods and properties."""
    return sorted(each for each in vars(seam) if not each.startswith("_"))


class Watched:
    """Stands before a party, or before what only its protocol is known of.

    Args:
        party: The party.
        at: Which use acts, counted from 0 from when `on` is set; None: no one.
        after: Whether it acts when the effect has happened.
        act: What it does; gets the name of the use.
        properties: Whether reading a property is a use.

    Attributes:
        uses: The uses so far.
        on: Whether they are counted.
    """

    def __init__(self, party, at=None, *, after=False, act=None, properties=True):
        self.__dict__.update(_party=party, _at=at, _after=after, _act=act, _reads=properties)
        self.__dict__.update(uses=[], on=False)

    def use(self, name, *, before):
        """A use begins or has ended."""
        if not self.on:
            return
        if before:
            self.uses.append(name)
            number = len(self.uses) - 1
        else:
            number = self._number(name)
        if number == self._at and self._after is not before:
            self._at = None
            self._act(name)

    def _number(self, name):
        return max(number for number, each in enumerate(self.uses) if each == name)

    def __getattr__(self, name):
        value = getattr(self._party, name)
        if name.startswith("_"):
            return value
        if not callable(value):
            if self._reads:
                self.use(name, before=True)
            return value

        def call(*words, **named):
            self.use(name, before=True)
            answer = value(*words, **named)
            self.use(name, before=False)
            return Block(answer, self) if name == "hold_writes" else answer

        return call

    def __setattr__(self, name, value):
        if name in self.__dict__:
            self.__dict__[name] = value
        else:
            setattr(self._party, name, value)


class Block:
    """A server's hold: entering, leaving, measuring and releasing are uses of the server as well."""

    def __init__(self, block, watch):
        self._block, self._watch = block, watch

    def __enter__(self):
        self._watch.use("hold: enter", before=True)
        self._hold = self._block.__enter__()
        try:
            self._watch.use("hold: enter", before=False)
        except BaseException as error:  # what fails to be entered holds nothing
            self._block.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, *words):
        answer = self._block.__exit__(*words)
        self._watch.use("hold: exit", before=True)
        return answer

    @property
    def held_s(self):
        """Measured."""
        if self._watch._reads:
            self._watch.use("hold: held_s", before=True)
        return self._hold.held_s

    def release(self):
        """Released."""
        self._hold.release()
        self._watch.use("hold: release", before=True)
