"""Runs of one seed side by side, image by image."""

from __future__ import annotations

import numpy as np
import pytest

from linconv.report.plan import plan_outputs
from linconv.report.tables import TABLES, make_table
from linconv.results.outcomes import Outcomes
from linconv.statistics import holm, mcnemar, mcnemar_over_pairs
from tests.report.conftest import key, written

IMAGES = 300


def right(variant: str, seed: int, split: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, split, *variant.encode()])
    return rng.random(IMAGES) < (0.8 if variant == "conv" else 0.7)


@pytest.fixture
def experiment(tmp_path):
    """Two variants and two seeds on two splits; Lr has no outcomes of seed 1 on split 0, L none on split 1."""
    found = written(tmp_path, variants=["conv", "L", "Lr"], seeds=[0, 1], splits=[0, 1])
    runs = [(v, s, k) for k in (0, 1) for v in ("conv", "L", "Lr") for s in (0, 1)]
    runs = [run for run in runs if run not in (("Lr", 1, 0), ("L", 0, 1), ("L", 1, 1))]
    outcomes = {key(v, s)._replace(split=k): Outcomes(right(v, s, k), np.zeros(IMAGES)) for v, s, k in runs}
    found.__dict__["outcomes"] = outcomes
    return found


def test_pairs_of_one_seed_and_their_sums(experiment):
    table, frame = make_table(experiment, "pairs")
    rows = [(r.variant, r.split, str(r.seed)) for r in frame.itertuples()]
    assert rows == [
        ("L", 0, "0"),
        ("L", 0, "1"),
        ("L", 0, "all"),
        ("Lr", 0, "0"),
        ("Lr", 1, "0"),
        ("Lr", 1, "1"),
        ("Lr", 1, "all"),
    ]
    singles = [mcnemar(right(v, int(s), k), right("conv", int(s), k)) for v, k, s in rows if s != "all"]
    shown = frame[frame["seed"] != "all"]
    assert shown["variant_alone"].tolist() == [m.first for m in singles]
    assert shown["plain_alone"].tolist() == [m.second for m in singles]
    assert shown["p_adjusted"].tolist() == pytest.approx(holm([m.p for m in singles]), rel=5e-3)
    points = [100 * (m.first - m.second) / IMAGES for m in singles]
    assert shown["difference"].tolist() == pytest.approx(points)
    sums = [
        mcnemar_over_pairs(*(np.stack([right(v, s, k) for s in (0, 1)]) for v in pair))
        for *pair, k in (("L", "conv", 0), ("Lr", "conv", 1))
    ]
    summed = frame[frame["seed"] == "all"]
    assert summed["variant_alone"].tolist() == [m.first for m in sums]
    assert summed["p_adjusted"].tolist() == pytest.approx(holm([m.p for m in sums]), rel=5e-3)
    assert "over the 5 pairs" in table.caption
    assert [row[3].text for row in table.rows][-3:] == ["0, split 1", "1, split 1", "all, split 1"]


def test_a_small_p_is_not_written_as_0(tmp_path):
    found = written(tmp_path, variants=["conv", "L"], seeds=[0])
    answers = {"conv": np.ones(IMAGES, bool), "L": np.zeros(IMAGES, bool)}
    found.__dict__["outcomes"] = {key(v): Outcomes(given, np.zeros(IMAGES)) for v, given in answers.items()}
    (p,) = make_table(found, "pairs")[1]["p"]
    assert p == pytest.approx(2 * 0.5**IMAGES, rel=5e-3)  # 1e-90


def test_other_images_make_no_pair(experiment):
    place = experiment.runs["variant"] == "L"
    experiment.runs.loc[place & (experiment.runs["seed"] == 1), "data"] = "another"
    _, frame = make_table(experiment, "pairs")
    assert [str(s) for s in frame.loc[frame["variant"] == "L", "seed"]] == ["0"]


def test_without_outcomes_there_is_no_table(tmp_path):
    found = written(tmp_path, variants=["conv", "L"])
    left_out = {p.stem: p.why_not for p in plan_outputs(found, TABLES).left_out}
    assert left_out["pairs"] == "no variant has the outcome of every image beside the plain network of its seed"
