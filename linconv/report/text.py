"""Numbers as text, everywhere rounded in the same way."""

from __future__ import annotations

import math

from linconv.statistics import Spread

MISSING = "-"  # a value that should be there and is not; what does not exist is an empty cell


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """A number with fixed decimals, `MISSING` for None and NaN.

    Where signed, a number that rounds to 0 keeps its sign, and 0 itself has a plus.
    """
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value or 0.0:{'+' if signed else ''}.{digits}f}"
    return text if signed or float(text) else text.removeprefix("-")


def percent(share: float) -> str:
    """A share as percent without needless decimals."""
    return f"{100 * share:g} %"


def decimals(sd: float) -> int:
    """How many decimals a percentage deserves: two significant digits of its standard deviation, two decimals at most.

    One where the deviation is not known, as the paper prints its single runs.
    """
    if math.isnan(sd):
        return 1
    if sd < 0.1:  # a test set of 10,000 images has steps of 0.01
        return 2
    return max(0, 1 - math.floor(math.log10(float(f"{sd:.1e}"))))


def spread_text(spread: Spread) -> str:
    """Mean [interval] (number of runs), with the decimals that the interval deserves."""
    if spread.n == 0:
        return MISSING
    digits = decimals((spread.high - spread.low) / 4)
    interval = interval_text(spread.low, spread.high, digits)
    return f"{number(spread.mean, digits)} {interval} ({spread.n})".replace("  ", " ")


def interval_text(low: float, high: float, digits: int, *, signed: bool = False) -> str:
    """The ends of an interval in brackets; "" where it does not exist."""
    if math.isnan(low):
        return ""
    return f"[{number(low, digits, signed=signed)}, {number(high, digits, signed=signed)}]"
