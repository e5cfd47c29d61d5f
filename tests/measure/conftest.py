"""Measurements look at every object that Python has; those of pytest and of imported packages are set aside."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _few_objects() -> Iterator[None]:
    """A million objects make each measurement of memory take a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
