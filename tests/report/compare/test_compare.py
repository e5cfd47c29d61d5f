"""Two folders side by side: the interval of a difference, and what a reader is told."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from scipy import stats

from linconv.config import plan_runs
from linconv.report.compare import compare_folders
from linconv.report.compare.change import change
from linconv.results import ComplexityResult, ResultError, RunResult, read_result, write_result
from linconv.results.integrity import sealed_text
from tests.report.conftest import key
from tests.results.factory import make_config, write_experiment, write_timings


def machine(tmp_path, name, skip=(), top1=None, diverged=(), **changes):
    return write_experiment(tmp_path / name, make_config(**changes), skip=skip, top1=top1, diverged=diverged)


def rows(text: str, caption: str) -> list[list[str]]:
    """The cells of the table below a caption."""
    block = text.split(caption)[1].split("\n\n")[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]


def test_paired_by_hand():
    # differences 0.5, 1.0, 1.5: mean 1, sd 0.5, half width t(0.975, 2) 0.5 / sqrt 3 = 4.30265 * 0.288675 = 1.24207
    got = change({0: 90.0, 1: 92.0, 2: 97.0, 9: 10.0}, {0: 90.5, 1: 93.0, 2: 98.5})
    assert got[:2] == ("paired", 3)
    assert got[2:] == pytest.approx((1.0, -0.24207, 2.24207), abs=1e-5)


def test_welch_by_hand():
    # A: mean 2, variance 2 of 2; B: mean 7, variance 7 of 3. Squared standard error 2/2 + 7/3 = 10/3; Welch and
    # Satterthwaite's degrees of freedom (10/3)^2 / (1^2 / 1 + (7/3)^2 / 2) = 11.1111 / 3.7222 = 2.98507
    half = stats.t.ppf(0.975, 2.9850746) * math.sqrt(10 / 3)
    got = change({0: 1.0, 1: 3.0}, {5: 5.0, 6: 6.0, 7: 10.0})
    assert got[:2] == ("Welch", 2)
    assert got[2:] == pytest.approx((5.0, 5.0 - half, 5.0 + half), abs=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}, ("paired", 2, 0.0, math.nan, math.nan)),
        ({0: 90.1, 1: 70.3}, {0: 91.2, 1: 71.4}, ("paired", 2, 1.1, math.nan, math.nan)),
        ({0: 5.0, 1: 5.0}, {2: 6.0, 3: 6.0}, ("Welch", 2, 1.0, math.nan, math.nan)),
        ({0: 5.1, 1: 5.1, 2: 5.1}, {4: 6.3, 5: 6.3, 6: 6.3}, ("Welch", 3, 1.2, math.nan, math.nan)),
        ({0: 5.0}, {0: 6.0}, ("none", 1, 1.0, math.nan, math.nan)),
        ({0: 5.0}, {1: 6.0, 2: 8.0}, ("none", 1, 2.0, math.nan, math.nan)),
        ({}, {1: 6.0, 2: 8.0}, ("none", 0, math.nan, math.nan, math.nan)),
        ({}, {}, ("none", 0, math.nan, math.nan, math.nan)),
    ],
)
def test_few_or_constant_values(a, b, expected):
    got = change(a, b)
    assert got[:2] == expected[:2]
    assert got[2:] == pytest.approx(expected[2:], nan_ok=True)


def test_equal_folders_are_said_to_be_equal(tmp_path):
    a, b = machine(tmp_path, "a"), machine(tmp_path, "b")
    text = compare_folders(a, b)
    assert text.startswith(f"# A: `{a}`, B: `{b}`\n")
    assert "* All 15 runs in both folders have equal results, to the last bit of every metric; 0 only in A" in text
    assert "of all 35 networks counted in both are equal" in text
    assert {row[-3] for row in rows(text, "Top-1 accuracy")} == {"equal"}
    assert {row[-1] for row in rows(text, "Top-1 accuracy")} == {"3 of 3"}
    assert {row[-1] for row in rows(text, "Where the results come from")} == {"yes"}
    assert "that differ." not in text
    assert "where it differs" not in text


def test_differences_have_their_interval_and_other_seeds_are_independent(tmp_path):
    a = machine(tmp_path, "a", seeds=[0, 1, 2], top1={key("L", s): 90.0 + s for s in range(3)})
    b = machine(tmp_path, "b", seeds=[1, 2, 3], top1={key("L", s): 91.0 + s for s in range(4)})
    by_variant = {row[2]: row for row in rows(compare_folders(a, b), "Top-1 accuracy")}
    assert by_variant["L"][5:] == ["+1.00", "paired (2)", "0 of 2"]
    assert by_variant["L"][3].startswith("91.00 [")
    c = machine(tmp_path, "c", seeds=[7, 8, 9])
    text = compare_folders(a, c)
    assert {row[6] for row in rows(text, "Top-1 accuracy")} == {"Welch (3, 3)"}
    assert "No run is in both folders; 15 only in A, 15 only in B." in text


def test_other_code_hardware_configuration_and_counts_are_listed(tmp_path):
    a = machine(tmp_path, "a")
    b = machine(tmp_path, "b", recipe={"overrides": [{"set": {"epochs": 4}}]})
    for run in plan_runs(make_config()):
        file = b / run.path / "result.json"
        result = read_result(file, RunResult)
        origin = result.provenance.model_copy(update={"hardware": {"cpu": "Pipe | CPU", "cores": 64}})
        metrics = result.metrics.model_copy(update={"params": result.metrics.params + 1})
        changed = {"code_hash": "f" * 16, "provenance": origin, "metrics": metrics}
        write_result(file, result.model_copy(update=changed))
    counted = read_result(b / "complexity.json", ComplexityResult)
    models = [replace(counted.models[0], macs_feature=30_400_000), *counted.models[1:]]
    write_result(b / "complexity.json", counted.model_copy(update={"models": models}))
    text = compare_folders(a, b)
    assert "Of 15 runs in both folders, 0 have equal results" in text
    assert "Parameters or multiply-accumulates of 1 of 35 networks differ." in text
    assert ["Base", "Conv", "macs_feature", "15,200,000", "30,400,000", "2.000"] in rows(text, "that differ.")
    assert ["Base on Digits", "Conv", "params as trained", "402,000", "402,001", "1.000"] in rows(text, "that differ.")
    assert ["recipe.epochs", "6", "4", "15 of 15"] in rows(text, "where it differs")
    origins = {row[0]: row[1:] for row in rows(text.replace(r"\|", "/"), "Where the results come from")}
    assert origins["code_hash"] == ["0123456789abcdef", "f" * 16, "no"]
    assert origins["hardware.cpu"] == ["Toy CPU & Co", "Pipe / CPU", "no"]
    assert origins["versions.torch"] == ["2.14.1", "2.14.1", "yes"]


TIMED = {"throughput": {"architectures": ["base"], "variants": ["Lr"], "batches": [50, 1], "rounds": 5}}


def timed(tmp_path, name, ratios, changes=None, skip=()):
    """A folder with timings; `changes` of the provenance are those of another machine."""
    config = make_config(seeds=[0], **TIMED)
    root = machine(tmp_path, name, seeds=[0], **TIMED)
    write_timings(root, config, ratios, skip=skip)
    for file in (root / "throughput").glob("*.json"):
        record = json.loads(file.read_text())
        record["provenance"] |= changes or {}
        file.write_text(sealed_text(record))
    return root


def test_timings_stand_side_by_side(tmp_path):
    a = timed(tmp_path, "a", {"auto": 0.8, "weight": 1.2})
    b = timed(tmp_path, "b", {"auto": 0.5, "folded": 1.0}, skip=("base_training_b1_fp32_eager",))
    text = compare_folders(a, b)
    assert "* 6 timings are in both folders, made on devices of one kind: Toy CPU & Co" in text
    found = {tuple(row[:6]): row[6:] for row in rows(text, "Images per second")}
    assert len(found) == 6  # weight is in A only, folded in B only, one cell in A only
    # rounds of 1 to 5 seconds per image: the median of the plain network is 3 seconds
    assert found["Base", "inference", "50", "fp32", "Conv", "plain"] == ["0.3", "0.3", "1.000", "1.000", "1.000"]
    assert found["Base", "training", "50", "fp32", "Lr", "auto"] == ["0.4", "0.7", "1.600", "0.800", "0.500"]
    assert ("Base", "training", "1", "fp32", "Lr", "auto") not in found


def test_timings_of_different_devices_are_said_to_be(tmp_path):
    a = timed(tmp_path, "a", {"auto": 0.8})
    b = timed(tmp_path, "b", {"auto": 0.8}, {"hardware": {"cpu": "Other CPU"}})
    text = compare_folders(a, b)
    assert "8 timings are in both folders, made on different devices: Toy CPU & Co" in text
    assert "Other CPU" in text
    c = machine(tmp_path, "c", seeds=[0])
    assert "No timing is in both folders." in compare_folders(a, c)
    untimed = compare_folders(c, machine(tmp_path, "d", seeds=[0]))
    assert "in both folders, made on" not in untimed
    assert "No timing" not in untimed


def test_folders_of_experiments_are_matched_by_name(tmp_path):
    for side in "ab":
        machine(tmp_path, f"{side}/one", experiment="one", seeds=[0])
        machine(tmp_path, f"{side}/{side}", experiment=f"only_{side}", seeds=[0])
    text = compare_folders(tmp_path / "a", tmp_path / "b")
    assert re.findall(r"^## (.*)$", text, re.M) == ["one"]
    assert f"Only in `{tmp_path / 'a'}`: only_a." in text
    assert f"Only in `{tmp_path / 'b'}`: only_b." in text


def nothing_run(tmp_path):
    config = make_config(seeds=[0])
    for side in "ab":
        write_experiment(tmp_path / side, config, skip=plan_runs(config))
    return "Neither folder has a finished run."


def one_seed(tmp_path):
    machine(tmp_path, "a", seeds=[0]), machine(tmp_path, "b", seeds=[0], top1={key("L"): 90.0})
    return r"-6\.\d\d \| -  "


def all_diverged(tmp_path):
    config = make_config(seeds=[0])
    for side in "ab":
        machine(tmp_path, side, seeds=[0], diverged=plan_runs(config))
    return "-, 1 diverged"


def variant_missing(tmp_path):
    machine(tmp_path, "a"), machine(tmp_path, "b", variants=["conv", "L"])
    return "9 only in A, 0 only in B"


def damaged_json(tmp_path):
    machine(tmp_path, "a"), machine(tmp_path, "b")
    (tmp_path / "b" / key("L").path / "result.json").write_text("{")
    (tmp_path / "b" / "complexity.json").write_text("")
    return "B, not readable and left out: .*base/L/seed0/result.json: file: Invalid JSON"


def newer_schema(tmp_path):
    machine(tmp_path, "a"), machine(tmp_path, "b")
    file = tmp_path / "b" / key("L").path / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 3}))
    return "B, not readable and left out: .*written by a newer linconv"


def only_b(tmp_path):
    config = make_config(seeds=[0])
    write_experiment(tmp_path / "a", config, skip=plan_runs(config))
    machine(tmp_path, "b", seeds=[0])
    return "No run is in both folders; 0 only in A, 5 only in B."


SHOWN = [nothing_run, one_seed, all_diverged, variant_missing, damaged_json, newer_schema, only_b]


@pytest.mark.parametrize("case", SHOWN, ids=lambda case: case.__name__)
def test_degenerate_folders_are_compared_all_the_same(case, tmp_path):
    words = case(tmp_path)
    text = compare_folders(tmp_path / "a", tmp_path / "b")
    assert re.search(words, text), text
    assert "nan" not in text


def no_folder(tmp_path):
    machine(tmp_path, "a")
    return "b: no such folder"


def no_experiment(tmp_path):
    machine(tmp_path, "a")
    (tmp_path / "b").mkdir()
    return "b: holds no experiment"


def unknown_network(tmp_path):
    machine(tmp_path, "a"), machine(tmp_path, "b")
    file = tmp_path / "b" / "config.yaml"
    file.write_text(file.read_text().replace("architectures:\n- base", "architectures:\n- bass", 1))
    return "unknown architecture 'bass'; did you mean 'base'?"


def nothing_in_common(tmp_path):
    for name in ("one", "two"):
        machine(tmp_path, f"a/{name}", experiment=name)
        machine(tmp_path, f"b/{name}", experiment=f"{name}_b")
    return "no experiment in common: one, two and one_b, two_b"


@pytest.mark.parametrize(
    "case", [no_folder, no_experiment, unknown_network, nothing_in_common], ids=lambda case: case.__name__
)
def test_folders_that_cannot_be_compared_are_one_message(case, tmp_path):
    words = case(tmp_path)
    with pytest.raises(ResultError) as error:
        compare_folders(tmp_path / "a", tmp_path / "b")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_commands_without_torch(tmp_path):
    a, b = machine(tmp_path, "a", seeds=[0]), machine(tmp_path, "b", seeds=[1])
    code = (
        "import sys\nfrom linconv.cli.commands import app\n"
        "app(sys.argv[1:], standalone_mode=False)\nsys.exit('torch' in sys.modules)"
    )
    for arguments in (["merge", a, b, "--output", tmp_path / "c"], ["compare", a, b, "--output", tmp_path / "c.md"]):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "c" / "data" / "runs.csv").exists()
    assert (tmp_path / "c.md").read_text() == compare_folders(a, b)


def test_the_interval_of_an_accuracy_stays_one(tmp_path):
    """It was [-1.41, 134.41] for three runs, and [100.00, 100.00] for three that are alike."""
    a = machine(tmp_path, "a", top1={key("conv", 0): 20.0, **{key("Lr", seed): 100.0 for seed in range(5)}})
    text = compare_folders(a, a)
    found = re.findall(r"\[(-?[\d.]+), (-?[\d.]+)\] \(\d", text)
    assert found
    for low, high in found:
        assert 0 <= float(low) < float(high) <= 100
