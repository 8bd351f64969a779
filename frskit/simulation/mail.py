"""Mail for the lab: subjects and bodies from a seed, of the sizes that mail has."""

from __future__ import annotations

import random
from collections.abc import Iterator

from frskit.exchange.store import Message

__all__ = ["messages"]

_WORDS = [
    "agenda",
    "array",
    "backup",
    "budget",
    "checkpoint",
    "clone",
    "copy",
    "database",
    "delivery",
    "draft",
    "forecast",
    "generation",
    "host",
    "instance",
    "invoice",
    "journal",
    "ledger",
    "mailbox",
    "meeting",
    "minutes",
    "notes",
    "offer",
    "order",
    "page",
    "plan",
    "proposal",
    "quarter",
    "question",
    "recovery",
    "report",
    "review",
    "schedule",
    "server",
    "snapshot",
    "status",
    "storage",
    "store",
    "summary",
    "ticket",
    "update",
    "volume",
    "writer",
]


def messages(rng: random.Random, count: int) -> Iterator[Message]:
    """`count` messages; bodies of 40 bytes to 60 KB, about 3 KB in the mean."""
    for _ in range(count):
        subject = " ".join(rng.choices(_WORDS, k=rng.randint(2, 5))).capitalize()
        # Many short ones and a few long ones: half of them are shorter than 1.8 KB.
        length = min(60_000, int(rng.lognormvariate(7.5, 1.0)) + 40)
        text = " ".join(rng.choices(_WORDS, k=length // 7 + 1))
        yield Message(subject=subject, body=text.encode("ascii")[:length], folder=rng.randint(1, 5))
