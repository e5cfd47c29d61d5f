"""Table 1: accuracies with the outcome of their tests, counts, and what is missing."""

from __future__ import annotations

import pytest

from linconv.report import render_tables
from linconv.report.text import MISSING
from tests.report.conftest import key, markdown_rows, three_faces
from tests.results.factory import read_rows


def test_excluded_cells_have_no_row_no_gap_and_no_number(collected):
    holes = [
        {"architectures": ["vgg11"], "variants": ["L"]},
        {"datasets": ["cifar10"], "architectures": ["base"], "variants": ["L"]},
    ]
    root = collected(
        datasets=["digits", "cifar10"], architectures=["base", "vgg11"], variants=["conv", "L"], exclude=holes
    )
    render_tables(root)
    text = (root / "tables" / "table1.md").read_text()
    _, rows = markdown_rows(root / "tables" / "table1.md")
    assert set(rows) == {("Base", "Conv"), ("Base", "-L"), ("VGG11", "Conv")}
    assert rows["Base", "-L"][3] == MISSING
    assert "missing" not in text
    records = read_rows(root / "tables" / "table1.csv")
    assert len(records) == 5


def test_table1_prints_differences_with_the_outcome_of_their_test(collected):
    root = three_faces(collected)
    header, rows = markdown_rows(root / "tables" / "table1.md")
    assert header[:5] == ["network", "variant", "top-1 (%) CIFAR-10", "top-1 (%) Digits", "params (M)"]
    assert rows["Base", "Conv"][2] == "87.50 ± 0.50 (3)"
    assert rows["Base", "-Lr"][2] == "-0.50 ± 0.50 (3) ?"
    # L: differences 0.1, 0.1, 0.12: mean 0.106667, sd 0.011547, t = 16 and p = 0.00388, times 4 tests = 0.0155 (Holm)
    assert rows["Base", "-L"][2] == "+0.11 ± 0.01 (3) ≈≠"
    assert rows["Base", "-Lr"][4:] == ["0.23 (1.74×)", "0.060 (0.28×)", "15.2", "15.2"]
    text = (root / "tables" / "table1.md").read_text()
    assert "| **+0.11 ± 0.01 (3) ≈≠** |" in text
    assert "over the 4 cells of this experiment that have 3 or more pairs, at level 0.05" in text
    assert "≈≠ equivalent within ±1, though different from 0" in text
    records = read_rows(root / "tables" / "table1.csv")
    record = next(r for r in records if (r["dataset"], r["variant"]) == ("cifar10", "L"))
    assert record["outcome"] == "equivalent"
    assert float(record["p_difference"]) == pytest.approx(0.003884, abs=1e-6)
    assert float(record["p_difference_holm"]) == pytest.approx(4 * 0.003884, abs=4e-6)


def test_table1_shows_what_is_missing(collected):
    skip = [key("conv", k, "vgg11") for k in range(3)]
    root = collected(architectures=["base", "vgg11"], skip=skip, diverged=[key("L", k) for k in range(3)])
    render_tables(root)
    _, rows = markdown_rows(root / "tables" / "table1.md")
    assert rows["Base", "-L"][2] == "-"
    assert rows["VGG11", "Conv"][2] == "-"
    assert rows["VGG11", "-Lr"][2].endswith("(3) †")
    text = (root / "tables" / "table1.md").read_text()
    assert "Base on Digits: of 3 runs each, -L 3 diverged." in text
    assert "VGG11 on Digits: of 3 runs each, Conv 3 missing." in text
    assert "† absolute accuracy" in text
    shares = "Base on Digits 62 %, VGG11 on Digits 62 %, wanted 50 %."
    assert f"-LSr: share of zero coefficients after training (mean): {shares}" in text
    assert (root / "tables" / "runs.md").read_text().count("| diverged |") == 3
    failures = (root / "tables" / "failures.md").read_text()
    assert failures.count("| diverged |") == 3
    assert failures.count("| missing") == 3
