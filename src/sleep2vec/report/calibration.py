"""What was measured of the simulator against real nights and outside tools, as the package carries it.

The file is written by `benchmarks/simulation_calibration.py` from the figures of the benchmarks; nothing in it is made
by hand.
"""

import json
from importlib import resources
from typing import Any

_FILE = "simulation_calibration.json"


def simulation_calibration() -> tuple[dict[str, Any], ...]:
    """Tables, each with ``title``, ``words``, ``command``, ``columns`` and ``rows``."""
    text = resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    return tuple(json.loads(text))
