"""What decides the hash of a run, and that committed results keep it."""

import json

import pytest

from linconv.config import ResolvedRun, RunKey, load_config, parse_config, resolve_run
from tests.config.configurations import ROOT, pets, raw


def test_the_hash_of_a_run_changes_with_what_decides_its_outcome_and_with_nothing_else():
    key = RunKey("digits", "base", "conv", 0)

    def hash_with(**changes):
        return resolve_run(parse_config(raw(**changes)), key).hash

    same = hash_with()
    assert hash_with(seeds=[0, 1]) == same
    assert hash_with(variants=["conv", "L"], figures={"formats": ["png"]}, threads=2, data_root="/elsewhere") == same
    assert hash_with(augment=False) != same
    assert hash_with(recipe={"overrides": [{"set": {"epochs": 3}}]}) != same
    assert hash_with(recipe={"overrides": [{"architectures": ["vgg11"], "set": {"epochs": 3}}]}) == same
    with pytest.raises(ValueError, match="not a run of experiment"):
        resolve_run(parse_config(raw()), RunKey("digits", "base", "L", 0))


def test_precision_and_clipping_are_part_of_a_run_and_the_machine_is_not():
    key = RunKey("digits", "base", "conv", 0)

    def hash_with(machine=None, **values):
        overrides = {"overrides": [{"set": {"epochs": 3, **values}}]}
        return resolve_run(parse_config(raw(recipe=overrides, **(machine or {}))), key).hash

    same = hash_with()
    assert hash_with(precision="fp32", clip_grad_norm=None) == same
    assert len({same, *(hash_with(precision=p) for p in ("tf32", "bf16", "fp16")), hash_with(clip_grad_norm=1.0)}) == 5
    machine = {"deterministic": False, "compile": True, "cuda_graph": True, "runs_per_gpu": 4}
    assert all(hash_with({name: value}) == same for name, value in machine.items())


@pytest.mark.parametrize("file", sorted(ROOT.glob("results/reference/*/runs/*/*/*/seed*/result.json")), ids=str)
def test_committed_results_keep_the_hash_of_their_configuration(file):
    """A field added to the configuration must not orphan what was published before it: mark it OmitDefaultFromHash."""
    result = json.loads(file.read_text())
    config = load_config(file.parents[5] / "config.yaml")
    key = RunKey(result["dataset"], result["architecture"], result["variant"], result["seed"])
    assert resolve_run(config, key).hash == result["config_hash"]
    assert ResolvedRun.model_validate(result["config"]).hash == result["config_hash"]


def test_the_definition_of_an_image_folder_is_part_of_its_runs_and_of_no_other():
    def runs_with(**values):
        config = parse_config(raw(**pets(**values) | {"datasets": ["digits", "pets"]}))
        return [resolve_run(config, RunKey(name, "base", "conv", 0)) for name in ("digits", "pets")]

    built_in, own = runs_with()
    assert built_in.hash == resolve_run(parse_config(raw()), built_in.key).hash
    assert "imagefolder" not in built_in.identity()  # the hash is that of the values of before image folders
    assert own.hash == runs_with(path="./pets", image_size=32)[1].hash
    for change in ({"path": "cats"}, {"flip": True}, {"split_seed": 1}, {"image_size": 64}):
        assert runs_with(**change)[1].hash != own.hash
        assert runs_with(**change)[0].hash == built_in.hash
    assert own.model_dump(mode="json")["imagefolder"]["path"] == "pets"


def test_skip_last_is_part_of_a_run_only_where_it_is_said():
    def run(**changes):
        config = parse_config(raw(define={"X": {"extends": "L", **changes}}, variants=["X"]))
        return resolve_run(config, RunKey("digits", "base", "X", 0))

    assert "skip_last" not in run().identity()["definition"]
    assert run(skip_last=False).hash == run().hash != run(skip_last=True).hash
