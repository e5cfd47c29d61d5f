"""Several networks in one model: each keeps its own spread, and what a seed does to one network counts between them."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from linconv.statistics import differing, fit, fit_networks


def tables(spreads: dict[str, float], rng: np.random.Generator, *, common: float = 0.0, index=range(3)):
    """Four variants of each network whose truth is 85; `common` is what a seed does to all variants of one network."""
    return {
        name: pd.DataFrame(
            85 + common * rng.normal(0, 1, (len(index), 1)) + spread * rng.normal(0, 1, (len(index), 4)),
            index=index,
            columns=[f"{name}/v{i}" for i in range(4)],
        )
        for name, spread in spreads.items()
    }


def test_a_network_that_spreads_more_leaves_the_differences_of_another_as_they_are():
    made = tables({"base": 0.2, "wide": 0.8}, np.random.default_rng(0))
    joint, alone = fit_networks(made), fit(made["base"])
    one, other = (model.error(model.contrast("base/v1", "base/v0")) for model in (joint, alone))
    assert one == pytest.approx(other)
    assert joint.error(joint.contrast("wide/v1", "wide/v0")).total > 2 * one.total


def test_one_network_is_fitted_as_by_itself():
    made = tables({"base": 0.2}, np.random.default_rng(0), common=0.5)
    joint, alone = fit_networks(made, images=500), fit(made["base"], images=500)
    assert joint.means == pytest.approx(alone.means)
    assert joint.covariance == pytest.approx(alone.covariance)
    assert (joint.images, joint.count, joint.residual) == ("bounded", 500, pytest.approx(alone.residual))


@pytest.mark.parametrize(("spread", "common"), [(4, 0.0), (1, 0.0), (1, 1.0)])
def test_equal_variants_are_seldom_called_different(spread, common):
    """With one spread for all networks, 18 % of the tables had a false difference where the second spreads by four."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(150):
        made = tables({"base": 0.2, "wide": 0.2 * spread}, rng, common=common)
        names = [v for table in made.values() for v in table]
        found.append(bool(differing(fit_networks(made), itertools.combinations(names, 2), 0.05)))
    assert np.mean(found) <= 0.09


def test_rows_that_a_network_lacks_are_adjusted_for():
    """Splits differ by points for all networks alike: a network that lacks one is compared on the others."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(5), range(2)], names=["split", "seed"])
    made = tables({"base": 0.01, "wide": 0.01}, rng, index=index)
    hard = np.repeat([0, 3, -5, 1, -9], 2)
    made = {name: table.add(hard, axis=0) for name, table in made.items()}
    made["wide"] = made["wide"].loc[:3]
    joint = fit_networks(made, None, 1000, 0.2)
    weights = joint.contrast("wide/v0", "base/v0")
    assert weights @ joint.means == pytest.approx(0, abs=0.1)
    assert joint.error(weights).total < 0.1
    assert joint.common_splits("wide/v0", "base/v0") == 4
