"""``python -m frskit`` is the command ``frskit``."""

from __future__ import annotations

from frskit.cli import main

if __name__ == "__main__":
    main()
