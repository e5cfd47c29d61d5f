"""Rendering shows what was collected, or says that it is something else."""

from __future__ import annotations

import numpy as np
import pytest

from linconv.config import RunKey
from linconv.report.source import load_experiment
from linconv.results import ResultError, RunResult, read_result, write_result
from linconv.results.collect import collect
from linconv.results.kinds import COLUMNS
from linconv.results.manifest import check_manifest, write_manifest
from linconv.results.outcomes import Outcomes, read_collected_outcomes, write_outcomes
from tests.results.factory import make_config, write_experiment

CONFIG = make_config(variants=["conv", "L"], seeds=[0, 1])


@pytest.fixture
def root(tmp_path):
    collect(CONFIG, write_experiment(tmp_path, CONFIG))
    return tmp_path


def refusal(root, names=()):
    with pytest.raises(ResultError) as error:
        check_manifest(root / "data", names)
    text = str(error.value)
    assert "\n" not in text
    assert "collect the results" in text or "delete the file" in text
    return text.removeprefix(f"{root / 'data'}/")


def test_whole_data_are_accepted(root):
    check_manifest(root / "data", ["runs.csv", "correlations.npz"])
    assert len(load_experiment(root).runs) == 4


def test_any_change_of_any_file_is_refused(root):
    files = [path for path in (root / "data").iterdir() if path.suffix != ".json"]
    assert len(files) == len(COLUMNS) + 2
    for path in files:
        whole = path.read_bytes()
        for place in np.linspace(0, len(whole) - 1, 7, dtype=int):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert refusal(root).startswith(f"{path.name}: is not the file that was collected; ")
            with pytest.raises(ResultError, match="is not the file that was collected"):
                load_experiment(root)
        for other in (whole[:-1], whole + b"\n", b""):
            path.write_bytes(other)
            assert refusal(root).startswith(f"{path.name}: is not the file that was collected; ")
        path.write_bytes(whole)
    check_manifest(root / "data")


def test_what_is_missing_is_named(root):
    (root / "data" / "history.csv").rename(root / "history.csv")
    assert refusal(root) == "history.csv: missing; collect the results again"
    assert refusal(root, ["history.csv"]) == "history.csv: missing; collect the results first"
    (root / "history.csv").rename(root / "data" / "history.csv")
    (root / "data" / "manifest.json").unlink()
    assert refusal(root) == "manifest.json: missing; collect the results again"


def test_a_file_that_was_not_collected_is_no_part_of_the_data(root):
    (root / "data" / "notes.csv").write_text("mine")
    check_manifest(root / "data")
    assert refusal(root, ["notes.csv"]) == "notes.csv: is not the file that was collected; collect the results again"
    write_manifest(root / "data")
    check_manifest(root / "data", ["notes.csv"])


def test_outcomes_are_collected_by_run(root):
    assert read_collected_outcomes(root / "data") == {}
    key = RunKey("digits", "base", "L", 1)
    file = root / key.path / "result.json"
    run = read_result(file, RunResult)
    last = run.history[-1].model_copy(update={"test_top1": 90.0})
    values = run.model_dump() | {"history": [*run.history[:-1], last]}
    values["metrics"]["top1"] = 90.0
    outcomes = Outcomes(np.arange(10) > 0, np.linspace(-3, 0, 10, dtype=np.float32))
    values["outcomes"] = write_outcomes(root / key.path, outcomes)
    write_result(file, RunResult(**values))
    collect(CONFIG, root)
    ((found, collected),) = read_collected_outcomes(root / "data").items()
    assert found == key
    assert np.array_equal(collected.correct, outcomes.correct)
    assert np.allclose(collected.log_prob, outcomes.log_prob, atol=2e-3)
    (root / key.path / "outcomes.npz").unlink()
    with pytest.raises(ResultError, match=r"L/seed1/outcomes\.npz: missing: .*; delete the run's folder and train"):
        collect(CONFIG, root)
    assert collect(CONFIG, root, partial=True).failures == {"missing": 1}


def test_another_configuration_s_mark_does_not_stay(root):
    """The pipeline marks what it has collected; going back to an earlier configuration has to collect again."""
    for name in (".config-0123456789abcdef", ".config-fedcba9876543210"):
        (root / "data" / name).touch()
    collect(CONFIG, root)
    assert not list((root / "data").glob(".config-*"))
