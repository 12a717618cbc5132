"""Numbers as a page prints them: as many decimals as their interval deserves, a dash where nothing is known."""

import math

UNKNOWN_TEXT = "–"
_MOST_DECIMALS = 4
_PLAIN_BELOW = 1e7


def numeral(value: float | None, decimals: int, signed: bool = False) -> str:
    """``−1 234.5``; a dash for None and NaN. `signed` writes the plus too."""
    if value is None or math.isnan(value):
        return UNKNOWN_TEXT
    if math.isinf(value):
        text = "∞" if value > 0 else "-∞"
    elif abs(value) >= _PLAIN_BELOW:
        text = f"{value:.3g}"
    else:
        text = f"{value:,.{decimals}f}".replace(",", " ")
        if not any(digit in text for digit in "123456789"):
            text = text.removeprefix("-")  # there is no minus nothing
    return ("+" if signed and value > 0 else "") + text.replace("-", "−")


def interval_text(low: float | None, high: float | None, decimals: int) -> str:
    """``0.71 to 0.75``; one dash where neither end is known."""
    ends = [numeral(end, decimals) for end in (low, high)]
    return UNKNOWN_TEXT if ends == [UNKNOWN_TEXT] * 2 else " to ".join(ends)


def decimals_of(estimate: float | None, low: float | None, high: float | None) -> int:
    """So many that the width of the interval has two digits; without an interval, that the estimate has three."""
    width = 0.0
    if low is not None and high is not None and math.isfinite(high - low):
        width = high - low
    if width <= 0 and estimate is not None and math.isfinite(estimate):
        width = abs(estimate) / 10
    if width <= 0:
        return 2
    return min(max(1 - math.floor(math.log10(width)), 0), _MOST_DECIMALS)


def count_text(count: int) -> str:
    """``12 345``."""
    return f"{count:,}".replace(",", " ")
