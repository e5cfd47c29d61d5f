"""What the documentation says of the committed runs, held to them."""

import json
from pathlib import Path

import pytest

RUNS = sorted((Path(__file__).parents[2] / "results" / "reference").glob("*/runs/mnist/base/*/*/result.json"))


def test_there_are_runs_of_base_on_mnist():
    assert len(RUNS) >= 15


@pytest.mark.parametrize("path", RUNS, ids=lambda path: "-".join(path.parts[-6:-1]))
def test_base_on_mnist_trains_in_less_than_two_gibibytes(path):
    """docs/engine.md; the resident set of the whole process, with torch and the data."""
    peak = json.loads(path.read_text())["provenance"]["peak_memory_mib"]
    assert 200 < peak < 2048
