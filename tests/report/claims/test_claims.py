"""Verdicts on synthetic experiments whose truth is known."""

from __future__ import annotations

import inspect
import pkgutil
import re
from importlib import import_module

import pytest

from linconv.catalogue.claims import CLAIMS
from linconv.report import claims as room
from linconv.report import render_claims
from linconv.report.claims import ERRATA, claims, claims_markdown, protocol_deviations
from linconv.report.source import load_experiment
from linconv.results import ResultError
from linconv.results.collect import collect
from tests.report.claims.common import SMALL, SPEED, WHOLE, accuracies, changed, verdicts
from tests.report.conftest import key
from tests.results.factory import make_config, write_experiment, write_timings


def test_no_claim_is_forgotten():
    """Every public function of the room that yields claims is on the page."""
    modules = [import_module(f"{room.__name__}.{module.name}") for module in pkgutil.iter_modules(room.__path__)]
    functions = {
        f for module in modules for name, f in inspect.getmembers(module, inspect.isfunction) if name[0] != "_"
    }
    yielding = {f for f in functions if inspect.signature(f).return_annotation == "Iterator[Claim]"}
    assert yielding == {entry.load() for entry in CLAIMS.values()}


@pytest.mark.parametrize(
    ("offsets", "verdict"),
    [
        ({"L": -0.1, "Lr": 0.0, "LRr": 0.1}, "supported"),
        ({"L": -0.1, "Lr": 0.0, "LRr": -3.0}, "not supported"),
        ({"L": -0.1, "Lr": 0.0, "LRr": 2.0}, "supported"),  # different, and better
    ],
)
def test_accuracy_on_par_follows_the_tests(collected, offsets, verdict):
    claim = verdicts(collected(top1=accuracies(**offsets), **WHOLE))["accuracy-on-par"]
    assert claim.verdict == verdict
    assert claim.runs == ("mnist/base/L", "mnist/base/Lr", "mnist/base/LRr")
    assert claim.preliminary == ""
    assert "3 cells with 3 or more runs" in claim.evidence
    assert "margin ±1.00 (26 % of the error)" in claim.evidence


def test_short_training_decides_nothing(collected):
    """The same accuracies with 6 and with 225 of 250 epochs."""
    bad = accuracies(L=-3.0, Lr=0.0, LRr=0.1)
    short = WHOLE | {"recipe": {"overrides": [{"set": {"epochs": 6}}]}}
    found = verdicts(collected(top1=bad, **short))
    for name in ("accuracy-on-par", "plug-and-play"):
        assert found[name].verdict == "not measured"
        assert found[name].evidence == "No cell had 90 % or more of the paper's epochs."
        assert found[name].runs == ()
    assert "(Base on MNIST 2.4 %): 3 cells" in found["accuracy-on-par"].preliminary
    assert "Base-L on MNIST -3.00" in found["accuracy-on-par"].preliminary
    assert found["plug-and-play"].preliminary.endswith("finished; below Conv: Base-L on MNIST.")
    enough = verdicts(collected(top1=bad, **WHOLE | {"recipe": {"overrides": [{"set": {"epochs": 225}}]}}))
    assert enough["accuracy-on-par"].verdict == "not supported"


def test_accuracy_is_undecided_or_not_measured_rather_than_guessed(collected):
    wide = accuracies(L=0.0, Lr=0.0, LRr=0.0) | {key("L", k, dataset="mnist"): x for k, x in ((0, 94.0), (2, 99.0))}
    assert verdicts(collected(top1=wide, **WHOLE))["accuracy-on-par"].verdict == "undecided"
    few = verdicts(collected(**WHOLE | {"seeds": [0, 1]}))
    assert few["accuracy-on-par"].verdict == "undecided", "measured, but too few runs"
    assert "3 with too few runs" in few["accuracy-on-par"].evidence
    assert few["plug-and-play"].verdict == "undecided"


def test_another_start_than_the_papers_is_no_evidence(collected):
    define = {"own": {"extends": "L", "options": {"init": "variance_preserving"}}}
    config = WHOLE | {"variants": ["conv", "L", "own"], "define": define}
    found = verdicts(collected(top1=accuracies(L=0.0, own=-5.0), **config))
    assert found["accuracy-on-par"].verdict == found["plug-and-play"].verdict == "supported"
    assert found["accuracy-on-par"].runs == ("mnist/base/L",)


def test_a_diverged_run_speaks_against_plug_and_play(collected):
    good = accuracies(L=0.0, Lr=0.0, LRr=0.0)
    assert verdicts(collected(top1=good, **WHOLE))["plug-and-play"].verdict == "supported"
    lost = {"diverged": [key("LRr", 1, dataset="mnist")]}
    claim = verdicts(collected(top1=good, **lost, **WHOLE))["plug-and-play"]
    assert claim.verdict == "not supported"
    assert claim.evidence.startswith("Diverged runs: Base-LRr on MNIST 1 of 3.")
    short = WHOLE | {"recipe": {"overrides": [{"set": {"epochs": 6}}]}}
    assert verdicts(collected(top1=good, **lost, **short))["plug-and-play"].verdict == "not supported"


@pytest.mark.parametrize(
    ("plain", "verdict", "said"),
    [
        ([0, 1, 2], "undecided", "Diverged where Conv's run did not finish either, which decides nothing: Base-L"),
        ([1], "undecided", "which decides nothing: Base-L on MNIST 1 of 3."),
        ([0], "not supported", "Diverged runs: Base-L on MNIST 1 of 3."),
    ],
    ids=["all of both", "the same seed", "another seed"],
)
def test_a_run_that_diverges_as_convs_does_is_no_evidence(collected, plain, verdict, said):
    lost = [key("conv", k, dataset="mnist") for k in plain]
    lost += [key("L", k, dataset="mnist") for k in ([0, 1, 2] if len(plain) == 3 else [1])]
    found = verdicts(collected(top1=accuracies(L=0.0), diverged=lost, **WHOLE | {"variants": ["conv", "L"]}))
    assert found["plug-and-play"].verdict == verdict
    assert said in found["plug-and-play"].evidence
    assert found["accuracy-on-par"].verdict == "undecided"


def test_claims_over_several_experiments_are_one_family(collected):
    """Six experiments with a level each once found a variant below Conv in 15 % of all cases without a difference."""
    experiment = load_experiment(collected(top1=accuracies(L=-0.3, Lr=0.0, LRr=0.1), **WHOLE))
    one, six = ({c.id: c for c in claims([experiment] * n)}["accuracy-on-par"] for n in (1, 6))
    first = re.compile(r"Base-L on MNIST -0\.30 \[(\S+), (\S+)\]")
    low, high = map(float, first.search(one.evidence).groups())
    wider_low, wider_high = map(float, first.search(six.evidence).groups())
    assert wider_low < low < high < wider_high
    assert "18 cells with 3 or more runs" in six.evidence


def test_one_network_decides_about_the_parameters(collected):
    # the paper's counts: base 0.23 / 0.40 = 0.57, vgg11 4.92 / 9.23 = 0.53; L has 0.50 in the synthetic counts
    define = {"variants": ["conv", "Lr"], "complexity": {"architectures": ["base", "vgg11"]}}
    claim = verdicts(collected(**define))["parameters-full-in-every-network"]
    assert claim.verdict == "undecided", "two networks are not every one"
    assert claim.evidence.endswith("Not counted: AllConv, ResNet-18, ResNeXt-29, MobileNetV2.")
    define["complexity"] = {"architectures": ["base", "mobilenetv2"]}
    claim = verdicts(collected(**define))["parameters-full-in-every-network"]
    assert claim.verdict == "not supported"
    assert "1 of 2 networks" in claim.evidence
    assert "MobileNetV2-Lr 1.70" in claim.evidence


def test_the_average_is_over_the_papers_networks(collected):
    """The paper's own counts: 0.57, 0.53, 0.54, 0.54, 0.71 and 1.70 with Lr, about half with LRr."""
    found = verdicts(collected(variants=["conv", "Lr", "LRr"]))
    full, low = (found[f"parameters-{kind}-on-average"] for kind in ("full", "low-rank"))
    assert (full.verdict, low.verdict) == ("not supported", "supported")
    assert full.evidence.startswith("Mean 0.77 of Conv's parameters over 6 networks")
    assert full.quote == low.quote == "almost a 50% reduction in parameters on average"
    some = verdicts(collected(**SMALL))["parameters-low-rank-on-average"]
    assert some.verdict == "undecided"
    assert some.evidence.endswith("Not counted: AllConv, ResNet-18, ResNeXt-29, MobileNetV2.")


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


def test_the_paper_columns_are_a_claim(collected):
    root = collected()
    assert verdicts(root)["printed-columns"].verdict == "supported"
    some = verdicts(collected(**SMALL))["printed-columns"]
    assert some.verdict == "undecided"
    assert "24 were not counted" in some.evidence
    root = collected()
    changed(root, "complexity.json", lambda r: r["models"][0].update(params=999_999))
    assert verdicts(root)["printed-columns"].verdict == "not supported"


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
    config = make_config(throughput={"architectures": ["base"], "variants": ["Lr"], "batches": [50, 1], "rounds": 9})
    write_experiment(tmp_path, config)
    write_timings(tmp_path, config, ratios)
    collect(config, tmp_path)
    found = verdicts(tmp_path)
    assert tuple(found[name].verdict for name in SPEED) == wanted
    assert f"Not folded, in weight space: {ratios['weight']:.2f} to" in found["inference-speed"].preliminary
    told = "Faster" if ratios["auto"] < 0.9 else "Not faster"
    for name in SPEED[1:]:
        assert "with mode auto, feature space wherever it is expected to pay, is faster" in found[name].statement
        assert f"{told}: Base at batch 50 (Lr {ratios['auto']:.2f}); Base at batch 1" in found[name].evidence


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
        assert claim.quote in text
        assert claim.preliminary in text
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
    assert "6 cells with 3 or more runs" in text
    (both / "none").mkdir()
    with pytest.raises(ResultError, match="none: holds no experiment"):
        render_claims(both / "none")


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
