"""Exit statuses of the command line: frskit's own contract [FRS 6.2], not HP's."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["EXIT_STATUSES"]

#: By exit status of the programs, its meaning.
EXIT_STATUSES: Mapping[int, str] = {
    0: "success",
    1: "unexpected internal error",
    2: "wrong usage",
    3: "server, storage group or copy not found",
    4: "shadow copy service or writer error",
    5: "array, provider or host error",
    6: "normalization failed or took too long",
    7: "integrity check failed",
    8: "precondition of recovery not met",
    9: "recovery failed; state recorded",
    10: "another operation holds the lock, or the copy is in use",
    11: "catalog damaged or inconsistent with the array",
    12: "interrupted; can be resumed",
    13: "doctor found failures",
    14: "a resume left something that a human has to look at",
}
