"""`benchmarks/damage.py` in short: no changed byte gets into the tables, and the script would see one that did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linconv.config import plan_runs
from linconv.results import RunResult, read_result, reading, write_result
from linconv.results.outcomes import Outcomes, write_outcomes
from tests.results.factory import make_config, write_experiment, write_timings
from tests.scripts import load_script

TIMED = {
    "architectures": ["base"],
    "variants": ["L"],
    "batches": [1],
    "activities": ["inference"],
    "rounds": 3,
}


@pytest.fixture(scope="module")
def script() -> Any:
    return load_script("benchmarks/damage.py")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one experiment: runs with outcomes, counts, timings."""
    folder = tmp_path_factory.mktemp("results")
    config = make_config(variants=["conv", "L"], seeds=[0, 1], throughput=TIMED)
    top1 = dict.fromkeys(plan_runs(config), 90.0)
    root = write_experiment(folder / "toy", config, top1=top1)
    write_timings(root, config, {"folded": 1.0, "weight": 0.9})
    for key in plan_runs(config):
        run = read_result(root / key.path / "result.json", RunResult)
        record = write_outcomes(root / key.path, Outcomes(np.arange(10) > 0, np.linspace(-3, 0, 10, dtype=np.float32)))
        write_result(root / key.path / "result.json", RunResult(**run.model_dump() | {"outcomes": record}))
    return folder


def test_no_changed_byte_or_digit_is_accepted(script, results, capsys):
    assert script.main(["--changes", "120", "--results", str(results)]) == 0
    said = capsys.readouterr().out
    assert "120 changes: 0 accepted with changed values or ended in a traceback" in said
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("| ")]
    kinds = {row[0] for row in rows[1:]}
    assert kinds >= {"result.json", "outcomes.npz", "correlations.npz", "complexity.json", "timings", "collected CSV"}
    refused = sum(int(row[3]) for row in rows[1:])
    assert refused > 100  # a byte of white space, or of an archive's dates, changes nothing


def test_the_script_sees_what_gets_through(script, results, monkeypatch, capsys):
    monkeypatch.setattr(reading, "record_digest", lambda values: values.get("digest"))
    assert script.main(["--changes", "150", "--results", str(results), "--seed", "1"]) == 1
    assert "CHANGED: one digit of toy/" in capsys.readouterr().out


def test_the_script_sees_a_traceback(script, results, monkeypatch, capsys):
    monkeypatch.setattr(reading, "parse", json.loads)
    monkeypatch.setattr(reading, "ResultError", KeyError)
    assert script.main(["--changes", "20", "--results", str(results), "--seed", "1"]) == 1
    assert "TRACEBACK: one " in capsys.readouterr().out
