"""The tables of counts: complexity and the overhead by the batch."""

from __future__ import annotations

import pytest

from linconv.measure.complexity import measure_complexity
from linconv.report import render_tables
from linconv.results import write_result
from linconv.results.collect import collect
from tests.report.conftest import markdown_rows
from tests.results.factory import make_config, read_rows


def test_complexity_shares(collected):
    render_tables(root := collected())
    header, rows = markdown_rows(root / "tables" / "complexity.md")
    assert len(rows) == 35
    assert "inference (M) weight@50" in header
    assert rows["VGG11", "Conv"][3] == "100.0"
    assert rows["VGG11", "LRr"][3] == f"{100 * 4_651_234 / 9_231_234:.1f}"


def counted(root, **changes):
    """The unrounded table of the overhead, of real counts."""
    config = make_config(**changes)
    write_result(root / "complexity.json", measure_complexity(config))
    collect(config, root, partial=True)
    render_tables(root)
    rows = read_rows(root / "tables" / "overhead.csv")
    return {(r["architecture"], r["variant"], int(r["batch_size"])): r for r in rows}


def test_weight_space_s_overhead_falls_with_the_batch(collected):
    grid = {"variants": ["conv", "L"], "complexity": {"architectures": ["vgg11", "resnext29"]}}
    root = collected(**grid)
    rows = counted(root, **grid)
    assert len(rows) == 2 * 2 * 5
    widths = [64, 128, 256, 256, 512, 512, 512, 512]
    sizes = [1024, 256, 64, 64, 16, 16, 4, 4]
    inputs = [3, *widths[:-1]]
    plain = sum(9 * c * n * pixels for c, n, pixels in zip(inputs, widths, sizes, strict=True)) + 512 * 10
    product = sum(9 * c * (n // 2) ** 2 for c, n in zip(inputs, widths, strict=True))
    for batch in (1, 8, 50, 128, 512):
        wanted = 1 + product / batch / plain
        assert float(rows["vgg11", "L", batch]["weight_ratio"]) == pytest.approx(wanted, rel=1e-6)
        assert float(rows["vgg11", "conv", batch]["weight_ratio"]) == 1
    saved = sum((9 * c - n // 2) * (n // 2) * p for c, n, p in zip(inputs, widths, sizes, strict=True))
    assert {r["feature_ratio"] for (a, v, _), r in rows.items() if (a, v) == ("vgg11", "L")} == {
        f"{1 - saved / plain:.8g}"
    }
    grouped = [float(rows["resnext29", "L", batch]["feature_ratio"]) for batch in (1, 512)]
    assert grouped[0] > grouped[1]  # layers with groups stay in weight space
    _, text = markdown_rows(root / "tables/overhead.md")
    assert text["VGG11", "L"][2] == f"{1 + product / plain:.2f}"


def test_the_overhead_of_other_methods_is_that_of_their_one_form(collected):
    spaced = {"define": {"spaced": {"layer": "dcls", "options": {"kernel_count": 5}}}, "variants": ["conv", "spaced"]}
    grid = spaced | {"complexity": {"architectures": ["base"]}}
    rows = counted(collected(**grid), **grid)
    assert all(row["weight_ratio"] == row["feature_ratio"] for row in rows.values())
    assert float(rows["base", "spaced", 1]["weight_ratio"]) > float(rows["base", "spaced", 512]["weight_ratio"])
