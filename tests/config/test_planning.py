"""A plan of many runs takes work in proportion to them, and a new network joins no plan by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from linconv.catalogue.networks import NETWORKS
from linconv.config import Config, ConfigError, RunKey, parse_config, plan_runs, resolve_run, resolve_runs, run_hashes
from linconv.config.recipes import PRESETS
from linconv.results.kinds import KINDS
from tests.config.configurations import raw
from tests.counting import calls

RAW = {
    "experiment": "grid",
    "datasets": ["digits", "mnist"],
    "architectures": ["base", "vgg11"],
    "variants": ["conv", "L", "Lr"],
    "exclude": [{"datasets": ["mnist"], "architectures": ["vgg11"]}],
}


def grid(seeds: int) -> Config:
    return parse_config({**RAW, "seeds": list(range(seeds))})


def test_runs_resolved_together_are_those_resolved_one_by_one() -> None:
    config = grid(3)
    together, hashes = resolve_runs(config), run_hashes(config)
    assert list(together) == list(hashes) == plan_runs(config)
    for key in plan_runs(config):
        assert together[key] == resolve_run(config, key)
        assert hashes[key] == resolve_run(config, key).hash


def test_every_seed_runs_on_every_split_and_split_0_stays_what_it_was() -> None:
    config, own = parse_config({**RAW, "seeds": [0, 1], "splits": [0, 3]}), grid(2)
    assert len(plan_runs(config)) == 2 * len(plan_runs(own))
    assert set(plan_runs(own)) < set(plan_runs(config))
    together, hashes = resolve_runs(config), run_hashes(config)
    assert list(together) == plan_runs(config)
    for key in plan_runs(config):
        assert together[key] == resolve_run(config, key)
        assert hashes[key] == resolve_run(config, key).hash
    assert len(set(hashes.values())) == len(hashes)
    for key, own_hash in run_hashes(own).items():
        assert hashes[key] == own_hash
        assert key.path.name == f"seed{key.seed}"
    assert own.identity() == parse_config({**RAW, "seeds": [0, 1], "splits": [0]}).identity()
    assert RunKey("digits", "base", "L", 1, 3).path.name == "split3-seed1"
    assert RunKey("digits", "base", "L", 1, 3).options == ["--seed", "1", "--split", "3"]


@pytest.mark.parametrize(
    ("splits", "message"), [([], "splits: the list is empty"), ([1, 1], "splits: 1 is listed twice"), ([-1], "splits")]
)
def test_splits_are_numbers_each_once(splits: list[int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({**RAW, "seeds": [0], "splits": splits})


@pytest.mark.parametrize("plan", [plan_runs, resolve_runs, run_hashes])
def test_ten_times_the_runs_take_ten_times_the_work(plan: Any) -> None:
    few, many = (calls(plan, grid(seeds)) for seeds in (100, 1000))
    assert many < 11 * few


def test_one_run_is_resolved_without_the_others() -> None:
    few, many = (calls(resolve_run, grid(seeds), RunKey("mnist", "base", "L", 0)) for seeds in (1, 1000))
    assert few == many


def test_a_run_that_is_excluded_or_not_in_the_grid_is_refused() -> None:
    for key in (RunKey("mnist", "vgg11", "L", 0), RunKey("digits", "base", "L", 3)):
        with pytest.raises(ValueError, match="is not a run of experiment 'grid'"):
            resolve_run(grid(3), key)


def test_a_new_network_is_counted_where_it_is_trained_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that joins the catalogue makes no configuration invalid, and no count of another experiment stale."""
    before = parse_config(raw(variants=["LRr"]))
    monkeypatch.setitem(NETWORKS, "tiny", replace(NETWORKS["base"], name="tiny", widest=16, in_paper=False))
    monkeypatch.setitem(PRESETS["paper"], "tiny", PRESETS["paper"]["base"])
    after = parse_config(raw(variants=["LRr"]))
    assert "tiny" not in after.complexity.architectures
    assert KINDS["complexity"].hash(after, "complexity") == KINDS["complexity"].hash(before, "complexity")
    trained = parse_config(raw(architectures=["tiny"], variants=["L"]))
    assert trained.complexity.architectures == (*before.complexity.architectures, "tiny")
    asked = parse_config(raw(architectures=["tiny"], variants=["L"], complexity={"architectures": ["base"]}))
    assert asked.complexity.architectures == ("base",)
    with pytest.raises(ConfigError, match="rank 10 is above the primaries of every convolution of tiny"):
        parse_config(raw(architectures=["tiny"], variants=["LRr"]))
