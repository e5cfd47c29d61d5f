"""The check of a name against those that are known. Needs no other package."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy part of an error about an unknown name: the nearest known one, or all of them."""
    known = list(known)
    by_folded = {k.lower(): k for k in known}
    matches = [k for k in by_folded if k.startswith(name.lower())]
    matches += difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.5)
    if matches:
        return f"did you mean '{by_folded[matches[0]]}'?"
    return "known: " + ", ".join(known)


def check_known(names: Iterable[str], known: Iterable[str], kind: str, place: str = "") -> None:
    """Raise ValueError for the first of `names` that is not in `known`, with the nearest valid one.

    Args:
        place: the key of the configuration that the message begins with, if any.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"{place and f'{place}: '}unknown {kind} '{name}'; {nearest(name, known)}")
