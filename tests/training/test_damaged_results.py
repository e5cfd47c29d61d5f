"""A result damaged in any way is refused with a line of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linconv.config import ResolvedRun
from linconv.results.integrity import sealed_text
from tests.damage import Trainer
from tests.results.factory import make_config, write_experiment


def write_as(**changes: Any) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.write_text(sealed_text({**json.loads(file.read_text()), **changes}))

    return damage


def write_run(**changes: Any) -> Callable[[Path], None]:
    """Make the result that of another run, whole and true to itself."""

    def damage(file: Path) -> None:
        values = json.loads(file.read_text())
        run = ResolvedRun.model_validate(values["config"] | changes)
        coordinates = {**run.key._asdict(), "config": run.model_dump(mode="json"), "config_hash": run.hash}
        file.write_text(sealed_text(values | coordinates))

    return damage


RESULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated": ("result.json", lambda p: p.write_bytes(p.read_bytes()[:500]), "damaged: file: Invalid JSON"),
    "empty": ("result.json", lambda p: p.write_bytes(b""), "damaged: file: Invalid JSON"),
    "not text": ("result.json", lambda p: p.write_bytes(bytes(range(256))), "damaged: file: is no UTF-8 text"),
    "a field missing": ("result.json", write_as(metrics={"top1": 3}), r"damaged: metrics\.test_loss: Field required"),
    "a newer version": (
        "result.json",
        write_as(schema_version=3),
        "damaged: schema_version: written by a newer linconv",
    ),
    "another run's": ("result.json", write_run(seed=1), "damaged: holds digits/base/conv/seed1; delete it"),
    "another configuration's": (
        "result.json",
        write_run(augment=False),
        r"stale: made with configuration [0-9a-f]{16}, this one is",
    ),
    "a false hash": (
        "result.json",
        write_as(config_hash="0" * 16),
        "damaged: file: config_hash is 0{16}, the hash of config is [0-9a-f]{16}; delete",
    ),
    "a digit changed": (
        "result.json",
        lambda p: p.write_text(p.read_text().replace('"train_loss": 0.', '"train_loss": 1.', 1)),
        "damaged: .*; delete",
    ),
    "missing": ("result.json", Path.unlink, "missing: "),
    "correlations damaged": (
        "correlations.npz",
        lambda p: p.write_bytes(b"PK"),
        "damaged: .*; delete the run's folder",
    ),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_a_damaged_result_is_refused_with_a_line_of_its_own(kind: str, train: Trainer, tmp_path: Path) -> None:
    name, damage, message = RESULTS[kind]
    config = make_config(variants=["conv"], seeds=[0], experiment="toy")
    root = write_experiment(tmp_path / "results" / "toy", config)
    arguments = ("collect", str(root / "config.yaml"), "--results", str(tmp_path / "results"))
    assert train.command(*arguments)[:3] == (0, [], [])
    file = root / "runs" / "digits" / "base" / "conv" / "seed0" / name
    damage(file)
    outcome = train.command(*arguments)
    assert outcome.code == 2
    (error,) = outcome.errors
    head, named = error.splitlines()
    remedy = "run them again, or collect what there is with --partial"
    assert head == f"error: experiment 'toy': 1 result(s) cannot be used; {remedy}:"
    assert re.match(rf"  {file.relative_to(root).as_posix()}: {message}", named), named
