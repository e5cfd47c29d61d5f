"""What the training gave to every variant: the start, the learning rate, the size of the first step, the work."""

from __future__ import annotations

import math
from collections import Counter

import pandas as pd

from linconv.config.variants import Variant
from linconv.report.costs import macs_cost
from linconv.report.inference import Cell
from linconv.report.source import CELL, DRAW, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table, TableCell, numeric
from linconv.report.text import MISSING, spread_text
from linconv.statistics.spread import spread

_CAPTION = (
    "What the training gave to every variant. Learning rate: {rate}. First step: relative change of the filters by the "
    "first training step, mean over the convolutions but the first. MACs at inference: of one image. MACs trained: of "
    "all steps, forward and backward, and relative to the plain network{search}. Means over the finished runs; top-1 "
    "accuracy on the test set {epoch} [interval] (runs){last}."
)
_STARTS = {"paper": "paper's", "variance_preserving": "variance-preserving"}
_M, _T = 1e6, 1e12


def treatment_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """Start, rate, first step and multiply-accumulates of every cell, as a table and as a frame of one row per cell."""
    last = experiment.config.statistics.last_epochs
    columns = [
        DATASET,
        NETWORK,
        VARIANT,
        Column("start", align="l"),
        Column("learning rate", align="l"),
        Column("first step"),
        Column("MACs at inference (M)"),
        Column("trained (T)", "MACs"),
        Column("ratio", "MACs"),
        Column("top-1 (%)"),
        *([Column(f"last {last} epochs (%)")] if last else []),
    ]
    rows = Rows(columns, group=["data set", "network"])
    records = [_record(experiment, cell) for cell in experiment.cells]
    for record, cell in zip(records, experiment.cells, strict=True):
        mean = [_last_epochs(experiment, cell, last)] if last else []
        rows.add(
            *cell[:3],
            str(record["start"]),
            str(record["learning_rates"] or MISSING),
            numeric(_number(record["first_step"]), 3),
            numeric(_number(record["macs"]) / _M, 1),
            numeric(_number(record["macs_trained"]) / _T, 3),
            numeric(_number(record["macs_trained_ratio"]), 2),
            TableCell(spread_text(cell.value), cell.value.mean if cell.value.n else None),
            *mean,
        )
    notes = ["Without an entry for the start, new filters are drawn with the scale of nn.Conv2d's."]
    for figure, name in (("first_step", "First steps"), ("macs_trained", "MACs of the training")):
        if records and all(math.isnan(_number(record[figure])) for record in records):
            notes.append(f"{name} were not recorded when these runs were made.")
    return rows.table(_caption(experiment), notes), pd.DataFrame(records)


def _record(experiment: Experiment, cell: Cell) -> dict[str, object]:
    """One row of the CSV file."""
    runs = _finished(experiment, cell)
    plain = _finished(experiment, cell._replace(variant="conv"))
    trained = float(runs["macs_trained"].mean())
    return {
        **dict(zip(CELL, cell[:3], strict=True)),
        "start": start_of(experiment.config.known_variants[cell.variant]),
        "learning_rates": _rates(runs),
        "first_step": float(runs["first_step"].mean()),
        "macs": macs_cost(experiment, cell[:3]).value,
        "macs_trained": trained,
        "macs_trained_ratio": trained / float(plain["macs_trained"].mean()),
        "top1_mean": cell.value.mean,
    }


def start_of(variant: Variant) -> str:
    """Where the parameters of a variant begin; "" for new filters with the scale of `nn.Conv2d`'s."""
    if variant.warm_start is not None:
        return f"plain network, {100 * variant.warm_start:g} % of the epochs"
    if variant.pruning is not None:
        return "plain network"
    if variant.linear is not None:
        return _STARTS[variant.linear.init]
    init = str(variant.layer_options.get("init", "matched"))
    return "" if init == "matched" else f"{init} of new filters"


def _finished(experiment: Experiment, cell: Cell) -> pd.DataFrame:
    runs = experiment.of_network(experiment.runs, cell.dataset, cell.architecture)
    return runs[(runs["variant"] == cell.variant) & (runs["status"] == "ok")]


def _rates(runs: pd.DataFrame) -> str:
    """The learning rates of runs, each with their number where there are several."""
    counted = Counter(runs["learning_rate"].dropna())
    if len(counted) == 1:
        return f"{next(iter(counted)):g}"
    return ", ".join(f"{rate:g} ({count})" for rate, count in sorted(counted.items()))


def _last_epochs(experiment: Experiment, cell: Cell, count: int) -> TableCell:
    """The mean accuracy of the last epochs of a run, over the runs."""
    history = experiment.of_network(experiment.frames["history"], cell.dataset, cell.architecture)
    history = history[history["variant"] == cell.variant]
    means = [
        float(own.sort_values("epoch")["test_top1"].tail(count).mean())
        for _, own in history.merge(_finished(experiment, cell)[DRAW], on=DRAW).groupby(DRAW)
    ]
    found = spread(means, 1 - experiment.config.statistics.alpha)
    return TableCell(spread_text(found), found.mean if found.n else None)


def _caption(experiment: Experiment) -> str:
    search, last = experiment.config.recipe.rate_search, experiment.config.statistics.last_epochs
    rate, more = "the recipe's", ""
    if search is not None:
        factors = ", ".join(f"{factor:g}" for factor in search.factors)
        rate = f"the best on the validation part of {factors} times the recipe's, with the number of runs that took it"
        more = f"; a search for the rate of {len(search.factors)} times {100 * search.share:g} % of the epochs on top"
    return _CAPTION.format(
        rate=rate,
        search=more,
        epoch=experiment.reported_epoch,
        last=f", and mean over the last {last} epochs of every run" if last else "",
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
