"""What is known of the test images, from the columns of runs.csv to the notes below a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from linconv.config import plan_runs
from linconv.report.source import Experiment
from linconv.report.tables.table1 import table1
from linconv.report.verdicts import noise_notes
from linconv.results.kinds import COLUMNS
from linconv.results.outcomes import Outcomes
from tests.results.factory import make_config


def experiment(dataset="mnist", *, images=None, digests=("d", "d"), outcomes=None, **changes) -> Experiment:
    """Three variants in memory. Runs of the last seed have the second digest; `outcomes` are by network."""
    if dataset not in ("mnist", "cifar10"):
        changes["imagefolders"] = {dataset: {"path": "a", "image_size": 32}}
    config = make_config(datasets=[dataset], variants=["conv", "L", "Lr"], correlation_layers=[], **changes)
    rng = np.random.default_rng(0)
    rows, seen = [], {}
    for key in plan_runs(config):
        row = dict.fromkeys(COLUMNS["runs"], np.nan) | key._asdict() | {"status": "ok", "top1": rng.normal(95, 0.3)}
        row["data"] = digests[key.seed == config.seeds[-1]]
        if images:
            row |= {"train_images": images[0], "test_images": images[1]}
        if outcomes:
            right = rng.random(outcomes[key.architecture]) < 0.95
            seen[key] = Outcomes(right, np.zeros(len(right), np.float32))
            row["top1"] = 100 * right.mean()
        rows.append(row)
    frames = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    frames["runs"] = pd.DataFrame(rows, columns=COLUMNS["runs"])
    found = Experiment(Path("none"), config, frames)
    found.__dict__["outcomes"] = seen  # the cached property, which reads a file
    return found


@pytest.mark.parametrize(
    ("made", "images", "count", "note"),
    [
        ({"dataset": "mine"}, "unknown", None, "nor the number of test images are known"),
        ({"dataset": "mine", "images": (800, 200)}, "bounded", 200, "the 200 test images is an upper bound"),
        ({"dataset": "mine", "images": (800, 200), "splits": [0, 1, 2]}, "splits", 1000, "3 splits of the data"),
        ({"digests": ("d", "e")}, "bounded", 10_000, "the 10,000 test images is an upper bound"),
        ({"digests": ("d", "e"), "outcomes": {"base": 300}}, "bounded", 300, "the 300 test images"),
        ({"outcomes": {"base": 300}}, "measured", 300, "the rest from the test images"),
    ],
    ids=["nothing", "recorded", "splits", "two digests", "two digests with outcomes", "outcomes"],
)
def test_notes_say_what_is_known_of_the_test_images(made, images, count, note):
    found = experiment(**made)
    model = found.models[found.cells[0].place]
    assert (model.images, model.count) == (images, count)
    (text,) = noise_notes(found, found.comparisons)
    assert note in text
    table, _ = table1(found)
    assert text in table.notes


def test_other_data_do_not_narrow_an_interval():
    one, two = (experiment(digests=digests).comparisons["mnist", "base", "L"] for digests in ("dd", "de"))
    assert (two.low, two.high) == (one.low, one.high)


@pytest.mark.parametrize("runs", ["both", "first alone"])
def test_networks_together_know_as_much_as_each(runs):
    found = experiment("mine", images=(800, 200), architectures=["base", "vgg11"])
    if runs == "first alone":
        kept = found.runs[found.runs["architecture"] == "base"]
        found = Experiment(found.root, found.config, {**found.frames, "runs": kept})
        found.__dict__["outcomes"] = {}
    model = found.joint_model("mine")
    assert (model.images, model.count) == ("bounded", 200)


def test_networks_with_other_test_images_are_not_paired_image_by_image():
    found = experiment(architectures=["base", "vgg11"], outcomes={"base": 300, "vgg11": 300})
    assert found.joint_model("mnist").images == "measured"
    found = experiment(architectures=["base", "vgg11"], outcomes={"base": 300, "vgg11": 400})
    assert (found.joint_model("mnist").images, found.joint_model("mnist").count) == ("bounded", 300)
