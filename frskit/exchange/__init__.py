"""Exchange 2003 as frskit meets it: a writer to be copied, an application to be recovered.

`SimulatedExchange` is the server application with a real (simulated) store engine below it;
`ExchangeWriter` and `ExchangeApplication` are its two faces towards the shadow copy service and
towards recovery; `ExchangeChecker` judges copies anywhere; `decide` is the log analysis as a pure
function. Facts: [exchange.md]; no code here has met Microsoft's Exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.codes.exchange_events import EventId
    from frskit.exchange.event_log import EventEntry
    from frskit.exchange.integrity.checker import ExchangeChecker
    from frskit.exchange.log_analysis.decision_table import Decision, decide
    from frskit.exchange.recovery.application import ExchangeApplication
    from frskit.exchange.settings import DatabaseSettings, ExchangeSettings, GroupSettings
    from frskit.exchange.simulated import SimulatedExchange
    from frskit.exchange.store import Message, StoreKind
    from frskit.exchange.versions import EXCHANGE_2003, WRITER_ID, ExchangeProfile
    from frskit.exchange.writer.writer import ExchangeWriter

__all__ = [
    "EXCHANGE_2003",
    "WRITER_ID",
    "DatabaseSettings",
    "Decision",
    "EventEntry",
    "EventId",
    "ExchangeApplication",
    "ExchangeChecker",
    "ExchangeProfile",
    "ExchangeSettings",
    "ExchangeWriter",
    "GroupSettings",
    "Message",
    "SimulatedExchange",
    "StoreKind",
    "decide",
]

_HOMES = {
    "DatabaseSettings": "frskit.exchange.settings",
    "Decision": "frskit.exchange.log_analysis.decision_table",
    "EXCHANGE_2003": "frskit.exchange.versions",
    "EventEntry": "frskit.exchange.event_log",
    "EventId": "frskit.codes.exchange_events",
    "ExchangeApplication": "frskit.exchange.recovery.application",
    "ExchangeChecker": "frskit.exchange.integrity.checker",
    "ExchangeProfile": "frskit.exchange.versions",
    "ExchangeSettings": "frskit.exchange.settings",
    "ExchangeWriter": "frskit.exchange.writer.writer",
    "GroupSettings": "frskit.exchange.settings",
    "Message": "frskit.exchange.store",
    "SimulatedExchange": "frskit.exchange.simulated",
    "StoreKind": "frskit.exchange.store",
    "WRITER_ID": "frskit.exchange.versions",
    "decide": "frskit.exchange.log_analysis.decision_table",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
