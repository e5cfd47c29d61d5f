"""Damaging files, and `linconv` called as on the command line to see what it makes of them."""

from __future__ import annotations

import logging
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image

from linconv.cli import main

EPOCHS = 3


class Outcome(NamedTuple):
    code: int
    errors: list[str]
    warnings: list[str]
    said: str  # all messages, a line each


class Trainer:
    """`linconv train` in this process, on data below `root`, with its results there too."""

    def __init__(self, root: Path, caplog: pytest.LogCaptureFixture, patch: pytest.MonkeyPatch) -> None:
        self.root, self._caplog, self._patch = root, caplog, patch

    def folder(self, dataset: str) -> Path:
        return self.root / "results" / "damage" / "runs" / dataset / "base" / "conv" / "seed0"

    def __call__(self, dataset: str, **changes: Any) -> Outcome:
        """Train `base` on a data set, with these changes of the configuration."""
        config = self.root / "damage.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "experiment": "damage",
                    "datasets": [dataset],
                    "architectures": ["base"],
                    "variants": ["conv"],
                    "seeds": [0],
                    "data_root": str(self.root),
                    "device": "cpu",
                    "keep_weights": True,
                    "recipe": {"overrides": [{"set": {"epochs": EPOCHS, "batch_size": 4}}]},
                    "correlation_layers": [1],
                    **({"imagefolders": {"pets": {"path": "pets"}}} if dataset == "pets" else {}),
                    **changes,
                }
            )
        )
        options = ["--dataset", dataset, "--architecture", "base", "--variant", "conv", "--seed", "0"]
        options += ["--results", str(self.root / "results")]
        return self.command("train", str(config), *options)

    def command(self, *arguments: str) -> Outcome:
        """Any command of linconv."""
        self._patch.setattr(sys, "argv", ["linconv", *arguments])
        self._caplog.clear()
        with pytest.raises(SystemExit) as ended:
            main()
        found = [r for r in self._caplog.records if r.name == "linconv"]
        by_level = [[r.getMessage() for r in found if r.levelno == n] for n in (logging.ERROR, logging.WARNING)]
        said = "\n".join(r.getMessage() for r in found)
        return Outcome(ended.value.code or 0, *by_level, said)  # type: ignore[arg-type]


def write_pets(root: Path) -> None:
    """Two classes of four training and two test images each."""
    random = np.random.RandomState(0)
    for part, each in (("train", 4), ("test", 2)):
        for k, name in enumerate(("ant", "bee")):
            for i in range(each):
                file = root / "pets" / part / name / f"{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                pixels = random.randint(128 * k, 128 * k + 128, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(file)


Damage = Callable[[Path, pytest.MonkeyPatch], object]


def cut(name: str, keep: int) -> Damage:
    """Keep the first `keep` bytes of a file, or all but the last -`keep`."""

    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        file = root / name
        file.write_bytes(file.read_bytes()[:keep])

    return damage


def flip(name: str, position: int) -> Damage:
    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        content = bytearray((root / name).read_bytes())
        content[position] ^= 1
        (root / name).write_bytes(content)

    return damage


def fill(name: str, content: bytes) -> Damage:
    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)

    return damage


def remove(name: str) -> Damage:
    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def folder_in_place_of(name: str) -> Damage:
    def damage(root: Path, patch: pytest.MonkeyPatch) -> None:
        (root / name).unlink()
        (root / name).mkdir()

    return damage


def unreadable(name: str) -> Damage:
    return lambda root, patch: (root / name).chmod(0)


def assert_refused(outcome: Outcome, message: str) -> None:
    assert outcome.code == 2
    (line,) = outcome.errors
    assert line.startswith("error: ")
    assert len(line.splitlines()) == 1
    assert re.search(message, line), line
