"""The command lines `frskit` and `hpfrscli`; thin: parse, call the library, print.

`frskit` needs the extra ``cli`` (click, rich); without it one line says so. `hpfrscli` has a small
parser of its own and works without extras.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ["main"]


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
    raise SystemExit(run(sys.argv[1:]))
