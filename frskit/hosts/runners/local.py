"""`LocalRunner`: programs of this machine, started without a shell.

Each program leads a process group of its own, so that what it started dies with it at the
deadline. The process environment is inherited unless the caller names one; the runner itself reads
no environment. Its contract is `frskit.protocols.small.CommandRunner`; everything else is frskit's
choice. POSIX only.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from frskit.errors import FileMissing, FileSystemError, HostError, UsageError
from frskit.model.plans import CommandResult
from frskit.storage import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from frskit.clock import Budget
    from frskit.protocols import CommandRunner

__all__ = ["LocalRunner"]

_LOOK_S: Final = 0.05
"""How often a running program's budget is looked at."""


class LocalRunner:
    """Runs programs on this machine.

    Args:
        directory: Working directory of the programs; None = that of this process.
    """

    def __init__(self, *, directory: Path | None = None) -> None:
        self._directory = directory

    def run(
        self,
        argv: Sequence[str],
        *,
        input_text: str | None = None,
        environment: Mapping[str, str] | None = None,
        budget: Budget,
    ) -> CommandResult:
        """Run to the end; output is decoded as UTF-8 with replacements.

        Args:
            argv: Program and arguments, each taken as it is.
            input_text: Standard input; None = empty.
            environment: The program's whole environment; None = that of this process.
            budget: At its end, or when it is cancelled, the program's process group is killed.
        """
        if not argv:
            raise UsageError("no program was named")
        budget.check(f"starting {argv[0]}")
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._directory,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise HostError(
                f"{argv[0]} could not be started: {error}",
                hint="Check that the program is installed and may be run.",
                context={"program": argv[0]},
            ) from error
        with process:
            return self._finish(process, argv[0], (input_text or "").encode(), budget)

    def _finish(
        self, process: subprocess.Popen[bytes], program: str, data: bytes, budget: Budget
    ) -> CommandResult:
        feeding: bytes | None = data
        try:
            while True:
                budget.check(f"running {program}")
                try:
                    out, err = process.communicate(feeding, timeout=_LOOK_S)
                    break
                except subprocess.TimeoutExpired:
                    # The input has been taken over; what follows only waits.
                    feeding = None
        except BaseException:
            # The whole group: a surviving child would keep the pipes open.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return CommandResult(
            status=process.returncode,
            stdout=out.decode(errors="replace"),
            stderr=err.decode(errors="replace"),
        )

    def get_file(self, path: str, *, budget: Budget) -> bytes:
        """The content of a file."""
        budget.check(f"reading {path}")
        try:
            return Path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileMissing(f"{path}: no such file", context={"path": path}) from error
        except OSError as error:
            raise FileSystemError(f"{path}: {error.strerror}", context={"path": path}) from error

    def put_file(self, path: str, data: bytes, *, budget: Budget) -> None:
        """Store a file, replacing it atomically and durably; only its owner may read it."""
        budget.check(f"writing {path}")
        try:
            replace_file(path, data, mode=0o600)
        except FileNotFoundError as error:
            raise FileMissing(f"{path}: no such directory", context={"path": path}) from error
        except OSError as error:
            raise FileSystemError(f"{path}: {error.strerror}", context={"path": path}) from error


if TYPE_CHECKING:
    _runner: type[CommandRunner] = LocalRunner
