"""Claims about the filters: orthogonal primaries, controlled redundancy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from linconv.report.claims.model import PAPER, Claim, Verdict
from linconv.report.claims.scope import evidence
from linconv.report.source import CELL, Experiment
from linconv.report.wording import cell_label
from linconv.results.equivalence import MIN_PAIRS, Comparison, compare_cells
from linconv.results.statistics import Cell, cell_statistics

ORTHOGONAL = 0.05  # mean |corr| of pairs of primaries below which they are called orthogonal
_RUN = [*CELL, "seed"]
# correlations times 100, so that the comparisons' bound on rounding fits them as it fits percentages
_SCALE = 100


def orthogonal_primaries(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """The correlation regulariser makes the primary filters orthogonal: Lr against L."""
    found = list(_paired(experiments, "primary_mean_abs_correlation", "Lr", "L"))
    lower = [_lower(k) for _, k in found]
    small = [c.value.mean / _SCALE < ORTHOGONAL for c, _ in found]
    verdict = _verdict(found, [a and b for a, b in zip(lower, small, strict=True)], [not b for b in small])
    yield Claim(
        "orthogonal-primaries",
        "The correlation regulariser makes the primary filters orthogonal.",
        PAPER,
        verdict,
        _evidence(found, "L", "mean |corr| of primaries, over the layers that admit 0")
        or "No runs of L and Lr to compare.",
        runs=_runs(found, "L"),
        rule="Mean absolute correlation of pairs of primary filters, averaged over the layers with P <= D - 1 "
        f"(elsewhere 0 cannot be reached). Supported where in every data set and network with {MIN_PAIRS} or more "
        f"pairs of runs it is lower with Lr than with L (paired t-test, Holm) and below {ORTHOGONAL:g}; not supported "
        f"where it is {ORTHOGONAL:g} or more in one; undecided otherwise.",
    )


def controlled_redundancy(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """The filters of a trained LinearConv network are less redundant than the plain network's."""
    found = list(_paired(experiments, "mean_abs_correlation", "Lr", "conv"))
    verdict = _verdict(found, [_lower(k) for _, k in found], [k.differs and k.difference.mean > 0 for _, k in found])
    yield Claim(
        "redundancy-controlled",
        "LinearConv controls the redundancy among the filters of a network.",
        PAPER,
        verdict,
        _evidence(found, "Conv", "mean |corr| of all filters") or "No runs of Conv and Lr to compare.",
        runs=_runs(found, "conv"),
        rule="Mean absolute correlation of pairs of filters, primary and secondary, averaged over the layers. "
        f"Supported where in every data set and network with {MIN_PAIRS} or more pairs of runs it is lower with Lr "
        "than with Conv (paired t-test, Holm); not supported where it is higher in one; undecided otherwise.",
    )


def _paired(
    experiments: Sequence[Experiment], column: str, variant: str, baseline: str
) -> Iterator[tuple[Cell, Comparison]]:
    """A number about filters per cell of `variant`, compared with `baseline` by seed, where there are enough pairs."""
    for experiment in experiments:
        if not {variant, baseline} - {"conv"} <= evidence(experiment.config):
            continue
        runs = _per_run(experiment, column)
        places = dict.fromkeys((c.dataset, c.architecture) for c in experiment.cells)
        grid = [(*place, variant) for place in places]
        cells = cell_statistics(runs, grid, experiment.config.seeds, baseline=baseline, metric=column)
        options = experiment.config.statistics
        compared = compare_cells(cells, margin=options.margin, alpha=options.alpha)
        yield from ((c, compared[c[:3]]) for c in cells if c.difference.n >= MIN_PAIRS)


def _per_run(experiment: Experiment, column: str) -> pd.DataFrame:
    """The mean of a number over the layers of each run, in hundredths."""
    layers = experiment.frames["layers"]
    layers = layers[layers["stage"] == "after"].dropna(subset=[column])
    if column.startswith("primary"):
        layers = layers[layers["primaries"] <= layers["filter_size"] - 1]
    means = _SCALE * layers.groupby(_RUN)[column].mean()
    return experiment.runs[[*_RUN, "status"]].merge(means.reset_index(), on=_RUN, how="left")


def _lower(comparison: Comparison) -> bool:
    return comparison.differs and comparison.difference.mean < 0


def _verdict(found: Sequence[object], good: Sequence[bool], bad: Sequence[bool]) -> Verdict:
    if not found:
        return "not measured"
    return "not supported" if any(bad) else "supported" if all(good) else "undecided"


def _evidence(found: Sequence[tuple[Cell, Comparison]], baseline: str, what: str) -> str:
    parts = []
    for cell, comparison in found:
        d = comparison.difference
        low, high = d.low / _SCALE, d.high / _SCALE
        p = f"p = {comparison.p_difference_holm:.2g}" if not comparison.no_variance else "no variance"
        parts.append(
            f"{cell_label(*cell[:3])} {cell.value.mean / _SCALE:.3f}, minus {baseline} {d.mean / _SCALE:+.3f} "
            f"[{low:+.3f}, {high:+.3f}], n = {d.n}, {p}"
        )
    return f"{what[0].upper()}{what[1:]}: {'; '.join(parts)}." if parts else ""


def _runs(found: Sequence[tuple[Cell, Comparison]], baseline: str) -> tuple[str, ...]:
    return tuple(f"{c.dataset}/{c.architecture}/{v}" for c, _ in found for v in (baseline, c.variant))
