"""A site of small parties: two servers, one array, writers, two coordinators, one script.

For tests of shadow copies and of things built on them; see `frskit.testing.fakes.parties`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, MutableMapping, Sequence
from typing import cast

from frskit.clock import Budget, Clock, VirtualClock
from frskit.model.components import BackupType, WriterLevel
from frskit.model.ids import CopyKey, IdFactory, SetId, StorageId
from frskit.model.shadows import ShadowRequest
from frskit.model.storage import CopyKind
from frskit.model.volumes import DiskFlags
from frskit.testing.fakes.hardware import SmallArray, SmallServer
from frskit.testing.fakes.parties import Script, ScriptSink, SmallWriter
from frskit.vss import ArrayProvider, Coordinator
from frskit.watchdog import ANSWER_S, CLOSING_S

__all__ = ["SmallSite"]

SET_ID = SetId("e109943b-232e-4b52-8dc4-62b7de94761b")


class SmallSite:
    r"""Production with volumes ``L:\`` and ``M:\\`` on a LUN each, and a recovery server.

    Two writers: ``writer-1`` (front end, window 20 s) with a component on each volume, and
    ``writer-2`` (back end, window 60 s) with one on ``M:\``.

    Args:
        kinds, limit: Of the array.
        memory: Of the production coordinator.
        strict: Of the production coordinator.
        settle_s: Of the production provider.
        clock: Of everything; by default a virtual one.
        windows_s: Freeze windows of the two writers.
        answer_s, closing_s: Of the production coordinator: how long parties may take.
    """

    def __init__(
        self,
        *,
        kinds: Iterable[CopyKind] = tuple(CopyKind),
        limit: int | None = None,
        memory: MutableMapping[str, bytes] | None = None,
        strict: bool = False,
        settle_s: float = 0.0,
        clock: Clock | None = None,
        windows_s: tuple[float, float] = (20.0, 60.0),
        answer_s: float = ANSWER_S,
        closing_s: float = CLOSING_S,
    ) -> None:
        self.script: Script = Script()
        self.sink: ScriptSink = ScriptSink(self.script)
        # Tests of windows move it; a real one is only given where nobody does.
        self.clock: VirtualClock = cast("VirtualClock", clock or VirtualClock())
        self._answer_s, self._closing_s = answer_s, closing_s
        self.ids: IdFactory = IdFactory(random.Random(1))
        self.array: SmallArray = SmallArray(
            self.script, ("logs", "mail"), kinds=tuple(kinds), limit=limit
        )
        self.production: SmallServer = self._server("evs1")
        self.recovery: SmallServer = self._server("frs1")
        self.memory: MutableMapping[str, bytes] = {} if memory is None else memory
        self._mount()
        self.writers: list[SmallWriter] = self._writers(*windows_s)
        self.provider: ArrayProvider = ArrayProvider(
            self.array, self.production.host, clock=self.clock, settle_s=settle_s
        )
        self.service: Coordinator = self.coordinator(strict=strict)
        self.far_provider: ArrayProvider = ArrayProvider(
            self.array, self.recovery.host, clock=self.clock
        )
        self.far: Coordinator = self._far_coordinator()
        # What building the site did is no part of any test.
        self.script.steps.clear()
        self.script.hits.clear()

    def _server(self, name: str) -> SmallServer:
        return SmallServer(self.script, name, [self.array], clock=self.clock)

    def _writers(self, first_s: float, second_s: float) -> list[SmallWriter]:
        return [
            SmallWriter(
                self.script, "writer-1", ["L:\\data", "M:\\data"], number=1, window_s=first_s
            ),
            SmallWriter(
                self.script,
                "writer-2",
                ["M:\\other"],
                number=2,
                level=WriterLevel.BACK_END,
                window_s=second_s,
            ),
        ]

    def _far_coordinator(self) -> Coordinator:
        return Coordinator(
            self.recovery,
            clock=self.clock,
            ids=self.ids,
            sink=self.sink,
            providers=[self.far_provider],
        )

    def _mount(self) -> None:
        budget = self.budget()
        for name, place in (("logs", "L:\\"), ("mail", "M:\\")):
            storage = StorageId(f"naa:{name}")
            self.array.present(storage, self.production.host, read_only=False, budget=budget)
            self.production.mount(f"volume-{name}", place, (storage, 0, 1))
        self.production.rescan(budget=budget)

    def coordinator(self, *, strict: bool = False) -> Coordinator:
        """A production coordinator on the same memory; a second one is a restart."""
        service = Coordinator(
            self.production,
            clock=self.clock,
            ids=self.ids,
            sink=self.sink,
            providers=[self.provider],
            memory=self.memory,
            strict=strict,
            answer_timeout_s=self._answer_s,
            closing_timeout_s=self._closing_s,
        )
        for writer in self.writers:
            service.register_writer(writer)
        return service

    def budget(self, timeout_s: float | None = None) -> Budget:
        """A budget on the site's clock."""
        return Budget.of(self.clock, timeout_s)

    def request(
        self,
        *components: str,
        key: str = SET_ID,
        backup_type: BackupType = BackupType.FULL,
        kind: CopyKind | None = CopyKind.SNAPCLONE,
        transportable: bool = True,
        persistent: bool = True,
    ) -> ShadowRequest:
        """A wish; without names everything."""
        return ShadowRequest(
            key=CopyKey(key),
            components=components,
            backup_type=backup_type,
            kind=kind,
            transportable=transportable,
            persistent=persistent,
        )

    def copies(self) -> Sequence[StorageId]:
        """The LUNs that are copies."""
        return [each for each, lun in self.array.luns.items() if lun.copy is not None]

    def unrest(self) -> list[str]:
        """What must never be left behind when nothing is under way; empty if all is well."""
        found = [f"{each.name} is frozen" for each in self.writers if each.frozen]
        found += [f"writes to {each} are held" for each in self.production.held]
        found += [
            f"{storage} has flags {lun.flags}"
            for storage, lun in self.array.luns.items()
            if lun.copy is None and lun.flags != DiskFlags()
        ]
        found += [f"{key} is staged" for key in self.array.staged_keys()]
        return found
