"""Statistics against numbers worked out by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from linconv.results.statistics import cell_statistics, paired_differences, spread


def runs(rows):
    return pd.DataFrame(rows, columns=["dataset", "architecture", "variant", "seed", "status", "top1"])


def test_spread_of_three_values():
    # mean 92, deviations -2, 0, 2: variance 8 / 2 = 4; t(0.975, 2) = 4.302653, half width 4.302653 * 2 / sqrt(3)
    got = spread([90.0, 92.0, 94.0])
    assert got.n == 3
    assert got.mean == 92.0
    assert got.sd == 2.0
    assert got.low == pytest.approx(92 - 4.968276, abs=1e-5)
    assert got.high == pytest.approx(92 + 4.968276, abs=1e-5)


def test_spread_level_widens_the_interval():
    # t(0.995, 2) = 9.924843
    assert spread([90.0, 92.0, 94.0], level=0.99).high == pytest.approx(92 + 9.924843 * 2 / math.sqrt(3), abs=1e-5)


def test_one_value_has_no_spread_and_none_no_mean():
    one, none = spread([91.5]), spread([])
    assert (one.n, one.mean) == (1, 91.5)
    assert all(math.isnan(x) for x in one[2:])
    assert none.n == 0
    assert all(math.isnan(x) for x in none[1:])


def test_differences_pair_by_seed_whatever_the_order():
    values = pd.Series({2: 5.0, 0: 1.0, 7: 9.0})
    baseline = pd.Series({0: 3.0, 2: 4.0, 1: 0.0})
    assert paired_differences(values, baseline).to_dict() == {0: -2.0, 2: 1.0}


def test_cells_pair_with_the_baseline_and_count_what_is_not_there():
    frame = runs(
        [
            ("d", "a", "conv", 0, "ok", 90.0),
            ("d", "a", "conv", 1, "ok", 92.0),
            ("d", "a", "conv", 2, "diverged", math.nan),
            ("d", "a", "L", 2, "ok", 80.0),
            ("d", "a", "L", 1, "ok", 91.0),
            ("d", "a", "L", 0, "ok", 92.0),
            ("e", "a", "L", 0, "ok", 10.0),
        ]
    )
    grid = [("d", "a", "conv"), ("d", "a", "L"), ("d", "a", "Lr"), ("e", "a", "L")]
    conv, full, absent, alone = cell_statistics(frame, grid, seeds=[0, 1, 2])
    assert (conv.value.n, conv.diverged, conv.missing, conv.value.mean) == (2, 1, 0, 91.0)
    assert conv.difference.n == 0
    # seed 2 has no finished baseline: differences 2 and -1, mean 0.5, sd 3 / sqrt(2)
    assert (full.value.n, full.difference.n, full.difference.mean) == (3, 2, 0.5)
    assert full.difference.sd == pytest.approx(3 / math.sqrt(2))
    assert full.value.mean == pytest.approx(263 / 3)
    assert (absent.value.n, absent.diverged, absent.missing) == (0, 0, 3)
    assert (alone.value.n, alone.missing, alone.difference.n) == (1, 2, 0)


def test_a_diverged_run_with_a_number_is_not_averaged():
    frame = runs([("d", "a", "conv", 0, "ok", 90.0), ("d", "a", "conv", 1, "diverged", 10.0)])
    (cell,) = cell_statistics(frame, [("d", "a", "conv")], seeds=[0, 1])
    assert (cell.value.mean, cell.value.n, cell.diverged, cell.planned) == (90.0, 1, 1, 2)


def test_no_runs_at_all():
    (cell,) = cell_statistics(runs([]), [("d", "a", "conv")], seeds=[0, 1])
    assert (cell.value.n, cell.missing, cell.diverged) == (0, 2, 0)
