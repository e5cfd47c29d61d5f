"""What is done with all results of an experiment takes work in proportion to their number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from linconv.config import Config
from linconv.report.compare import compare_folders
from linconv.results.collect import collect
from linconv.results.merge import merge
from linconv.work import find_jobs
from tests.counting import calls
from tests.results.factory import make_config, write_experiment


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Config, Path]]:
    """Experiments of 8 and of 80 runs, and one of 8 whose code is loaded by a first call of everything."""
    made = {}
    for seeds in (3, 4, 40):
        config = make_config(variants=["conv", "L"], seeds=list(range(seeds)))
        made[2 * seeds] = config, write_experiment(tmp_path_factory.mktemp("runs") / "toy", config)
    return made


def collecting(config: Config, root: Path) -> None:
    collect(config, root)


def listing_jobs(config: Config, root: Path) -> None:
    path = root / "to do.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    find_jobs([path], root.parent)


def merging(config: Config, root: Path) -> None:
    merge([root, root], root.parent / "merged")


def comparing(config: Config, root: Path) -> None:
    compare_folders(root, root)


@pytest.mark.parametrize("use", [collecting, listing_jobs, merging, comparing])
def test_ten_times_the_runs_take_ten_times_the_work(experiments: dict[int, tuple[Config, Path]], use: Any) -> None:
    calls(use, *experiments[6])  # fills what is remembered from call to call
    few, many = (calls(use, *experiments[runs]) for runs in (8, 80))
    assert many < 11 * few
