"""`benchmarks/first_epochs.py` in short: its columns are what runs of these recipes report."""

from __future__ import annotations

import pytest

from linconv.config import plan_runs, resolve_run
from linconv.measure.treatment import first_step
from linconv.training.engine import fit
from linconv.training.run import initial_network, prepare
from tests.scripts import load_script
from tests.training.short import few_images


@pytest.fixture
def script(monkeypatch):
    module = load_script("benchmarks/first_epochs.py")
    data = few_images()
    monkeypatch.setattr(module, "load_data", lambda *_: data)
    return module, data


def test_accuracies_are_those_of_the_runs(script, capsys):
    module, data = script
    arguments = ["--dataset", "synthetic", "--variants", "conv", "LRr_paper", "--seeds", "0", "1", "--factors", "1"]
    module.main([*arguments, "--epochs", "2"])
    heading, _, *rows = [[c.strip() for c in r.strip("|").split("|")] for r in capsys.readouterr().out.splitlines()]
    assert heading == ["variant", "first step", "0.001 running", "0.001 recalibrated"]
    assert [row[0] for row in rows] == ["conv", "LRr, paper's start"]
    asked = type("Asked", (), {"dataset": "synthetic", "variants": ["LRr_paper"], "seeds": [0, 1], "epochs": 2})
    asked.schedule = "constant"
    config = module.configuration(asked, 1.0)
    found = []
    for key in plan_runs(config):
        run = resolve_run(config, key)
        measured = run.model_copy(update={"recipe": run.recipe.model_copy(update={"batch_norm": "recalibrated"})})
        trained = [fit(prepare(described, data, "cpu")) for described in (run, measured)]
        step = first_step(run, trained[0], initial_network(run, 10, 3), (3, 32, 32))
        found.append([step, *(training.history[-1].test_top1 for training in trained)])
    means = [sum(column) / 2 for column in zip(*found, strict=True)]
    assert rows[1][1:] == [f"{means[0]:.3f}", f"{means[1]:.1f}", f"{means[2]:.1f}"]


def test_every_variant_can_be_built_at_about_half_of_the_parameters(script):
    module, _ = script
    asked = type("Asked", (), {"dataset": "digits", "variants": list(module.VARIANTS), "seeds": [0], "epochs": 1})
    asked.schedule = "constant"
    config = module.configuration(asked, 1.0)
    sizes = {}
    for key in plan_runs(config):
        run = resolve_run(config, key)
        sizes[key.variant] = sum(p.numel() for p in initial_network(run, 10, 1).parameters())
    shares = {name: size / sizes["conv"] for name, size in sizes.items() if name not in ("conv", "bsconv_u")}
    assert all(0.5 < share < 0.58 for share in shares.values())
