"""What a configuration may ask of pruning, and what is said of pruned variants before and after training."""

import pytest

from linconv.config import ConfigError, Pruning, RunKey, Variant, parse_config, resolve_run
from linconv.measure.complexity import measure_complexity
from linconv.report import render_tables
from linconv.results import RunResult, read_result, write_result
from linconv.results.collect import collect
from linconv.results.kinds.complexity import Counts
from tests.results.factory import make_config, read_rows, write_experiment

L1 = {"layer": "conv", "pruning": {"criterion": "l1"}}


def raw(pruning, **changes):
    base = {"experiment": "x", "datasets": ["digits"], "architectures": ["base"], "variants": ["X"], "seeds": [0]}
    return base | {"define": {"X": {"layer": "conv", "pruning": pruning}}} | changes


@pytest.mark.parametrize(
    ("pruning", "changes", "expected"),
    [
        ({"criterion": "l2"}, {}, "criterion: unknown criterion 'l2'; did you mean 'l1'?"),
        ({"criterion": "l1", "params": 0}, {}, "define.X.pruning.params: input should be greater than 0"),
        ({"criterion": "l1", "parms": 0.5}, {}, "define.X.pruning.parms: unknown key; did you mean 'params'?"),
        ({"criterion": "l1", "at": 1}, {}, "at: 1 leaves 'l1' no epoch to train what pruning leaves; choose less"),
        ({"criterion": "l1", "mask_at": 0.1}, {}, "mask_at belongs to criterion 'masksparsity', not to 'l1'"),
        ({"criterion": "masksparsity", "at": 0.2}, {}, "mask_at (0.25) must lie before the pruning step, at (0.2)"),
        ({"criterion": "masksparsity", "temperatures": [1, 2]}, {}, "temperatures belongs to criterion 'dcff'"),
        (
            {"criterion": "l1"},
            {"compile": True},
            "compile: true cannot train 'X', whose network pruning changes; use false",
        ),
        ({"criterion": "l1"}, {"cuda_graph": True}, "cuda_graph: true cannot train 'X'"),
        (
            {"criterion": "dcff"},
            {"report_epoch": "best_validation", "validation": {"share": 0.1}},
            "report_epoch: 'best_validation' needs epochs after the pruning step, and 'X' has pruning.at: 1; choose",
        ),
        (
            {"criterion": "l1"},
            {"define": {"X": {"layer": "linear", "pruning": {"criterion": "l1"}}}},
            "pruning cuts plain convolutions; layer 'linear' takes none",
        ),
    ],
)
def test_errors_name_the_key_and_the_remedy(pruning, changes, expected):
    with pytest.raises(ConfigError) as error:
        parse_config(raw(pruning, **changes))
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_defaults_are_the_papers_and_survive_a_round_trip():
    assert Pruning(criterion="l1").at == Pruning(criterion="masksparsity").at == 0.5
    dcff = Pruning(criterion="dcff")
    assert (dcff.at, dcff.temperatures) == (1.0, (1.0, 1e4))
    config = parse_config(raw({"criterion": "dcff"}))
    assert parse_config(config.model_dump(mode="json")) == config
    key = RunKey("digits", "base", "X", 0)
    hashes = {
        resolve_run(parse_config(raw(p)), key).hash
        for p in ({"criterion": "dcff"}, {"criterion": "dcff", "at": 1.0}, {"criterion": "dcff", "params": 0.5})
    }
    assert len(hashes) == 1
    assert resolve_run(parse_config(raw({"criterion": "l1"})), key).hash not in hashes
    assert "pruning" not in Variant(layer="conv").identity()


def test_pruned_variants_are_not_counted_before_training():
    changes = {"variants": ["conv", "X"], "complexity": {"architectures": ["base"]}}
    counted = measure_complexity(parse_config(raw({"criterion": "l1"}, **changes)))
    assert [model.variant for model in counted.models] == ["conv"]
    without = parse_config(raw({"criterion": "l1"}, **changes | {"variants": ["conv"]}))
    assert counted.grid_hash == Counts().hash(without, "complexity")


@pytest.fixture
def experiment(tmp_path):
    """Two runs of a pruned variant beside the plain network's, collected."""
    config = make_config(variants=["conv", "X"], define={"X": L1}, seeds=[0, 1])
    root = write_experiment(tmp_path, config)
    for seed, macs in ((0, 4_000_000), (1, 5_000_000)):
        file = root / RunKey("digits", "base", "X", seed).path / "result.json"
        result = read_result(file, RunResult)
        write_result(file, result.model_copy(update={"metrics": result.metrics.model_copy(update={"macs": macs})}))
    collect(config, root)
    return root


def test_what_is_left_is_collected_and_said_below_table_1(experiment):
    rows = read_rows(experiment / "data" / "runs.csv")
    assert [row["macs"] for row in rows] == ["", "", "4000000", "5000000"]
    render_tables(experiment)
    table = (experiment / "tables" / "table1.md").read_text()
    assert "X: left after training (mean): Base on Digits 0.23 M parameters, 4.5 M MACs." in table
