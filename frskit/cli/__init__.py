"""The command lines `frskit` and `hpfrscli`; thin: parse, call the library, print.

`frskit` needs the extra ``cli`` (click, rich); without it one line says so. `hpfrscli` has a small
parser of its own and works without extras.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import NoReturn

__all__ = ["leave", "main"]


def main() -> None:
    """Entry point of ``frskit``."""
    try:
        if find_spec("rich") is None:  # loaded only when something is drawn
            raise ModuleNotFoundError(name="rich")
        from frskit.cli.app import run
    except ImportError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.stderr.write("frskit: the command line needs: pip install 'frskit[cli]'\n")
        raise SystemExit(2) from None
    leave(run(sys.argv[1:]))


def leave(status: int) -> NoReturn:
    """End the program, also if a party still hangs.

    The thread of a call that never came back may be anywhere, in the C code of a library too,
    which the interpreter's own end would pull from under it. So nothing is taken down then:
    everything is flushed and the process ends at once, with its status.
    """
    from frskit.watchdog import silent_parties

    if not silent_parties():
        raise SystemExit(status)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    logging.shutdown()
    os._exit(status)
