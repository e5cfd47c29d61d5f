"""Table 1: accuracies with the outcome of their tests, counts, and what is missing."""

from __future__ import annotations

import re

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
    assert set(rows) == {("Base", "Conv"), ("Base", "L"), ("VGG11", "Conv")}
    assert rows["Base", "L"][3] == MISSING
    assert "missing" not in text
    records = read_rows(root / "tables" / "table1.csv")
    assert len(records) == 5


def test_table1_prints_differences_with_the_outcome_of_their_test(collected):
    root = three_faces(collected)
    header, rows = markdown_rows(root / "tables" / "table1.md")
    assert header[:5] == ["network", "variant", "top-1 (%) CIFAR-10", "top-1 (%) Digits", "params (M)"]
    assert rows["Base", "Conv"][2].startswith("87.50 [86.")
    assert rows["Base", "Conv"][2].endswith("] (3)")
    # no outcomes per image: of 10,000 images at 12.5 % error two networks differ by up to 0.47 points by chance
    assert re.fullmatch(r"-0.50 \[-[12].\d\d, \+\d.\d\d\] \(3\) ≈", rows["Base", "Lr"][2])
    assert re.fullmatch(r"\+0.11 \[-1.\d\d, \+1.\d\d\] \(3\) ≈", rows["Base", "L"][2])
    assert rows["Base", "Lr"][4:] == ["0.23 (1.74×)", "0.060 (0.28×)", "15.2", "15.2"]
    text = (root / "tables" / "table1.md").read_text()
    assert "Intervals hold for all 4 comparisons at once (95 %)." in text
    assert "Base on CIFAR-10 ±2.50 points (20 % of Conv's error)" in text
    assert "no outcomes per image; the part of the 10,000 test images is an upper bound" in text
    assert re.search(r"Open: \d of 4\.", text)
    records = read_rows(root / "tables" / "table1.csv")
    record = next(r for r in records if (r["dataset"], r["variant"]) == ("cifar10", "L"))
    assert record["outcome"] == "equivalent"
    assert float(record["difference_mean"]) == pytest.approx(0.106667, abs=1e-6)
    low, high = float(record["difference_low"]), float(record["difference_high"])
    assert rows["Base", "L"][2] == f"+0.11 [{low:+.2f}, {high:+.2f}] (3) ≈"
    assert float(record["margin"]) == pytest.approx(2.5)


def test_table1_shows_what_is_missing(collected):
    skip = [key("conv", k, "vgg11") for k in range(3)]
    root = collected(architectures=["base", "vgg11"], skip=skip, diverged=[key("L", k) for k in range(3)])
    render_tables(root)
    _, rows = markdown_rows(root / "tables" / "table1.md")
    assert rows["Base", "L"][2] == "-"
    assert rows["VGG11", "Conv"][2] == "-"
    assert rows["VGG11", "Lr"][2].endswith("(3) †")
    text = (root / "tables" / "table1.md").read_text()
    assert "Base on Digits: of 3 runs each, L 3 diverged." in text
    assert "VGG11 on Digits: of 3 runs each, Conv 3 missing." in text
    assert "† absolute accuracy" in text
    shares = "Base on Digits 62 %, VGG11 on Digits 62 %, wanted 50 %."
    assert f"LSr: share of zero coefficients after training (mean): {shares}" in text
    assert (root / "tables" / "runs.md").read_text().count("| diverged |") == 3
    failures = (root / "tables" / "failures.md").read_text()
    assert failures.count("| diverged |") == 3
    assert failures.count("| missing") == 3
