"""The answer: sentences with the numbers of the tables, what is missing, which experiment weighs most."""

from __future__ import annotations

from dataclasses import replace

import pytest

from linconv.report.answer import answers, leading, missing, sentences, weight
from linconv.report.answer.pages import experiment_markdown, experiments_markdown, runs_to_close
from linconv.report.tables.families import Family, families
from linconv.report.tables.ranking import ranking_parameters_table
from linconv.report.verdicts import difference_text
from tests.report.conftest import key, written

NARROW = {"narrow": {"layer": "conv", "narrow_to": "LRr"}}
VARIANTS = ["conv", "Lr", "LRr", "narrow"]
COSTS = {"conv": (1000, 2000), "Lr": (570, 1200), "LRr": (530, 1100), "narrow": (525, 1050)}
SPREAD = (-0.1, 0.0, 0.1, 0.05, -0.05)


def accuracies(variants=VARIANTS, seeds=5, **means):
    """An accuracy of every run: the mean of its variant (70 without one) and a small deviation by seed and variant."""
    return {
        key(variant, seed): means.get(variant, 70.0) + SPREAD[(seed + i) % 5]
        for i, variant in enumerate(variants)
        for seed in range(seeds)
    }


def experiment(root, *, variants=VARIANTS, seeds=5, define=NARROW, margin=15.0, **means):
    top1 = accuracies(variants, seeds, **means)
    changes = {"variants": variants, "seeds": list(range(seeds)), "define": define}
    changes["statistics"] = {"margin": {"digits": margin}}
    return written(root, top1=top1, costs={v: COSTS[v] for v in variants if v in COSTS}, **changes)


def test_a_narrower_network_that_is_better_is_the_answer(tmp_path):
    found = leading(experiment(tmp_path, Lr=50.0, LRr=20.0, narrow=50.0))
    verdict, beside_plain, beside_narrow = sentences(found)
    assert verdict.startswith("Use fewer channels rather than LinearConv: LRr (low-rank coefficients) is less accurate")
    plain, narrow = found.row("LRr").to_plain, found.row("LRr").to_narrow
    assert plain is found.experiment.comparisons["digits", "base", "LRr"]  # the tables' own
    assert narrow is found.experiment.controls["digits", "base", "LRr"]
    mean, _, interval = difference_text(plain).partition(" ")
    assert f"LRr has {mean} points {interval}, less accurate, at 53 % of the parameters and 55 % of" in beside_plain
    assert "(52 % of the parameters and 52 % of the multiply-accumulates)" in beside_narrow
    assert difference_text(narrow).split(" ")[0] in beside_narrow
    assert missing(found) == ""


@pytest.mark.parametrize(
    ("means", "margin", "said"),
    [
        ({"LRr": 90.0, "narrow": 50.0}, 15.0, "Use LinearConv here: LRr (low-rank coefficients) is more accurate"),
        ({}, 25.0, "equally accurate here: choose by cost"),
        ({"LRr": 60.0}, 25.0, "equally accurate here within ±25.00 points (LRr (low-rank coefficients) worse by less)"),
        ({}, 0.01, "Not decided: LinearConv is neither shown to be better nor worse"),
        ({"Lr": 97.0, "LRr": 40.0}, 15.0, "; Lr (full coefficients) is more accurate than it, with more parameters"),
    ],
)
def test_the_verdict_follows_the_tests(means, margin, said, tmp_path):
    assert said in sentences(leading(experiment(tmp_path, margin=margin, **means)))[0]


@pytest.mark.parametrize(
    ("parameters", "accuracy", "said"),
    [
        (250, 40.0, "LRr (low-rank coefficients) is less accurate than a plain network with fewer channels, but small"),
        (250, 97.0, "Use LinearConv here: LRr (low-rank coefficients) is more accurate than a plain network with few"),
        (900, 97.0, "LRr (low-rank coefficients) is more accurate than a plain network with fewer channels, but larg"),
        (900, 40.0, "Use fewer channels rather than LinearConv: LRr (low-rank coefficients) is less accurate than a "),
        (530, 97.0, "Use LinearConv here: LRr (low-rank coefficients) is more accurate than a plain network of the s"),
    ],
)
def test_of_the_same_size_is_said_of_equal_sizes_alone(parameters, accuracy, said, tmp_path, monkeypatch):
    monkeypatch.setitem(COSTS, "LRr", (parameters, 1100))
    found = leading(experiment(tmp_path, variants=["conv", "LRr", "narrow"], LRr=accuracy))
    assert sentences(found)[0].startswith(said)


def test_of_ranked_experiments_the_answer_has_the_intervals_of_the_ranking(tmp_path):
    define = NARROW | {"small": {"layer": "conv", "narrow_to": "Lr"}}
    variants = ["conv", "Lr", "LRr", "narrow", "small"]
    ranking = {"budgets": [0.55], "references": {"narrow": ["narrow", "small"], "LRr": "LRr"}}
    top1 = accuracies(variants, LRr=30.0)
    costs = COSTS | {"small": (568, 1150)}
    changes = {"variants": variants, "define": define, "seeds": list(range(5)), "ranking": ranking}
    found = leading(written(tmp_path, top1=top1, costs=costs, **changes))
    _, table = ranking_parameters_table(found.experiment)
    row = table.set_index("variant").loc["LRr"]
    assert found.narrow == row["narrow_reference"]
    assert found.row("LRr").to_narrow.low == pytest.approx(row["narrow_difference_low"])
    assert "Minus narrow or LRr: " in experiment_markdown(found.experiment)


def test_a_variant_of_the_same_size_that_is_as_accurate_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(COSTS, "Lr", (530, 1100))
    found = leading(experiment(tmp_path, LRr=40.0))
    assert sentences(found)[0] == (
        "Use fewer channels rather than LRr: LRr (low-rank coefficients) is less accurate than a plain network of the "
        "same size, while Lr (full coefficients) equals it within ±15.00 points."
    )


def test_a_variant_with_diverged_runs_is_not_advised(tmp_path):
    top1 = accuracies(["conv", "LRr", "narrow"], LRr=97.0)
    changes = {"variants": ["conv", "LRr", "narrow"], "define": NARROW, "seeds": list(range(5))}
    found = leading(written(tmp_path, top1=top1, costs=COSTS, diverged=[key("LRr", 1)], **changes))
    said = sentences(found)
    assert not said[0].startswith("Use LinearConv")
    assert said[-1].startswith("Base on Digits: of 5 runs each, LRr 1 diverged.")
    assert "Diverged runs are in no mean" in said[-1]


def test_what_is_missing_is_one_line(tmp_path):
    found = leading(experiment(tmp_path / "a", variants=["conv", "LRr"], define={}, LRr=30.0))
    assert sentences(found)[0].startswith("No answer yet: LRr (low-rank coefficients) is less accurate than the plain")
    assert "`narrow: {layer: conv, narrow_to: LRr}`" in missing(found)
    found = leading(experiment(tmp_path / "b", seeds=1))
    assert "nothing could be tested" in sentences(found)[0]
    assert missing(found).endswith("3 of each are needed (Conv has 1, Lr has 1, LRr has 1, narrow has 1).")
    found = leading(experiment(tmp_path / "c", variants=["conv"], define={}))
    assert missing(found) == "For an answer this lacks a finished run of a LinearConv variant."


def test_of_several_narrower_networks_that_of_the_size_of_linearconv_is_taken(tmp_path):
    other = {"narrow": {"layer": "conv", "narrow_to": "L"}, "small": {"layer": "conv", "narrow_to": "LRr"}}
    variants = ["conv", "LRr", "narrow", "small"]
    found = leading(experiment(tmp_path, variants=variants, define=other, LRr=30.0))
    assert found.narrow == "small"
    assert found.row("LRr").to_narrow.differs


def test_differences_to_narrower_networks_are_one_family_over_all_places(tmp_path):
    other = {"narrow": {"layer": "conv", "narrow_to": "LRr"}, "small": {"layer": "conv", "narrow_to": "L"}}
    variants = ["conv", "LRr", "narrow", "small"]
    top1 = {
        key(v, s, a): 70.0 + SPREAD[(s + i) % 5]
        for i, v in enumerate(variants)
        for s in range(5)
        for a in ("base", "vgg11")
    }
    changes = {"variants": variants, "define": other, "seeds": list(range(5))}
    both = answers(written(tmp_path / "two", top1=top1, architectures=["base", "vgg11"], **changes))
    (one,) = answers(written(tmp_path / "one", top1={k: v for k, v in top1.items() if k[1] == "base"}, **changes))
    (beside,) = (answer for answer in both if answer.place == one.place)
    wide, narrow = (answer.row("LRr").to_narrow for answer in (beside, one))
    assert wide.mean == narrow.mean
    assert wide.high - wide.low > narrow.high - narrow.low


def test_evidence_that_decides_weighs_more(tmp_path):
    decided = experiment(tmp_path / "decided", LRr=30.0, margin=25.0)
    undecided = experiment(tmp_path / "undecided", margin=0.01)
    assert weight(decided) > weight(undecided) > weight(experiment(tmp_path / "one", seeds=1))
    page = experiments_markdown([undecided, decided])
    assert page.index(sentences(leading(decided))[0]) < page.index(sentences(leading(undecided))[0])


def test_networks_come_in_the_order_of_their_weight(tmp_path):
    top1 = {
        key(v, s, a): 95.0 + SPREAD[(s + i) % 5]
        for i, v in enumerate(VARIANTS)
        for s in range(5)
        for a in ("base", "vgg11")
    }
    top1 |= {key("LRr", s, "vgg11"): 30.0 + SPREAD[s] for s in range(5)}
    changes = {
        "variants": VARIANTS,
        "define": NARROW,
        "seeds": list(range(5)),
        "statistics": {"margin": {"digits": 0.01}},
    }
    found = answers(written(tmp_path, top1=top1, architectures=["base", "vgg11"], **changes))
    assert [a.place[1] for a in found] == ["vgg11", "base"]


def test_the_page_of_an_experiment_has_its_differences_and_what_would_close_the_rest(tmp_path):
    found = experiment(tmp_path, margin=0.3, Lr=69.5)
    page = experiment_markdown(found)
    for heading in ("What was asked", "Differences and verdicts", "What stays open", "The runs"):
        assert f"## {heading}\n" in page
    assert difference_text(found.comparisons["digits", "base", "Lr"]) in page
    assert "Runs: 20 of 20 planned finished; seeds 0, 1, 2, 3, 4." in page
    assert "(figures/answer_digits_base.png)" in page


def test_runs_that_would_close_open_verdicts_count_the_reference_once(tmp_path):
    found = experiment(tmp_path)
    needed = {"Lr": 9, "LRr": 7, "narrow": None}
    family = families(found)[0]
    opened = Family(
        family.label,
        tuple(
            one._replace(comparison=replace(one.comparison, outcome="undecided", seeds_needed=needed[one.cell[2]]))
            for one in family.differences
        ),
    )
    assert all(c.tested for c in opened.comparisons)
    assert runs_to_close(found, opened) == (9 - 5) + (7 - 5) + (9 - 5)  # Lr, LRr, and conv with the most
