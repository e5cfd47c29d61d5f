"""What makes measurements take less time and changes no result but timings."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _few_objects() -> Iterator[None]:
    """A million objects make each measurement of memory take a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """`optimize` times each form for a moment."""
    module = importlib.import_module("linconv.layers.optimize")  # the package binds its name to the function
    monkeypatch.setattr(module, "BLOCK_SECONDS", 1e-4)
    monkeypatch.setattr(module, "ROUNDS", 2)
