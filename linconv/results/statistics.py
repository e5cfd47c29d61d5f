"""Statistics over seeds: one row per cell, a cell being a data set, a network and a variant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats


class Spread(NamedTuple):
    """Mean, sample standard deviation (ddof 1) and confidence interval of the mean of n values.

    All but the mean are NaN for n = 1, everything is NaN for n = 0.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float


class Cell(NamedTuple):
    """One cell: how many runs were planned, diverged and are missing, and the statistics of those that finished.

    `difference` is to the baseline, paired by seed, over the `differences` (by ascending seed; none for the baseline).
    """

    dataset: str
    architecture: str
    variant: str
    planned: int
    diverged: int
    missing: int
    value: Spread
    difference: Spread
    differences: tuple[float, ...] = ()
    baseline: bool = False


def spread(values: Iterable[float], level: float = 0.95) -> Spread:
    """Mean, standard deviation and Student's t interval of independent values.

    Args:
        values: one value per run, all finite.
        level: the confidence of the interval, in (0, 1).
    """
    x = np.asarray(list(values), dtype=float)
    n = len(x)
    mean = float(x.mean()) if n else math.nan
    if n < 2:
        return Spread(n, mean, math.nan, math.nan, math.nan)
    sd = float(x.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n)
    return Spread(n, mean, sd, mean - half, mean + half)


def paired_differences(values: pd.Series, baseline: pd.Series) -> pd.Series:
    """`values` minus `baseline` over the seeds (the index of both) that both have, sorted by seed."""
    return (values - baseline).dropna().sort_index()


def cell_statistics(
    runs: pd.DataFrame,
    cells: Iterable[tuple[str, str, str]],
    seeds: Sequence[int],
    *,
    baseline: str = "conv",
    metric: str = "top1",
    level: float = 0.95,
) -> list[Cell]:
    """Spread of a metric per cell, and of its difference to the baseline paired by seed.

    Args:
        runs: one row per run with dataset, architecture, variant, seed, status and `metric`, as in runs.csv.
        cells: the (dataset, architecture, variant) wanted; one without a run gives n = 0.
        seeds: the seeds planned per cell. Diverged and missing runs are counted, never averaged.
        baseline: the variant that differences are taken to.
        metric: the column to summarise (percent for top1).
        level: the confidence of the intervals.
    """
    groups: dict[Any, pd.DataFrame] = dict(iter(runs.groupby(["dataset", "architecture", "variant"], sort=False)))
    nothing = runs.iloc[:0]
    out = []
    for dataset, architecture, variant in cells:
        group = groups.get((dataset, architecture, variant), nothing)
        values = finished(group, metric)
        reference = finished(groups.get((dataset, architecture, baseline), nothing), metric)
        differences = paired_differences(values, reference if variant != baseline else reference.iloc[:0])
        out.append(
            Cell(
                *(dataset, architecture, variant),
                planned=len(seeds),
                diverged=len(group) - len(values),
                missing=len(seeds) - len(group),
                value=spread(values, level),
                difference=spread(differences, level),
                differences=tuple(differences),
                baseline=variant == baseline,
            )
        )
    return out


def finished(group: pd.DataFrame, metric: str) -> pd.Series:
    """The metric by seed over the runs that ended well."""
    done = group[(group["status"] == "ok") & group[metric].notna()]
    return done.set_index("seed")[metric].astype(float)
