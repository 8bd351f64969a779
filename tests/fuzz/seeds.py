"""Seeds for the fuzz targets: small good files, made by the generator of the unit tests.

Not a target. A target calls `arguments(seeds)`; the seeds go into the corpus directory that its
command line names first, else into a temporary one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import tempfile
from pathlib import Path

_CONFTEST = Path(__file__).parents[1] / "unit" / "ese" / "conftest.py"


def forge():
    """The maker of ESE files that the unit tests use."""
    spec = importlib.util.spec_from_file_location("ese_makers", _CONFTEST)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Forge()


def arguments(seeds):
    """The command line for atheris, with the seeds written into the corpus directory."""
    place = next((each for each in sys.argv[1:] if Path(each).is_dir()), None)
    arguments = list(sys.argv)
    if place is None and not any(Path(each).is_file() for each in sys.argv[1:]):
        place = tempfile.mkdtemp(prefix="frskit-fuzz-")
        arguments.append(place)
    for seed in seeds if place is not None else ():
        name = hashlib.sha256(seed).hexdigest()[:16]
        (Path(place) / f"seed-{name}").write_bytes(seed)
    return arguments
