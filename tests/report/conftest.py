"""Collected synthetic experiments."""

from __future__ import annotations

import pytest

from linconv.config import RunKey
from linconv.report.source import load_experiment
from linconv.results.collect import collect
from tests.results.factory import make_config, write_experiment

UNTIMED = ("network", "dataset", "experiment")  # what there is a figure of without timings


@pytest.fixture
def collected(tmp_path):
    """A function that writes and collects an experiment (keys of the configuration, then what went wrong)."""

    def make(skip=(), diverged=(), top1=None, costs=None, **changes):
        config = make_config(**changes)
        write_experiment(tmp_path, config, skip=skip, diverged=diverged, top1=top1, costs=costs)
        collect(config, tmp_path, partial=True)
        return tmp_path

    return make


def key(variant: str, seed: int = 0, architecture: str = "base", dataset: str = "digits") -> RunKey:
    return RunKey(dataset, architecture, variant, seed)


def written(root, *, top1, costs, **changes):
    """A collected experiment, read; the synthetic accuracies and costs are as given."""
    config = make_config(**changes)
    write_experiment(root, config, top1=top1, costs=costs)
    collect(config, root)
    return load_experiment(root)
