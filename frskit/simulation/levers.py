"""The levers of a lab: deliver mail, and do damage as disks do it, beneath the running server."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from frskit.codes.ese import EseError
from frskit.errors import StoreError, UsageError
from frskit.ese import parse_log_name, read_database_header
from frskit.model.files import FileRole
from frskit.model.volumes import VolumePath
from frskit.simulation.mail import messages
from frskit.simulation.parties import Parties

__all__ = ["Levers"]

# Pages and log headers of the lab's store both have this size [lab-store.md 1].
PAGE_BYTES = 4096
# Both headers and the roots behind them: enough that nothing can be mounted (ours).
_OVERWRITTEN_PAGES = 12


class Levers:
    """Works on the parties of one lab."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties

    def deliver(self, group: str, count: int, database: str | None) -> int:
        """Deliver `count` messages into one store, or round the mounted mailbox stores."""
        exchange = self._parties.exchange
        stores = [database] if database else list(self._mailbox_stores(group))
        if not stores:
            raise StoreError(
                f"no mailbox store of {group} is mounted", native=EseError.INVALID_DATABASE_ID
            )
        for number, store in enumerate(stores):
            share = count // len(stores) + (number < count % len(stores))
            exchange.deliver(group, store, messages=list(messages(self._parties.rng, share)))
        return count

    def damage_database(self, group: str, database: str | None, page: int | None) -> str:
        """Overwrite the start of a store's file, or flip one bit of one page."""
        names = self._databases(group)
        name = database or next(iter(names))
        if name not in names:
            raise UsageError(f"{group} has no store {name!r}", hint=f"One of {', '.join(names)}.")
        place = self._parties.production.resolve(names[name])
        if page is not None:
            with self._parties.production.files(place.volume).open(place.path) as file:
                page_size = read_database_header(file).page_size
            # Page P lies at (P+1) x page size [ese.md 2]; 100 bytes into it are behind its header.
            self._flip(place, (page + 1) * page_size + 100)
            return f"flipped one bit in page {page} of {names[name]}"
        owner = self._parties.exchange.group(group)
        mounted = owner.mounted
        # A running engine would write its own pages over the damage.
        owner.close(clean=False)
        noise = self._parties.rng.randbytes(_OVERWRITTEN_PAGES * PAGE_BYTES)
        files = self._parties.production.files(place.volume)
        with files.edit(place.path) as file:
            file.write_at(0, noise)
            file.sync()
        owner.mount_all(mounted)
        return f"overwrote the headers and first pages of {names[name]}"

    def damage_log(self, group: str) -> str:
        """Flip one bit in the newest closed log."""
        settings = self._parties.exchange.group(group).settings
        place = self._parties.production.resolve(settings.log_path)
        files = self._parties.production.files(place.volume)
        names = [
            name
            for name in files.listdir(place.path)
            if (parsed := parse_log_name(name, settings.base)) and parsed.generation is not None
        ]
        if not names:
            raise UsageError(f"{group} has no closed log")
        # Behind the log's header, in its first records.
        self._flip(evolve(place, path=f"{place.path}/{names[-1]}"), PAGE_BYTES + 300)
        return f"flipped one bit in {settings.log_path}\\{names[-1]}"

    def _flip(self, place: VolumePath, offset: int) -> None:
        files = self._parties.production.files(place.volume)
        with files.edit(place.path) as file:
            if offset >= file.size_bytes:
                raise UsageError(f"{place.path} is not that long")
            byte = file.read_at(offset, 1)[0]
            file.write_at(offset, bytes([byte ^ 0x10]))
            file.sync()

    def _databases(self, group: str) -> dict[str, str]:
        for info in self._parties.exchange.application.components():
            if info.name.casefold() == group.casefold():
                return dict(zip(info.databases, info.paths_of(FileRole.DATABASE), strict=True))
        self._parties.exchange.application.status(group)
        return {}

    def _mailbox_stores(self, group: str) -> Sequence[str]:
        """Mounted mailbox stores; the lab names them so."""
        status = self._parties.exchange.application.status(group)
        return [
            each.name
            for each in status.databases
            if each.state == "mounted" and each.name.startswith("mailbox")
        ]
