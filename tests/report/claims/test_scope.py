"""Variants of one's own, other networks and chosen epochs are no evidence for claims about the paper's variants."""

from __future__ import annotations

from linconv.report.claims import protocol_deviations
from linconv.report.claims.accuracy import on_par
from linconv.report.source import load_experiment
from linconv.results.collect import collect
from tests.report.claims.common import SMALL, SPEED, WHOLE, accuracies, verdicts
from tests.report.conftest import key
from tests.results.factory import make_config, write_experiment, write_timings

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
    alone = verdicts(collected(top1=good, **WHOLE))
    mixed = WHOLE | {"variants": [*SMALL["variants"], *OWN], "define": OWN}
    bad = {key(v, seed, dataset="mnist"): 50.0 + seed for v in OWN for seed in range(3)}
    root = collected(top1=good | bad, diverged=[key("few", 2, dataset="mnist")], **mixed)
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
        "primary from the first step on, with the paper's regularizers alone: few, stem, head, some, cheap, warm, "
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
    regularized = {"layer": "conv", "regularizers": [{"name": "correlation", "acts_on": "filters"}]}
    worse = {key("conv_reg", k, dataset="mnist"): 90.0 + 0.01 * k for k in range(3)}
    config = WHOLE | {"variants": ["conv", "L", "conv_reg"], "define": {"conv_reg": regularized}}
    experiment = load_experiment(collected(top1=accuracies(L=0.0) | worse, **config))
    assert experiment.comparisons["mnist", "base", "conv_reg"].outcome == "different"
    (claim,) = on_par([experiment])
    assert claim.runs == ("mnist/base/L",)
    assert claim.verdict == "supported"
    assert experiment.comparisons["mnist", "base", "L"].tested
