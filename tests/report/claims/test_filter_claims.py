"""The claims about filters: orthogonal primaries, controlled redundancy."""

from __future__ import annotations

import json
import math

import pytest

from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from tests.report.claims.common import SMALL, verdicts
from tests.report.conftest import key
from tests.results.factory import make_config


def with_layers(root, values, **config):
    """Change metrics of the layers, given by variant, a little by seed."""
    for variant, changes in values.items():
        for seed, noise in enumerate((0.0, 0.01, -0.01)):
            own = noise * {"L": 1, "Lr": -1}.get(variant, 0)

            def edit(record, changes=changes, noise=own):
                for layer in record["layers"]:
                    layer.update({name: value + noise for name, value in changes.items()})

            path = root / key(variant, seed).path / "result.json"
            record = json.loads(path.read_text())
            edit(record)
            path.write_text(sealed_text(record))
    collect(make_config(**config), root, partial=True)


def test_orthogonality_compares_lr_with_l_by_seed(collected):
    root = collected(**SMALL)
    # the factory gives every seed the same correlations: no variance, hence nothing is decided
    assert verdicts(root)["orthogonal-primaries"].verdict == "undecided"
    assert "no variance" in verdicts(root)["orthogonal-primaries"].evidence
    with_layers(root, {"L": {"primary_mean_abs_correlation": 0.1}}, **SMALL)
    claim = verdicts(root)["orthogonal-primaries"]
    assert claim.verdict == "supported"
    assert "0.010, minus L -0.090 [-0.115, -0.065], n = 3, adjusted p = " in claim.evidence
    assert claim.runs == ("digits/base/L", "digits/base/Lr")


@pytest.mark.parametrize(
    ("lr", "verdict"),
    [
        (0.02, "supported"),
        (0.048, "undecided"),  # the mean is below the bound, its interval reaches above
        (0.052, "undecided"),
        (0.2, "not supported"),
    ],
)
def test_primaries_are_orthogonal_where_the_interval_of_their_mean_is_below_the_bound(collected, lr, verdict):
    root = collected(**SMALL)
    values = {name: {"primary_mean_abs_correlation": mean} for name, mean in (("L", 0.3), ("Lr", lr))}
    with_layers(root, values, **SMALL)
    claim = verdicts(root)["orthogonal-primaries"]
    assert claim.verdict == verdict
    assert claim.evidence.endswith("Of the paper's epochs the runs had 2.4 % (Base on Digits).")


@pytest.mark.parametrize(
    ("lr", "conv", "verdict"),
    [
        # the layers have 27, 288 and 576 values: random filters have 0.156, 0.047, 0.033, 0.079 in the mean
        (0.15, 0.2, "supported"),
        (0.25, 0.2, "not supported"),
        (0.15, 0.08, "not measured"),  # training has not moved the plain filters
    ],
)
def test_redundancy_is_what_exceeds_random_filters_from_l_to_lr(collected, lr, conv, verdict):
    root = collected(**SMALL)
    values = {name: {"mean_abs_correlation": mean} for name, mean in (("L", 0.2), ("Lr", lr), ("conv", conv))}
    with_layers(root, values, **SMALL)
    claim = verdicts(root)["redundancy-controlled"]
    assert claim.verdict == verdict
    if verdict == "not measured":
        assert claim.preliminary.endswith("Base on Digits (1 %).")
    else:
        assert f"Base-Lr on Digits {lr - 0.0788:.3f}, minus L {lr - 0.2:+.3f}" in claim.evidence


def test_layers_that_cannot_be_uncorrelated_do_not_count(collected):
    root = collected(**SMALL)
    with_layers(root, {v: {"mean_abs_correlation": 0.2} for v in ("L", "Lr", "conv")}, **SMALL)
    before = verdicts(root)["redundancy-controlled"].evidence

    for variant in ("L", "Lr"):
        for seed in range(3):
            path = root / key(variant, seed).path / "result.json"
            record = json.loads(path.read_text())
            record["layers"][0].update(primaries=27, mean_abs_correlation=0.9)
            path.write_text(sealed_text(record))
    collect(make_config(**SMALL), root, partial=True)
    after = verdicts(root)["redundancy-controlled"].evidence
    levels = [(2 / math.pi / (size - 1)) ** 0.5 for size in (27, 288, 576)]
    assert f"Lr on Digits {0.2 - sum(levels) / 3:.3f}" in before
    assert f"Lr on Digits {0.2 - sum(levels[1:]) / 2:.3f}" in after
