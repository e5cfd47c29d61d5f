"""The table of the quality of filters."""

from __future__ import annotations

import json

from linconv.report import render_tables
from linconv.results import RunResult, RunWarning, read_result, write_result
from linconv.results.collect import collect
from linconv.results.integrity import sealed_text
from tests.report.conftest import key
from tests.results.factory import make_config, read_rows


def test_the_quality_of_filters_is_a_mean_over_layers_and_runs(collected):
    root = collected(variants=["conv", "L"])
    for seed in range(3):
        path = root / key("L", seed).path / "result.json"
        record = json.loads(path.read_text())
        for layer, sparsity, entropy in zip(record["layers"], (0.0, 0.1, 0.2), (0.9, 0.6, None), strict=True):
            layer["kernel_sparsity"] = sparsity + 0.001 * seed
            layer["kernel_variance_entropy"] = entropy
        path.write_text(sealed_text(record))
    collect(make_config(variants=["conv", "L"]), root)
    render_tables(root)
    lines = (root / "tables" / "filter_quality.md").read_text().splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line[:1] == "|"]
    assert header[3:] == ["layers", "kernel sparsity (%)", "kernel variance entropy", "filter orthogonality"]
    shown = {row[2]: row[3:] for row in rows}
    assert shown["Conv"] == ["3", "0.00 → 4.00", "0.900 → 0.700", "0.950 → 0.850"]
    assert shown["L"] == ["3", "0.00 → 10.10", "0.900 → 0.750", "0.950 → 0.850"]
    record = read_rows(root / "tables" / "filter_quality.csv")[2]
    assert (record["variant"], record["stage"], record["kernel_sparsity"]) == ("L", "after", "0.101")


def test_layers_that_cannot_become_orthogonal_are_named_below_the_tables(collected):
    root = collected(variants=["conv", "L"], seeds=[0, 1])
    for seed in range(2):
        path = root / key("L", seed).path / "result.json"
        found = RunWarning(code="never_orthogonal", layer="features.conv2", message="a rank of 64 is needed")
        other = RunWarning(code="recipe_unreached", message="a milestone at 80")
        write_result(path, read_result(path, RunResult).model_copy(update={"warnings": [found, other]}))
    collect(make_config(variants=["conv", "L"], seeds=[0, 1]), root)
    render_tables(root)
    for name, others in (("runs", 1), ("filter_quality", 0)):
        notes = [line for line in (root / "tables" / f"{name}.md").read_text().splitlines() if line.startswith("* ")]
        assert notes[1:] == ["* Base-L on Digits: warned of recipe_unreached: a milestone at 80."] * others
        assert notes[0].startswith("* Base-L on Digits: conv_orthogonal is applied to layers that no filters make")
        assert notes[0].endswith(": features.conv2: a rank of 64 is needed.")
