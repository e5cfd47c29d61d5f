"""Collecting: what is refused, what a partial collection keeps and lists, and that bytes repeat."""

from __future__ import annotations

import numpy as np
import pytest

from linconv.config import RunKey, plan_runs, resolve_run
from linconv.results import ResultError, RunResult, RunWarning, read_result, write_result
from linconv.results.collect import collect
from linconv.results.kinds import COLUMNS
from tests.results.factory import make_config, make_run, read_rows, write_experiment
from tests.results.filters import LAYERS, make_correlations


def key(variant: str, seed: int = 0) -> RunKey:
    return RunKey("digits", "base", variant, seed)


def outputs(root):
    return {path.name: path.read_bytes() for path in sorted((root / "data").iterdir())}


def test_everything_is_collected(tmp_path):
    config = make_config()
    write_experiment(tmp_path, config)
    got = collect(config, tmp_path)
    assert (got.planned, got.collected, dict(got.failures)) == (15, 15, {})
    assert sorted(outputs(tmp_path)) == sorted(
        [*(f"{name}.csv" for name in COLUMNS), "correlations.npz", "outcomes.npz", "manifest.json"]
    )
    rows = read_rows(tmp_path / "data" / "runs.csv")
    assert [(r["variant"], r["seed"]) for r in rows] == [(k.variant, str(k.seed)) for k in plan_runs(config)]
    assert rows[0]["config_hash"] == resolve_run(config, key("conv")).hash
    expected = {
        "epochs": "6",
        "optimizer": "adam",
        "learning_rate": "0.001",
        "seconds": "12.3456",
        "git_dirty": "false",
    }
    assert {name: rows[0][name] for name in expected} == expected
    assert rows[0]["hardware"] == "Toy CPU & Co"
    assert len(read_rows(tmp_path / "data" / "history.csv")) == 15 * 6
    assert len(read_rows(tmp_path / "data" / "layers.csv")) == 15 * 3 * 2  # before and after training
    assert len(read_rows(tmp_path / "data" / "complexity.csv")) == 7 * 5
    layer = read_rows(tmp_path / "data" / "complexity_layers.csv")[0]
    assert (layer["output_shape"], layer["macs_feature"]) == ("32x32x32", "")
    assert read_rows(tmp_path / "data" / "failures.csv") == []


def test_layers_that_cannot_become_orthogonal_are_collected_as_text(tmp_path):
    config = make_config(variants=["conv", "L"], seeds=[0])
    write_experiment(tmp_path, config)
    path = tmp_path / key("L").path / "result.json"
    reasons = (("a", "thin"), ("", "low rank"), ("b", "thin"))
    found = [RunWarning(code="never_orthogonal", layer=name, message=why) for name, why in reasons]
    found.append(RunWarning(code="recipe_unreached", message="milestone 9 of 6 epochs"))
    write_result(path, read_result(path, RunResult).model_copy(update={"warnings": found}))
    collect(config, tmp_path)
    rows = read_rows(tmp_path / "data" / "runs.csv")
    assert [r["never_orthogonal"] for r in rows] == ["", "a, b: thin; (the model): low rank"]
    assert [r["warnings"] for r in rows] == ["", "recipe_unreached: milestone 9 of 6 epochs"]


def test_accuracies_survive_to_eight_digits(tmp_path):
    config = make_config(variants=["conv"], seeds=[0])
    write_experiment(tmp_path, config, top1={key("conv"): 97.2222222222})
    collect(config, tmp_path)
    assert read_rows(tmp_path / "data" / "runs.csv")[0]["top1"] == "97.222222"


def test_same_results_give_same_bytes(tmp_path):
    config = make_config()
    write_experiment(tmp_path, config, diverged=[key("L", 1)])
    collect(config, tmp_path)
    first = outputs(tmp_path)
    collect(config, tmp_path)
    assert outputs(tmp_path) == first
    assert all(b"\r" not in content for name, content in first.items() if name.endswith(".csv"))


def test_correlations_are_those_of_the_lowest_common_seed(tmp_path):
    config = make_config()
    write_experiment(tmp_path, config, diverged=[key("L", 0)])
    collect(config, tmp_path)
    with np.load(tmp_path / "data" / "correlations.npz") as stored:
        names = {f"digits/base/{v}/1/0/layer{p}_{LAYERS[p][0]}" for v in ("conv", "L", "Lr") for p in LAYERS}
        assert set(stored.files) == names
        name, expected = next(iter(make_correlations("Lr", seed=1).items()))
        np.testing.assert_array_equal(stored[f"digits/base/Lr/1/0/{name}"], expected)
        assert stored[f"digits/base/Lr/1/0/{name}"].dtype == np.int8


def test_a_stale_result_is_refused_with_both_hashes_and_the_remedy(tmp_path):
    old, new = make_config(), make_config(augment=False)
    write_experiment(tmp_path, old)
    with pytest.raises(ResultError) as error:
        collect(new, tmp_path)
    message = str(error.value)
    assert "15 result(s)" in message
    assert "runs/digits/base/conv/seed0/result.json" in message
    assert resolve_run(old, key("conv")).hash in message
    assert resolve_run(new, key("conv")).hash in message
    assert "delete it to have it made again" in message
    assert "and 10 more" in message
    assert not (tmp_path / "data").exists()


def test_a_seed_more_leaves_the_others_valid(tmp_path):
    write_experiment(tmp_path, make_config(seeds=[0]))
    got = collect(make_config(seeds=[0, 1]), tmp_path, partial=True)
    assert (got.collected, dict(got.failures)) == (5, {"missing": 5})


def test_partial_lists_every_failure_and_keeps_the_rest(tmp_path):
    config = make_config()
    write_experiment(tmp_path, config, skip=[key("conv", 2), key("L", 2)], diverged=[key("Lr", 1)])
    (tmp_path / key("L", 2).path).mkdir(parents=True)
    (tmp_path / key("L", 2).log).write_text("epoch 1\nRuntimeError: no disk\n\n")
    (tmp_path / key("LRr", 0).path / "result.json").write_text('{"kind": "run", "sta')
    stale = make_run(make_config(augment=False), key("LSr"))
    write_result(tmp_path / key("LSr").path / "result.json", stale)
    swapped = make_run(config, key("LSr", 2)).model_copy(
        update={"config_hash": resolve_run(config, key("LSr", 1)).hash}
    )
    write_result(tmp_path / key("LSr", 1).path / "result.json", swapped)

    with pytest.raises(ResultError, match=r"5 result\(s\) cannot be used"):
        collect(config, tmp_path)
    got = collect(config, tmp_path, partial=True)
    assert (got.collected, dict(got.failures)) == (10, {"missing": 2, "damaged": 2, "stale": 1, "diverged": 1})
    rows = {(r["variant"], int(r["seed"])): r for r in read_rows(tmp_path / "data" / "failures.csv")}
    assert {at: r["reason"] for at, r in rows.items()} == {
        ("conv", 2): "missing",
        ("L", 2): "missing",
        ("Lr", 1): "diverged",
        ("LRr", 0): "damaged",
        ("LSr", 0): "stale",
        ("LSr", 1): "damaged",
    }
    assert rows["conv", 2]["log"] == ""
    assert rows["L", 2]["detail"] == "RuntimeError: no disk"
    assert rows["L", 2]["log"] == "logs/train/digits/base/L/seed2.log"
    assert str(tmp_path) not in (tmp_path / "data" / "failures.csv").read_text()
    runs = {(r["variant"], int(r["seed"])): r["status"] for r in read_rows(tmp_path / "data" / "runs.csv")}
    assert len(runs) == 10
    assert runs["Lr", 1] == "diverged"


def test_diverged_runs_are_results(tmp_path):
    config = make_config(seeds=[0])
    write_experiment(tmp_path, config, diverged=plan_runs(config))
    got = collect(config, tmp_path)
    assert (got.collected, got.correlations, dict(got.failures)) == (5, 0, {"diverged": 5})
    row = read_rows(tmp_path / "data" / "runs.csv")[0]
    assert (row["status"], row["top1"]) == ("diverged", "")


@pytest.mark.parametrize("name", ["complexity.json", "runs/digits/base/Lr/seed0/correlations.npz"])
@pytest.mark.parametrize("content", [None, "not this"])
def test_other_files_are_checked_too(tmp_path, name, content):
    config = make_config(seeds=[0])
    write_experiment(tmp_path, config)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    reason = "missing" if content is None else "damaged"
    with pytest.raises(ResultError, match=rf"{name}: {reason}"):
        collect(config, tmp_path)
    got = collect(config, tmp_path, partial=True)
    assert (got.collected, dict(got.failures)) == (5, {reason: 1})
    assert name.rsplit("/", 1)[-1] in read_rows(tmp_path / "data" / "failures.csv")[0]["detail"]


def test_runs_their_files_and_measurements_are_counted_apart(tmp_path):
    config = make_config()
    write_experiment(tmp_path, config, skip=[key("conv", 2), key("L", 2)], diverged=[key("Lr", 1)])
    (tmp_path / key("conv").path / "correlations.npz").unlink()
    (tmp_path / "complexity.json").write_text("{}")
    assert str(collect(config, tmp_path, partial=True)) == (
        "13 of 15 runs collected, 1 diverged, 2 missing; other files of runs, 1 missing; "
        "0 of 1 measurements collected, 1 damaged"
    )


@pytest.mark.parametrize("name", ["checkpoint.pt", "checkpoint.previous.pt"])
def test_a_run_that_was_stopped_is_not_called_one_that_was_never_started(tmp_path, name):
    config = make_config(variants=["conv"], seeds=[0, 1])
    write_experiment(tmp_path, config, skip=[key("conv", 0), key("conv", 1)])
    (tmp_path / key("conv").path).mkdir(parents=True)
    (tmp_path / key("conv").path / name).touch()
    collect(config, tmp_path, partial=True)
    stopped, never = (row["detail"] for row in read_rows(tmp_path / "data" / "failures.csv"))
    assert "its checkpoint is there, and the command that trained it continues it" in stopped
    assert never == "no result file and no log: the run has not been started"


def test_nothing_at_all_is_a_refusal_or_empty_tables(tmp_path):
    config = make_config(seeds=[0])
    with pytest.raises(ResultError, match=r"6 result\(s\)"):
        collect(config, tmp_path)
    assert str(collect(config, tmp_path, partial=True)) == (
        "0 of 5 runs collected, 5 missing; 0 of 1 measurements collected, 1 missing"
    )
    assert (tmp_path / "data" / "runs.csv").read_text() == ",".join(COLUMNS["runs"]) + "\n"
