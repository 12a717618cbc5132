"""Physical units as clinics write them."""

import re
from types import MappingProxyType

_VOLTS = MappingProxyType({"v": 1.0, "mv": 1e-3, "uv": 1e-6, "nv": 1e-9})
_WORDS = MappingProxyType(
    {"volt": "v", "volts": "v", "millivolt": "mv", "millivolts": "mv", "microvolt": "uv", "microvolts": "uv"}
)


_G = MappingProxyType({"g": 1.0, "mg": 1e-3, "m/s2": 1 / 9.80665, "m/s^2": 1 / 9.80665, "ms-2": 1 / 9.80665})


def g_per_unit(unit: str) -> float | None:
    """How many g one `unit` of acceleration is (``"g"``, ``"mg"``, ``"m/s2"``), or None if it is none."""
    return _G.get(re.sub(r"[\s._\[\]()]", "", unit).replace("\u00b2", "2").lower())


def volts_per_unit(unit: str) -> float | None:
    """How many volts one `unit` is (``"uV"``, ``"Microvolt"``, ``"mV"``, ``"V"`` ...), or None if it is no voltage.

    The micro sign arrives as U+00B5, as the Greek letter U+03BC, as ``u`` or as one mangled byte.
    """
    text = re.sub(r"[\s._\[\]()]", "", unit).replace("\u00b5", "u").replace("\u03bc", "u").replace("\ufffd", "u")
    text = text.lower()
    return _VOLTS.get(_WORDS.get(text, text))


def factor_between(unit: str, target: str) -> float | None:
    """What samples in `unit` are multiplied with to be in `target` (both voltages), or None if either is no voltage."""
    given, wanted = volts_per_unit(unit), volts_per_unit(target)
    return None if given is None or wanted is None else given / wanted
