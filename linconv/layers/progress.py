"""A sign of life from work that takes long, in the log, where nothing is said of work that does not."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

log = logging.getLogger("linconv")
PROGRESS_SECONDS = 10

T = TypeVar("T")


def watched(items: Iterable[T], what: str, total: int, unit: str = "layers") -> Iterator[T]:
    """The items; a WARNING says every ten seconds how many of them are done.

    Args:
        what: the function that a user called, such as "convert".
        total: the number of items.
    """
    started = said = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if (now := time.monotonic()) - said > PROGRESS_SECONDS and done < total:
            said = now
            log.warning("%s: %d of %d %s after %.0f s", what, done, total, unit, now - started)
