"""Experiments of a few runs, and the verdicts on them."""

from __future__ import annotations

import json

from linconv.report.claims import claims
from linconv.report.source import load_experiment
from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from tests.report.conftest import key
from tests.results.factory import make_config

SMALL = {"variants": ["conv", "L", "Lr", "LRr"], "complexity": {"architectures": ["base", "vgg11"]}}


# the claims about time
SPEED = ("inference-speed", "feature-space-inference", "feature-space-training")
# all of the paper's epochs, and a test set of 10,000 images
WHOLE = SMALL | {"datasets": ["mnist"], "recipe": {}, "statistics": {"margin": 1.0}}


def accuracies(dataset="mnist", **offsets):
    """Three seeds per variant: those of conv vary by 0.2, the others differ by their offset, give or take 0.02."""
    return {
        key(v, seed, dataset=dataset): 96 + 0.2 * seed + offset + 0.02 * (seed - 1) * (v != "conv")
        for v, offset in ({"conv": 0.0} | offsets).items()
        for seed in range(3)
    }


def verdicts(root):
    return {claim.id: claim for claim in claims([load_experiment(root)])}


def changed(root, path, edit, **config):
    record = json.loads((root / path).read_text())
    edit(record)
    (root / path).write_text(sealed_text(record))
    collect(make_config(**config), root, partial=True)
