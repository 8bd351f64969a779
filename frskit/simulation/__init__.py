"""The lab: a complete simulated site, in memory or in a directory, with its levers and the demo.

`lab` makes one in memory (or opens a directory), `create_directory` and `open_directory` are for
durable ones. Everything in it does real work on real bytes; nothing here is a mock.
"""

from __future__ import annotations

from frskit.simulation.lab import Lab, create_directory, lab, open_directory

__all__ = ["Lab", "create_directory", "lab", "open_directory"]
