"""What varies between Exchange versions above the store engine, as data.

Not behavior: the writer, the analysis and the checker ask here. The engine's own sizes and habits
are in `frskit.exchange.store.StoreProfile`. What no readable source settles is marked (inferred)
and stays configurable [exchange.md 9].
"""

from __future__ import annotations

from attrs import evolve, frozen

from frskit.exchange.store.versions import SMALL_LOGS, STORE_2003, StoreProfile
from frskit.model.components import BackupSchema

__all__ = ["EXCHANGE_2003", "EXCHANGE_2003_SMALL_LOGS", "WRITER_ID", "ExchangeProfile"]

WRITER_ID = "76fe1ac4-15f7-4bcd-987e-8e1acb462fb7"
"""Class id of every Exchange writer, store and replica alike [exchange.md 2.1; EXC-01]."""


@frozen(kw_only=True)
class ExchangeProfile:
    """Habits of one Exchange version.

    Attributes:
        name: What the profile stands for.
        writer_name: Name of the store writer [exchange.md 2.1].
        path_root: First parts of every logical path; documentation and Microsoft's own script
            disagree on the word "Microsoft", this is the script's form [exchange.md 2.2].
        schema: Backup schema that the writer declares; incremental and differential came with a
            service pack of 2003 [exchange.md 2.2, SP1 recalled].
        max_groups: Storage groups of one server [exchange.md 1.1].
        max_databases: Databases of one group [exchange.md 1.1].
        streaming_files: Whether a database is an .edb and an .stm [EXC-07].
        one_session_per_writer: Whether a second backup of *any* group is refused while one is in
            progress, and not only one of the same group [EXC-26].
        blank_log_tail: Whether what follows the last record of a log is zero, so that a checker
            may insist on it. True of the lab's engine [lab-store.md 4]; how Microsoft's filled old
            logs is unknown [ese.md 13], so switch it off for files of a real server.
        store: The engine's profile.
    """

    name: str = "Exchange 2003 SP1"
    writer_name: str = "Microsoft Exchange Writer"
    path_root: tuple[str, str] = ("Microsoft Exchange Server", "Microsoft Information Store")
    schema: frozenset[BackupSchema] = frozenset(
        {BackupSchema.COPY, BackupSchema.INCREMENTAL, BackupSchema.DIFFERENTIAL}
    )
    max_groups: int = 4
    max_databases: int = 5
    streaming_files: bool = True
    one_session_per_writer: bool = True
    blank_log_tail: bool = True
    store: StoreProfile = STORE_2003

    @property
    def freeze_timeout_s(self) -> float:
        """After so long a frozen group thaws itself [EXC-21]."""
        return self.store.freeze_timeout_s


EXCHANGE_2003 = ExchangeProfile()
"""The shipped profile."""

EXCHANGE_2003_SMALL_LOGS = evolve(EXCHANGE_2003, store=SMALL_LOGS)
"""The same with small logs, for histories with many generations."""
