"""Notes on mixed runs: they count code and not layers, per cell and per comparison, and invent nothing."""

from __future__ import annotations

import pandas as pd
import pytest

from linconv.config import RunKey
from linconv.report.source import load_experiment
from linconv.results import RunResult, read_result, write_result
from linconv.results.collect import collect
from linconv.results.notes import mixtures
from tests.results.factory import make_config, write_experiment

OWN = {"conv": "c" * 16, "tucker": "t" * 16}
SAME = {"torch": "2.14.1", "hardware": "CPU", "instruction_set": "AVX2", "data": "d" * 16, "shared_code_hash": "5" * 16}


def frame(changes=None, **every):
    """Two variants of two seeds; `changes` are those of one (variant, seed)."""
    rows = [
        {"dataset": "digits", "architecture": "base", "variant": v, "seed": s, "split": 0, "code_hash": OWN[v]}
        | SAME
        | every
        | (changes or {}).get((v, s), {})
        for v in OWN
        for s in (0, 1)
    ]
    return pd.DataFrame(rows)


def found(runs):
    return [(m.what, m.variant, m.values) for m in mixtures(runs)]


def test_layers_with_code_of_their_own_are_no_versions():
    assert frame()["code_hash"].nunique() == 2
    assert found(frame()) == []


def test_another_version_within_a_cell_is_told_of_the_cell():
    runs = frame({("conv", 1): {"code_hash": "e" * 16}})
    assert found(runs) == [("code", "conv", ("c" * 16, "e" * 16))]
    (mixture,) = mixtures(runs)
    assert mixture.text == "2 versions of the training code (cccccccccccccccc, eeeeeeeeeeeeeeee)"


def test_another_version_of_the_shared_code_between_variants_is_told_of_the_network():
    later = {"shared_code_hash": "6" * 16}
    assert found(frame({("tucker", 0): later, ("tucker", 1): later})) == [("code", None, ("5" * 16, "6" * 16))]


@pytest.mark.parametrize(
    ("column", "value", "what", "values"),
    [
        ("torch", "2.11.0", "torch", ("2.14.1", "2.11.0")),
        ("hardware", "GPU", "hardware", ("CPU AVX2", "GPU AVX2")),
        ("instruction_set", "AVX512", "hardware", ("CPU AVX2", "CPU AVX512")),
        ("data", "e" * 16, "data", ("d" * 16, "e" * 16)),
    ],
)
def test_what_else_is_mixed_is_told_within_and_between(column, value, what, values):
    assert found(frame({("tucker", 0): {column: value}, ("tucker", 1): {column: value}})) == [(what, None, values)]
    within = found(frame({("tucker", 1): {column: value}}))
    assert within == [(what, "tucker", values), (what, None, values)]


def test_what_runs_do_not_tell_is_not_held_against_them():
    nothing = dict.fromkeys(("shared_code_hash", "data", "instruction_set"))
    assert found(frame({("conv", 0): nothing, ("conv", 1): nothing})) == []
    assert found(frame({("conv", 0): nothing})) == []
    assert found(frame({("conv", 0): nothing | {"hardware": "GPU"}})) == [
        ("hardware", "conv", ("GPU", "CPU")),
        ("hardware", None, ("GPU", "CPU")),
    ]
    assert found(frame().drop(columns=["data", "instruction_set", "shared_code_hash"])) == []
    assert found(frame().iloc[:0]) == []


def test_collected_runs_tell_it(tmp_path):
    config = make_config(variants=["conv", "L"], seeds=[0, 1])
    root = write_experiment(tmp_path, config)
    file = root / RunKey("digits", "base", "L", 1).path / "result.json"
    run = read_result(file, RunResult)
    origin = run.provenance.model_copy(update={"versions": {"torch": "2.11.0"}})
    write_result(file, run.model_copy(update={"provenance": origin, "code_hash": "f" * 16}))
    collect(config, root)
    assert [(m.what, m.variant) for m in mixtures(load_experiment(root).runs)] == [
        ("code", "L"),
        ("torch", "L"),
        ("torch", None),
    ]
