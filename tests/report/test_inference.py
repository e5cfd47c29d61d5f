"""Which runs are paired image by image."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from linconv.results.outcomes import Outcomes
from tests.report.conftest import key, written

IMAGES = 300
NETWORKS = ("base", "vgg11")


@pytest.fixture
def experiment(tmp_path):
    """Two variants of two networks, three seeds each, with the outcomes of their images."""
    found = written(tmp_path, variants=["conv", "L"], architectures=NETWORKS)
    rng = np.random.default_rng(0)
    right = {key(v, s, a): rng.random(IMAGES) < 0.9 for a in NETWORKS for v in ("conv", "L") for s in range(3)}
    found.__dict__["outcomes"] = {run: Outcomes(given, np.zeros(IMAGES)) for run, given in right.items()}
    return found


def set_data(experiment, **by_network):
    """The digests of the three seeds of every run of a network; pd.NA for streamed images."""
    runs = experiment.runs
    runs["data"] = runs["data"].astype(object)
    for network, digests in by_network.items():
        for seed, digest in enumerate(digests):
            runs.loc[(runs["architecture"] == network) & (runs["seed"] == seed), "data"] = digest


def known(experiment):
    models = {place[1]: model.images for place, model in experiment.models.items()}
    return models | {"joint": experiment.joint_model("digits").images}


@pytest.mark.parametrize("digest", ["a", pd.NA])
def test_runs_of_the_same_images_are_paired(experiment, digest):
    set_data(experiment, base=[digest] * 3, vgg11=[digest] * 3)
    assert known(experiment) == {"base": "measured", "vgg11": "measured", "joint": "measured"}


@pytest.mark.parametrize("other", ["b", pd.NA])
def test_streamed_and_other_images_are_not_paired(experiment, other):
    set_data(experiment, base=["a", "a", other], vgg11=["a"] * 3)
    assert known(experiment) == {"base": "bounded", "vgg11": "measured", "joint": "bounded"}


@pytest.mark.parametrize("other", ["b", pd.NA])
def test_networks_of_other_images_are_not_paired(experiment, other):
    set_data(experiment, base=["a"] * 3, vgg11=[other] * 3)
    assert known(experiment) == {"base": "measured", "vgg11": "measured", "joint": "bounded"}
