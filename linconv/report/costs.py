"""What a variant costs beside the plain network, by each of the measures that accuracies are ranked by."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from linconv.report.source import CellKey, Experiment, once

FORM = "auto"  # in which a layer runs by default: the exact form expected to be fastest
DEPLOYED = (FORM, "folded")  # of these the first that was timed, where a network is to be used


class Cost(NamedTuple):
    """A cost in its unit, and as a ratio to the plain network's; NaN where it was not counted or measured."""

    value: float = math.nan
    ratio: float = math.nan


CostMeasure = Callable[[Experiment, CellKey], Cost]


def parameter_cost(experiment: Experiment, cell: CellKey) -> Cost:
    """Parameters. Of a network whose size is found in training (pruning), the mean over its runs."""
    dataset, architecture, _ = cell
    if found_in_training(experiment, cell):
        return _relative(
            _trained(experiment, cell, "params"), _trained(experiment, (dataset, architecture, "conv"), "params")
        )
    return _counted(experiment, cell, "params")


def macs_cost(experiment: Experiment, cell: CellKey) -> Cost:
    """Multiply-accumulates per image at inference in the form `FORM`; of pruned networks the mean over their runs."""
    return _macs(experiment, cell, "macs_auto")


def folded_macs_cost(experiment: Experiment, cell: CellKey) -> Cost:
    """Multiply-accumulates per image folded into plain convolutions; of pruned networks the mean over their runs."""
    return _macs(experiment, cell, "macs_folded")


def latency_cost(experiment: Experiment, cell: CellKey) -> Cost:
    """Milliseconds per call at inference: the plain network's median times the ratio, the median within rounds.

    In the form `FORM`, at the batch, precision and backend that `timed_at` finds.
    """
    return _latency(experiment, cell, FORM)


def deployed_time_cost(experiment: Experiment, cell: CellKey) -> Cost:
    """As `latency_cost`; where the form `FORM` was not timed, of the folded network."""
    return _latency(experiment, cell, timed_form(experiment, cell))


@once
def timed_form(experiment: Experiment, cell: CellKey) -> str:
    """The form that `deployed_time_cost` is of."""
    timed = latency_timings(experiment)
    forms = set(timed.loc[(timed["architecture"] == cell[1]) & (timed["variant"] == cell[2]), "form"])
    return next((form for form in DEPLOYED if form in forms), FORM)


def _latency(experiment: Experiment, cell: CellKey, form: str) -> Cost:
    _, architecture, variant = cell
    timed = latency_timings(experiment)
    timed = timed[timed["architecture"] == architecture]
    plain = timed[timed["form"] == "plain"]  # two of them: the ratios are to the first
    found = timed[(timed["variant"] == variant) & (timed["form"] == form)]
    if plain.empty or (variant != "conv" and found.empty):
        return Cost()
    ratio = 1.0 if variant == "conv" else float(found["ratio"].iloc[0])
    return Cost(ratio * float(plain["latency_ms"].iloc[0]), ratio)


@once
def latency_timings(experiment: Experiment) -> pd.DataFrame:
    """The timings that `latency_cost` reads: of the experiment's networks at inference, as `timed_at` says."""
    frame, at = experiment.throughput, timed_at(experiment)
    if at is None:
        return frame.iloc[:0]
    chosen = _inference(experiment)
    return chosen[(chosen[list(at._fields)] == pd.Series(at._asdict())).all(axis=1)]


class TimedAt(NamedTuple):
    """Images per call, and how they were computed."""

    batch_size: int
    backend: str
    precision: str


@once
def timed_at(experiment: Experiment) -> TimedAt | None:
    """What the latency is of: the first in the configuration, at the ranking's batch if there is one, that was timed.

    None where nothing was.
    """
    options, ranking = experiment.config.throughput, experiment.config.ranking
    if options is None:
        return None
    timed = _inference(experiment)
    found = set(timed.loc[timed["form"] == "plain", [*TimedAt._fields]].itertuples(index=False, name=None))
    batches = [ranking.batch] if ranking else options.batches
    grid = (TimedAt(*at) for at in itertools.product(batches, options.backends, options.precisions))
    return next((at for at in grid if at in found), None)


def _inference(experiment: Experiment) -> pd.DataFrame:
    frame = experiment.throughput
    own = frame["architecture"].isin(experiment.config.architectures)
    return frame[own & (frame["status"] == "ok") & (frame["activity"] == "inference")]


def _macs(experiment: Experiment, cell: CellKey, column: str) -> Cost:
    dataset, architecture, _ = cell
    trained = _trained(experiment, cell, "macs")
    if math.isnan(trained):
        return _counted(experiment, cell, column)
    plain = _trained(experiment, (dataset, architecture, "conv"), "macs")
    if math.isnan(plain):
        plain = _counted(experiment, (dataset, architecture, "conv"), "macs_folded").value
    return _relative(trained, plain)


def found_in_training(experiment: Experiment, cell: CellKey) -> bool:
    """Whether the size of a network is known from its runs alone, as of one that was pruned."""
    return not math.isnan(_trained(experiment, cell, "macs"))


def _counted(experiment: Experiment, cell: CellKey, column: str) -> Cost:
    """From complexity.csv."""
    _, architecture, variant = cell
    model, plain = experiment.model(architecture, variant), experiment.model(architecture, "conv")
    if model is None:
        return Cost()
    return _relative(float(model[column]), math.nan if plain is None else float(plain[column]))


def _trained(experiment: Experiment, cell: CellKey, column: str) -> float:
    """The mean of a number over the finished runs of a cell; NaN where no run has it."""
    runs = experiment.runs
    if column not in runs:
        return math.nan
    dataset, architecture, variant = cell
    own = experiment.of_network(runs, dataset, architecture)
    return float(own.loc[(own["variant"] == variant) & (own["status"] == "ok"), column].mean())


def _relative(value: float, plain: float) -> Cost:
    return Cost(value, value / plain if plain else math.nan)
