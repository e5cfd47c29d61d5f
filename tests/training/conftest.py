from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.damage import Trainer


@pytest.fixture
def train(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainer]:
    """`linconv train` in this process, its messages caught."""
    caplog.set_level(logging.INFO, "linconv")
    yield Trainer(tmp_path, caplog, monkeypatch)
    logging.captureWarnings(False)
