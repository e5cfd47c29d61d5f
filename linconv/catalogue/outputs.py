"""What a table and a figure declare about themselves; imports neither torch nor pandas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from linconv.catalogue._entry import Entry

# What one file of an output is made for. "network" is a network on a data set; "timed network" is a network alone.
Per = Literal["experiment", "dataset", "network", "timed network"]


@dataclass(frozen=True)
class Need:
    """A condition on the collected results.

    `holds` takes the experiment (`linconv.report.source.Experiment`) and, one argument each, the names that the output
    is made for. `otherwise` says why the output is not made where the condition does not hold.
    """

    holds: Callable[..., bool]
    otherwise: str


@dataclass(frozen=True, kw_only=True)
class Output(Entry):
    """A table or a figure; `name` is that of its files and `label` its heading on the page.

    Args:
        caption: what it shows, in one or two sentences. What is printed below it has the details of the experiment.
        per: what one file is made for.
        needs: what the collected results must hold; without it the output is always made.
        of_runs: it averages or pairs training runs, so it says what they do not have in common.

    `target` is a function of the experiment and of the names that `per` lists.
    """

    caption: str
    per: Per = "experiment"
    needs: Need | None = None
    of_runs: bool = False


def _any_run(experiment: Any, dataset: str | None = None, architecture: str | None = None) -> bool:
    runs = experiment.runs
    wanted = {"dataset": dataset, "architecture": architecture}
    for column, name in wanted.items():
        if name is not None:
            runs = runs[runs[column] == name]
    return not runs.empty


def _any_filters(experiment: Any, dataset: str, architecture: str) -> bool:
    return not experiment.of_network(experiment.layer_means, dataset, architecture).empty


def _any_correlations(experiment: Any, dataset: str, architecture: str) -> bool:
    shown = experiment.config.figures.heatmap_variants
    return not experiment.correlated_variants(dataset, architecture).isdisjoint(shown)


_CALL = ["backend", "precision", "architecture", "activity", "batch_size"]


def _timings(experiment: Any, architecture: str | None) -> Any:
    """The rows of throughput.csv, of one network or of all."""
    rows = experiment.throughput
    return rows if architecture is None else rows[rows["architecture"] == architecture]


def _any_time(experiment: Any, architecture: str | None = None) -> bool:
    """Whether a variant was timed; a plain network alone is compared with nothing."""
    rows = _timings(experiment, architecture)
    return bool(((rows["status"] == "ok") & (rows["form"] != "plain")).any())


def _any_memory(experiment: Any, architecture: str | None = None) -> bool:
    """Whether the peak memory of a variant and of the plain network is known at the same call."""
    rows = _timings(experiment, architecture)
    rows = rows[rows["peak_allocated_mib"].notna()]
    plain = rows["form"] == "plain"
    calls = [set(part[_CALL].itertuples(index=False, name=None)) for part in (rows[plain], rows[~plain])]
    return bool(calls[0] & calls[1])


def _several_batches(experiment: Any, architecture: str | None = None) -> bool:
    rows = _timings(experiment, architecture)
    return bool((rows["status"] == "ok").any()) and rows["batch_size"].nunique() > 1


def ranks(cost: str) -> Need:
    """That the configuration asks to rank the variants at equal `cost`."""
    return Need(partial(_ranks, cost), f"the configuration ranks at no equal {cost}")


def _ranks(cost: str, experiment: Any) -> bool:
    return cost in experiment.config.rankings


def measured(kind: str) -> Need:
    """That a measurement of a kind was collected: data/<kind>.csv has a row."""
    return Need(partial(_measured, kind), f"no {kind} was measured")


def _measured(kind: str, experiment: Any) -> bool:
    return not experiment.frames[kind].empty


def _any_pair(experiment: Any) -> bool:
    """Whether a variant and the plain network have outcomes of the same seed and split."""
    keys = set(experiment.outcomes)
    return any(key.variant != "conv" and key._replace(variant="conv") in keys for key in keys)


def _plain_and_another(experiment: Any, dataset: str, architecture: str) -> bool:
    """Whether the plain network and a variant have a finished run."""
    done = {c.variant for c in experiment.cells_of(dataset, architecture) if c.value.n}
    return "conv" in done and len(done) > 1


ANSWER = Need(_plain_and_another, "no finished run of a variant beside one of the plain network")
RUNS = Need(_any_run, "no run was collected")
TIMES = Need(_any_time, "no variant was timed")
FILTERS = Need(_any_filters, "no finished run with measured filters")
CORRELATIONS = Need(_any_correlations, "no finished run with filter correlations of figures.heatmap_variants")
MEMORY = Need(_any_memory, "no peak memory of a variant was measured")
PAIRS = Need(_any_pair, "no variant has the outcome of every image beside the plain network of its seed")
SEVERAL_BATCHES = Need(_several_batches, "not timed, or at one batch only")
