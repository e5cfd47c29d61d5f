"""Merging folders of several machines: what is joined, and what is refused with which words."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linconv.config import RunKey, load_config, plan_runs, resolve_run
from linconv.results import ComplexityResult, ResultError, RunResult, read_result, write_result
from linconv.results.collect import collect
from linconv.results.merge import merge
from linconv.results.outcomes import Outcomes, write_outcomes
from tests.results.factory import make_config, make_run, read_rows, write_experiment


def key(variant: str, seed: int = 0, architecture: str = "base") -> RunKey:
    return RunKey("digits", architecture, variant, seed)


def machine(tmp_path, name, skip=(), top1=None, **changes):
    return write_experiment(tmp_path / name / "toy", make_config(**changes), skip=skip, top1=top1)


def test_seeds_of_two_machines_become_one_experiment_like_any_other(tmp_path):
    a = machine(tmp_path, "a", seeds=[0, 2])
    b = machine(tmp_path, "b", seeds=[1])
    merged = merge([a, b], tmp_path / "c")
    assert str(merged) == "15 of 15 runs joined"
    whole = write_experiment(tmp_path / "whole", make_config())
    collect(load_config(tmp_path / "c" / "config.yaml"), tmp_path / "c")  # complete and nothing stale
    collect(make_config(), whole)
    for file in sorted((whole / "data").iterdir()):
        assert (tmp_path / "c" / "data" / file.name).read_bytes() == file.read_bytes(), file.name
    assert (tmp_path / "c" / key("Lr", 1).log).exists()
    assert not list(tmp_path.glob(".*"))


def test_variants_and_networks_of_two_machines_plan_no_cell_that_nobody_planned(tmp_path):
    a = machine(tmp_path, "a", variants=["conv", "L"])
    b = machine(tmp_path, "b", variants=["conv", "Lr"], architectures=["vgg11"], seeds=[0])
    merged = merge([a, b], tmp_path / "c")
    config = load_config(tmp_path / "c" / "config.yaml")
    cells = {(k.architecture, k.variant) for k in plan_runs(config)}
    assert cells == {("base", "conv"), ("base", "L"), ("vgg11", "conv"), ("vgg11", "Lr")}
    assert (merged.planned, merged.joined) == (12, 8)  # seeds 1 and 2 of vgg11 are planned now, and missing
    assert len(read_rows(tmp_path / "c" / "data" / "runs.csv")) == 8
    assert {r["reason"] for r in read_rows(tmp_path / "c" / "data" / "failures.csv")} == {"missing"}
    # each machine counted its own variants; together they have not all of the grid's
    counted = read_result(tmp_path / "c" / "complexity.json", ComplexityResult)
    assert {m.variant for m in counted.models} == {"conv", "L", "Lr"}


@pytest.mark.parametrize("output", [".", "new/..", "/", ".."])
def test_the_current_folder_is_no_new_folder(output, tmp_path, monkeypatch):
    folders = [machine(tmp_path, name, variants=["conv"], seeds=[seed]) for seed, name in enumerate("ab")]
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ResultError, match="name a new folder"):
        merge(folders, Path(output))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "empty"]


def test_equal_duplicates_are_one_run(tmp_path):
    a = machine(tmp_path, "a")
    b = machine(tmp_path, "b", skip=[key("L", 1)])
    file = b / key("conv").path / "result.json"
    result = read_result(file, RunResult)
    other = result.provenance.model_copy(update={"seconds": 1.0, "hardware": {"cpu": "another"}})
    write_result(file, result.model_copy(update={"provenance": other, "code_hash": "f" * 16}))
    assert str(merge([a, b], tmp_path / "c")) == (
        "15 of 15 runs joined (14 of them in more than one folder, with equal results)"
    )
    kept = read_result(tmp_path / "c" / key("conv").path / "result.json", RunResult)
    assert kept == result


def test_margins_of_merged_folders_agree(tmp_path):
    a = machine(tmp_path, "a", seeds=[0], statistics={"margin": 0.5})
    b = machine(tmp_path, "b", seeds=[1], statistics={"margin": {"digits": 0.5}})
    merge([a, b], tmp_path / "c")
    assert load_config(tmp_path / "c" / "config.yaml").statistics.margin == {"digits": 0.5}
    others = ({}, {"margin": 0.4}, {"margin": 0.5, "alpha": 0.1}, {"margin": 0.5, "margin_share": 0.1})
    for i, other in enumerate(others):
        c = machine(tmp_path, f"other{i}", seeds=[2], statistics=other)
        with pytest.raises(ResultError, match=r"other.*margins or level under statistics are not those of .*/a/toy"):
            merge([a, c], tmp_path / f"refused{i}")


def test_folders_of_other_data_sets_keep_their_margins(tmp_path):
    a = machine(tmp_path, "a", variants=["conv"], statistics={"margin": {"digits": 0.5}})
    b = machine(tmp_path, "b", variants=["conv"], datasets=["mnist"])
    merge([a, b], tmp_path / "c")
    statistics = load_config(tmp_path / "c" / "config.yaml").statistics
    assert (statistics.points_on("digits"), statistics.points_on("mnist")) == (0.5, None)


def test_three_folders_and_an_empty_output(tmp_path):
    folders = [machine(tmp_path, f"m{seed}", seeds=[seed]) for seed in (2, 0, 1)]
    (tmp_path / "c").mkdir()
    merge(folders, tmp_path / "c")
    assert load_config(tmp_path / "c" / "config.yaml").seeds == (0, 1, 2)


def test_the_recipe_that_describes_all_runs_is_taken(tmp_path):
    short, both = {"set": {"epochs": 6}}, {"architectures": ["vgg11"], "set": {"epochs": 3}}
    a = machine(tmp_path, "a", recipe={"overrides": [short]})
    b = machine(tmp_path, "b", recipe={"overrides": [short, both]}, architectures=["vgg11"])
    merge([a, b], tmp_path / "c")
    config = load_config(tmp_path / "c" / "config.yaml")
    assert [resolve_run(config, key("L", 0, name)).recipe.epochs for name in ("base", "vgg11")] == [6, 3]


def test_weights_travel_and_checkpoints_do_not(tmp_path):
    a, b = machine(tmp_path, "a", seeds=[0]), machine(tmp_path, "b", seeds=[1])
    for name in ("weights.pt", "checkpoint.pt"):
        (b / key("L", 1).path / name).write_bytes(b"1")
    merge([a, b], tmp_path / "c")
    assert {p.name for p in (tmp_path / "c" / key("L", 1).path).iterdir()} == {
        "result.json",
        "correlations.npz",
        "weights.pt",
    }


def test_complexity_is_counted_again_where_the_folders_disagree(tmp_path):
    a, b = machine(tmp_path, "a", seeds=[0]), machine(tmp_path, "b", seeds=[1])
    counted = read_result(b / "complexity.json", ComplexityResult)
    models = [replace(counted.models[0], params=7), *counted.models[1:]]
    write_result(b / "complexity.json", counted.model_copy(update={"models": models}))
    merged = merge([a, b], tmp_path / "c")
    assert not (tmp_path / "c" / "complexity.json").exists()
    place = tmp_path / "toy"
    assert (
        f"the folders differ on base conv; rename {tmp_path / 'c'} to {place} and count again: "
        f"linconv measure complexity --config {place / 'config.yaml'} --results {tmp_path}" in str(merged)
    )


def test_results_outside_the_plan_are_left_out_and_said(tmp_path):
    a, b = machine(tmp_path, "a", seeds=[0]), machine(tmp_path, "b", seeds=[1])
    extra = make_run(make_config(seeds=[9]), key("L", 9))
    write_result(a / key("L", 9).path / "result.json", extra)
    assert "1 result(s) left out, not planned by its config.yaml" in str(merge([a, b], tmp_path / "c"))


def contradictory(tmp_path):
    a, b = machine(tmp_path, "a", top1={key("L", 1): 97.0}), machine(tmp_path, "b", top1={key("L", 1): 96.5})
    name = "digits/base/L/seed1/result.json"
    return [a, b], [f"a/toy/runs/{name} (top-1 97 %)", f"b/toy/runs/{name} (top-1 96.5 %)", "contradict each other"]


def another_experiment(tmp_path):
    return [machine(tmp_path, "a"), machine(tmp_path, "b", experiment="other")], ["experiment 'other'", "'toy'"]


def another_recipe(tmp_path):
    changed = {"overrides": [{"set": {"epochs": 5}}]}
    folders = [machine(tmp_path, "a"), machine(tmp_path, "b", recipe=changed)]
    return folders, ["do not fit together", "of the run digits/base/conv/seed0, recipe.epochs is 6 and 5"]


def another_definition(tmp_path):
    grid = {"variants": ["conv", "Q"]}
    folders = [
        machine(tmp_path, name, **grid, define={"Q": {"extends": "L", "options": {"primary_ratio": ratio}}})
        for name, ratio in (("a", 0.25), ("b", 0.3))
    ]
    return folders, ["definition.options.primary_ratio is 0.25 and 0.3"]


def damaged(tmp_path):
    folders = [machine(tmp_path, "a"), machine(tmp_path, "b")]
    (folders[1] / key("L").path / "result.json").write_text('{"kind": "run", "sta')
    return folders, ["b/toy/runs/digits/base/L/seed0/result.json: file: Invalid JSON"]


def damaged_outcomes(tmp_path):
    folders = [machine(tmp_path, "a"), machine(tmp_path, "b")]
    place = folders[1] / key("L").path
    record = write_outcomes(place, Outcomes(np.arange(100) < 97, np.zeros(100, np.float32)))
    run = make_run(make_config(), key("L"), top1=97)
    write_result(place / "result.json", RunResult(**run.model_dump() | {"outcomes": record}))
    file = place / record.file
    file.write_bytes(file.read_bytes()[:-9])
    return folders, ["b/toy/runs/digits/base/L/seed0/outcomes.npz: is not the file that was written with its result"]


def damaged_correlations(tmp_path):
    folders = [machine(tmp_path, "a"), machine(tmp_path, "b")]
    file = folders[1] / key("L").path / "correlations.npz"
    file.write_bytes(file.read_bytes()[:-9])
    return folders, ["b/toy/runs/digits/base/L/seed0/correlations.npz: is damaged"]


def weights_of_another_training(tmp_path):
    folders = [machine(tmp_path, "a"), machine(tmp_path, "b")]
    place = folders[1] / key("L").path
    run = make_run(make_config(), key("L"))
    write_result(place / "result.json", run.model_copy(update={"weights_sha256": hashlib.sha256(b"1").hexdigest()}))
    (place / "weights.pt").write_bytes(b"2")
    return folders, ["b/toy/runs/digits/base/L/seed0/weights.pt: is not the file that was written with its result"]


def stale(tmp_path):
    folders = [machine(tmp_path, "a"), machine(tmp_path, "b")]
    old = make_run(make_config(augment=False), key("L"))
    write_result(folders[1] / key("L").path / "result.json", old)
    return folders, ["b/toy/runs/digits/base/L/seed0/result.json: made with configuration", old.config_hash]


def in_another_place(tmp_path):
    folders = [machine(tmp_path, "a"), machine(tmp_path, "b")]
    write_result(folders[0] / key("L").path / "result.json", make_run(make_config(), key("L", 1)))
    return folders, ["holds digits/base/L/seed1, not digits/base/L/seed0"]


def newer(tmp_path):
    folders = [machine(tmp_path, "a"), machine(tmp_path, "b")]
    file = folders[0] / "complexity.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 3}))
    return folders, ["a/toy/complexity.json: schema_version: written by a newer linconv (schema 3"]


def without_configuration(tmp_path):
    (tmp_path / "b").mkdir()
    return [machine(tmp_path, "a"), tmp_path / "b"], ["config.yaml: cannot be read"]


def unknown_network(tmp_path):
    folders = [machine(tmp_path, "a"), machine(tmp_path, "b")]
    file = folders[1] / "config.yaml"
    file.write_text(file.read_text().replace("architectures:\n- base", "architectures:\n- bass", 1))
    return folders, ["unknown architecture 'bass'; did you mean 'base'?"]


def alone(tmp_path):
    return [machine(tmp_path, "a")], ["at least two folders"]


REFUSED = [
    contradictory,
    another_experiment,
    another_recipe,
    another_definition,
    damaged,
    damaged_outcomes,
    damaged_correlations,
    weights_of_another_training,
    stale,
    in_another_place,
    newer,
    without_configuration,
    unknown_network,
    alone,
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
def test_what_does_not_fit_is_refused_by_name(case, tmp_path):
    folders, words = case(tmp_path)
    with pytest.raises(ResultError) as error:
        merge(folders, tmp_path / "c")
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "c").exists()
    assert not list(tmp_path.glob(".*"))


def test_an_output_in_use_is_left_alone(tmp_path):
    a, b = machine(tmp_path, "a"), machine(tmp_path, "b")
    for output in (a, a / "config.yaml"):
        with pytest.raises(ResultError, match="is not empty; name a new folder"):
            merge([a, b], output)


@pytest.mark.parametrize("lacking", ["everything", "one"])
def test_folders_without_runs(lacking, tmp_path):
    config = make_config(seeds=[0])
    a = write_experiment(tmp_path / "a", config, skip=plan_runs(config))
    b = write_experiment(tmp_path / "b", config, skip=plan_runs(config)[: None if lacking == "everything" else 3])
    merged = merge([a, b], tmp_path / "c")
    assert merged.joined == (0 if lacking == "everything" else 2)
    assert len(read_rows(tmp_path / "c" / "data" / "failures.csv")) == 5 - merged.joined


def test_diverged_runs_are_joined_as_they_are(tmp_path):
    config = make_config(seeds=[0])
    folders = [write_experiment(tmp_path / name, config, diverged=plan_runs(config)) for name in "ab"]
    assert (merge(folders, tmp_path / "c").joined, merge(folders, tmp_path / "d").duplicates) == (5, 5)
    assert {r["reason"] for r in read_rows(tmp_path / "c" / "data" / "failures.csv")} == {"diverged"}
