"""The file with the outcome of every test image."""

from __future__ import annotations

import numpy as np
import pytest

from linconv.config import RunKey
from linconv.results import ResultError
from linconv.results.outcomes import LOWEST, Outcomes, read_outcomes, write_outcomes
from tests.results.factory import make_config, make_run

KEY = RunKey("digits", "base", "conv", 0)


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    correct = rng.random(200) < 0.97
    outcomes = Outcomes(correct, np.where(correct, -1e-4, -7.25).astype(np.float32) * rng.random(200, np.float32))
    outcomes.log_prob[3] = -1e9
    record = write_outcomes(tmp_path, outcomes)
    run = make_run(make_config(), KEY, top1=100 * int(correct.sum()) / 200)
    return tmp_path, outcomes, type(run)(**run.model_dump() | {"outcomes": record})


def test_outcomes_survive_their_file(written):
    folder, outcomes, run = written
    found = read_outcomes(folder, run)
    assert found is not None
    assert np.array_equal(found.correct, outcomes.correct)
    kept = np.maximum(outcomes.log_prob, LOWEST)
    assert np.allclose(found.log_prob, kept, rtol=2**-11, atol=2**-24)
    assert (folder / "outcomes.npz").stat().st_size < 1500  # 25 bytes of bits, 400 of numbers, and the archive


def test_equal_outcomes_have_equal_bytes(written, tmp_path):
    _, outcomes, run = written
    again = write_outcomes(tmp_path / "again", outcomes)
    assert again == run.outcomes


def test_another_file_is_refused(written):
    folder, outcomes, run = written
    write_outcomes(folder, outcomes._replace(correct=~outcomes.correct))
    with pytest.raises(ResultError, match=r"outcomes\.npz: is not the file that was written with its result"):
        read_outcomes(folder, run)
    (folder / "outcomes.npz").unlink()
    with pytest.raises(ResultError, match="cannot be read"):
        read_outcomes(folder, run)


def test_a_run_without_outcomes_has_none(tmp_path):
    assert read_outcomes(tmp_path, make_run(make_config(), KEY)) is None
