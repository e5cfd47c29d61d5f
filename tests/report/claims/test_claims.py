"""Verdicts on synthetic experiments whose truth is known."""

from __future__ import annotations

import json
import math

import pytest

from linconv.report import render_claims
from linconv.report.claims import ERRATA, claims, claims_markdown, protocol_deviations
from linconv.report.claims.accuracy import on_par
from linconv.report.source import load_experiment
from linconv.results import ResultError
from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from tests.report.conftest import key
from tests.results.factory import make_config, write_experiment, write_timings

SMALL = {"variants": ["conv", "L", "Lr", "LRr"], "complexity": {"architectures": ["base", "vgg11"]}}


def accuracies(**offsets):
    """Three seeds per variant: those of conv vary by 0.2, the others differ by their offset, give or take 0.02."""
    return {
        key(v, seed): 96 + 0.2 * seed + offset + 0.02 * (seed - 1) * (v != "conv")
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


@pytest.mark.parametrize(
    ("offsets", "verdict"),
    [
        ({"L": -0.1, "Lr": 0.0, "LRr": 0.1}, "supported"),
        ({"L": -0.1, "Lr": 0.0, "LRr": -3.0}, "not supported"),
        ({"L": -0.1, "Lr": 0.0, "LRr": 2.0}, "supported"),  # different, and better
    ],
)
def test_accuracy_on_par_follows_the_tests(collected, offsets, verdict):
    claim = verdicts(collected(top1=accuracies(**offsets), **SMALL))["accuracy-on-par"]
    assert claim.verdict == verdict
    assert claim.runs == ("digits/base/L", "digits/base/Lr", "digits/base/LRr")
    assert "Base on Digits 6 of 250" in claim.evidence


def test_accuracy_is_undecided_or_not_measured_rather_than_guessed(collected):
    wide = accuracies(L=0.0, Lr=0.0, LRr=0.0) | {key("L", 0): 94.0, key("L", 2): 99.0}
    assert verdicts(collected(top1=wide, **SMALL))["accuracy-on-par"].verdict == "undecided"
    few = verdicts(collected(seeds=[0, 1], **SMALL))
    assert few["accuracy-on-par"].verdict == "not measured"
    assert "3 with too few runs" in few["accuracy-on-par"].evidence
    assert few["plug-and-play"].verdict == "undecided"


def test_a_diverged_run_speaks_against_plug_and_play(collected):
    good = accuracies(L=0.0, Lr=0.0, LRr=0.0)
    assert verdicts(collected(top1=good, **SMALL))["plug-and-play"].verdict == "supported"
    claim = verdicts(collected(top1=good, diverged=[key("LRr", 1)], **SMALL))["plug-and-play"]
    assert claim.verdict == "not supported"
    assert "8 of 9 planned runs of variants finished" in claim.evidence


def test_one_network_decides_about_the_parameters(collected):
    # the paper's counts: base 0.23 / 0.40 = 0.57, vgg11 4.92 / 9.23 = 0.53; L has 0.50 in the synthetic counts
    define = {"variants": ["conv", "Lr"], "complexity": {"architectures": ["base", "vgg11"]}}
    assert verdicts(collected(**define))["parameters-full"].verdict == "supported"
    define["complexity"] = {"architectures": ["base", "mobilenetv2"]}
    claim = verdicts(collected(**define))["parameters-full"]
    assert claim.verdict == "not supported"
    assert "1 of 2 networks" in claim.evidence
    assert "MobileNetV2-Lr 1.70" in claim.evidence


def test_operations_decide_about_feature_space_and_overhead(collected):
    root = collected(**SMALL)
    before = verdicts(root)
    assert before["feature-space-macs"].verdict == "not supported"  # all synthetic counts are alike
    assert before["low-rank-overhead"].verdict == "not supported"
    assert before["inference-computation"].verdict == "not supported"  # params_folded are not conv's

    def edit(record):
        for model in record["models"]:
            model["params_folded"] = 1
            if model["variant"] != "conv":
                model["macs_feature"] //= 2
                model["macs_train_weight"] = 15_300_000 if model["variant"] == "LRr" else 16_000_000

    changed(root, "complexity.json", edit, **SMALL)
    after = verdicts(root)
    assert after["feature-space-macs"].verdict == "supported"
    assert "from 0.50 to 0.50" in after["feature-space-macs"].evidence
    assert after["low-rank-overhead"].verdict == "supported"
    assert "Base 5.3 % to 0.7 %" in after["low-rank-overhead"].evidence
    assert after["inference-computation"].verdict == "supported"


def test_orthogonality_compares_lr_with_l_by_seed(collected):
    root = collected(**SMALL)
    # the factory gives every seed the same correlations: no variance, hence nothing is decided
    assert verdicts(root)["orthogonal-primaries"].verdict == "undecided"
    assert "no variance" in verdicts(root)["orthogonal-primaries"].evidence
    for seed, noise in enumerate((0.0, 0.01, -0.01)):

        def edit(record, noise=noise):
            for layer in record["layers"]:
                layer["primary_mean_abs_correlation"] += noise
                layer["mean_abs_correlation"] = 0.3 + noise

        changed(root, key("L", seed).path / "result.json", edit, **SMALL)
    claim = verdicts(root)["orthogonal-primaries"]
    assert claim.verdict == "supported"
    assert "0.010, minus L -0.090 [-0.115, -0.065], n = 3" in claim.evidence
    assert claim.runs == ("digits/base/L", "digits/base/Lr")


def test_the_paper_columns_are_a_claim(collected):
    root = collected()
    assert verdicts(root)["printed-columns"].verdict == "supported"
    some = verdicts(collected(**SMALL))["printed-columns"]
    assert some.verdict == "undecided"
    assert "24 were not counted" in some.evidence
    root = collected()
    changed(root, "complexity.json", lambda r: r["models"][0].update(params=999_999))
    assert verdicts(root)["printed-columns"].verdict == "not supported"


SPEED = ("inference-speed", "feature-space-inference", "feature-space-training")


def test_time_is_not_measured(collected):
    found = verdicts(collected(seeds=[0]))
    assert {found[name].verdict for name in SPEED} == {"not measured"}


@pytest.mark.parametrize(
    ("ratios", "wanted"),
    [
        ({"auto": 0.7, "weight": 1.2, "folded": 1.005}, ("supported", "supported", "supported")),
        ({"auto": 1.005, "weight": 1.2, "folded": 1.04}, ("supported", "undecided", "undecided")),
        ({"auto": 1.1, "weight": 1.2, "folded": 1.06}, ("not supported", "not supported", "not supported")),
        ({"auto": 0.7, "weight": 1.2, "folded": 0.9}, ("not supported", "supported", "supported")),
    ],
)
def test_claims_about_time_follow_the_timings(tmp_path, ratios, wanted):
    config = make_config(throughput={"architectures": ["base"], "variants": ["Lr"], "batches": [50, 1], "rounds": 5})
    write_experiment(tmp_path, config)
    write_timings(tmp_path, config, ratios)
    collect(config, tmp_path)
    found = verdicts(tmp_path)
    assert tuple(found[name].verdict for name in SPEED) == wanted
    assert f"Not folded, in weight space: {ratios['weight']:.2f} to" in found["inference-speed"].evidence
    told = "Faster" if ratios["auto"] < 0.9 else "Not faster"
    for name in SPEED[1:]:
        assert "with mode auto, feature space wherever it is expected to pay, is faster" in found[name].statement
        assert f"{told}: Base at batch 50 (-Lr {ratios['auto']:.2f}); Base at batch 1" in found[name].evidence


def test_without_results_nothing_is_claimed():
    assert {claim.verdict for claim in claims([])} == {"not measured"}
    assert "not measured" in claims_markdown(claims([]))


def test_the_page(collected, tmp_path):
    root = collected(seeds=[0])
    path = render_claims(root)
    assert path == root / "claims.md"
    text = path.read_text()
    experiment = load_experiment(root)
    for claim in claims([experiment]):
        assert f"## {claim.statement}" in text
        assert claim.evidence in text
        assert claim.rule in text
    assert all(erratum in text for erratum in ERRATA)
    assert "`toy`: epochs 6 instead of 250 (Base on Digits)." in protocol_deviations([experiment])
    assert render_claims(root).read_text() == text


def test_a_folder_of_experiments_gives_one_page(collected, tmp_path):
    root = collected(**SMALL)
    both = tmp_path / "all"
    both.mkdir()
    for name in ("a", "b"):
        (both / name).symlink_to(root)
    text = render_claims(both).read_text()
    assert "6 cells with 3 or more pairs" in text
    (both / "none").mkdir()
    with pytest.raises(ResultError, match="none: holds no experiment"):
        render_claims(both / "none")


OWN = {
    "few": {"extends": "L", "options": {"primary_ratio": 0.1}},
    "stem": {"extends": "L", "skip_first": True},
    "head": {"extends": "L", "skip_last": True},
    "some": {"extends": "L", "include": ["features.*"]},
    "cheap": {"extends": "LRr", "only_where_saves": True},
    "warm": {"extends": "L", "warm_start": 0.5},
    "drawn": {"extends": "L", "regularizers": [{"name": "conv_orthogonal"}]},
}


def test_variants_of_ones_own_are_no_evidence(collected):
    """Bad results, counts and timings of other layers than the paper's change no verdict, and are named."""
    good = accuracies(L=-0.1, Lr=0.0, LRr=0.1)
    alone = verdicts(collected(top1=good, **SMALL))
    mixed = SMALL | {"variants": [*SMALL["variants"], *OWN], "define": OWN}
    bad = {key(v, seed): 50.0 + seed for v in OWN for seed in range(3)}
    root = collected(top1=good | bad, diverged=[key("few", 2)], **mixed)
    found = verdicts(root)
    assert {i: c.verdict for i, c in found.items()} == {i: c.verdict for i, c in alone.items()}
    assert found["accuracy-on-par"].verdict == "supported"
    for claim in found.values():
        for name in ("few", "stem", "head", "cheap", "warm", "drawn"):
            assert f" {name}" not in claim.evidence, claim
        assert not any(run.endswith(f"/{name}") for run in claim.runs for name in OWN)
    said = [line for line in protocol_deviations([load_experiment(root)]) if "no evidence" in line]
    assert said == [
        "`toy`: no evidence for any claim, since they are not LinearConv in every convolution with half of the filters "
        "primary from the first step on, with the paper's regularisers alone: few, stem, head, some, cheap, warm, "
        "drawn."
    ]
    assert not any("no evidence" in line for line in protocol_deviations([load_experiment(collected(**SMALL))]))


def test_a_redefined_variant_is_not_the_papers(collected):
    define = {"Lr": {"extends": "Lr", "options": {"primary_ratio": 0.25}}}
    found = verdicts(collected(define=define))
    assert found["orthogonal-primaries"].verdict == found["redundancy-controlled"].verdict == "not measured"
    assert found["printed-columns"].verdict == "undecided"  # its six networks twice count as missing
    assert "12 were not counted" in found["printed-columns"].evidence
    assert not any(run.endswith("/Lr") for run in found["accuracy-on-par"].runs)


def test_timings_of_ones_own_variants_decide_nothing(tmp_path):
    timed = {"architectures": ["base"], "variants": ["few"], "batches": [50], "rounds": 5}
    config = make_config(define={"few": OWN["few"]}, throughput=timed)
    write_experiment(tmp_path, config)
    write_timings(tmp_path, config, {"auto": 0.5, "weight": 1.2, "folded": 1.5})
    collect(config, tmp_path)
    found = verdicts(tmp_path)
    assert {found[name].verdict for name in SPEED} == {"not measured"}


@pytest.mark.parametrize(
    ("networks", "params", "macs", "verdict"),
    [
        (["mobilenetv2", "squeezenet"], 0.7, 0.7, "supported"),
        (["mobilenetv2", "squeezenet"], 1.7, 1.2, "supported"),
        (["mobilenetv2", "squeezenet", "base"], 0.7, 0.7, "supported"),  # base is of ungrouped 3x3 convolutions
        (["mobilenetv2", "squeezenet"], 0.7, 0.6, "not supported"),
        (["mobilenetv2", "squeezenet"], 0.55, 0.9, "not supported"),
        (["mobilenetv2", "base"], 1.7, 1.2, "undecided"),  # one example
        (["base", "vgg11"], 1.7, 1.2, "not measured"),
    ],
)
def test_where_it_does_not_pay_needs_more_than_one_example(collected, networks, params, macs, verdict):
    config = {"variants": ["conv", "L", "Lr", "LRr"], "complexity": {"architectures": networks}}
    root = collected(**config)

    def edit(record):
        plain = {m["architecture"]: m for m in record["models"] if m["variant"] == "conv"}
        for model in record["models"]:
            if model["variant"] in ("L", "Lr"):
                model["params"] = round(params * plain[model["architecture"]]["params"])
                model["macs_feature"] = round(macs * plain[model["architecture"]]["macs_feature"])

    changed(root, "complexity.json", edit, **config)
    claim = verdicts(root)["where-it-does-not-pay"]
    assert claim.verdict == verdict
    grown = "MobileNetV2, SqueezeNet" if params > 1 and "squeezenet" in networks else "none"
    assert verdict in ("undecided", "not measured") or claim.evidence.endswith(f"in one of both: {grown}.")


def test_validation_is_a_deviation(collected):
    plain = " ".join(protocol_deviations([load_experiment(collected(**SMALL))]))
    assert "validation" not in plain
    held_out = SMALL | {"validation": {"share": 0.25}}
    said = protocol_deviations([load_experiment(collected(**held_out))])
    assert "`toy`: 25 % of the training images are held out for validation, not trained on." in said
    assert not any("best accuracy" in line for line in said)
    chosen = held_out | {"report_epoch": "best_validation"}
    said = protocol_deviations([load_experiment(collected(**chosen))])
    assert any("of the epoch with the best accuracy on the validation part" in line for line in said)


def test_claims_are_about_linear_convolutions(collected):
    regularised = {"layer": "conv", "regularizers": [{"name": "correlation", "acts_on": "filters"}]}
    worse = {key("conv_reg", k): 90.0 + 0.01 * k for k in range(3)}
    root = collected(variants=["conv", "L", "conv_reg"], define={"conv_reg": regularised}, top1=worse)
    experiment = load_experiment(root)
    assert experiment.comparisons["digits", "base", "conv_reg"].outcome == "different"
    (claim,) = on_par([experiment])
    assert claim.runs == ("digits/base/L",)
    assert claim.verdict != "not supported"
    assert math.isfinite(experiment.comparisons["digits", "base", "L"].p_difference)
