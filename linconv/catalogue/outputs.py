"""What a table and a figure declare about themselves; imports neither torch nor pandas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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

    `target` is a function of the experiment and of the names that `per` lists.
    """

    caption: str
    per: Per = "experiment"
    needs: Need | None = None


def _any_run(experiment: Any, dataset: str | None = None, architecture: str | None = None) -> bool:
    runs = experiment.runs
    wanted = {"dataset": dataset, "architecture": architecture}
    for column, name in wanted.items():
        if name is not None:
            runs = runs[runs[column] == name]
    return not runs.empty


def _timings(experiment: Any, architecture: str | None) -> Any:
    """The rows of throughput.csv, of one network or of all."""
    rows = experiment.throughput
    return rows if architecture is None else rows[rows["architecture"] == architecture]


def _any_time(experiment: Any, architecture: str | None = None) -> bool:
    """Whether a variant was timed; a plain network alone is compared with nothing."""
    rows = _timings(experiment, architecture)
    return bool(((rows["status"] == "ok") & (rows["form"] != "plain")).any())


def _any_memory(experiment: Any, architecture: str | None = None) -> bool:
    return bool(_timings(experiment, architecture)["peak_allocated_mib"].notna().any())


def _several_batches(experiment: Any, architecture: str | None = None) -> bool:
    rows = _timings(experiment, architecture)
    return bool((rows["status"] == "ok").any()) and rows["batch_size"].nunique() > 1


def ranks(cost: str) -> Need:
    """That the configuration asks to rank the variants at equal `cost`."""
    return Need(lambda experiment: cost in experiment.config.rankings, f"the configuration ranks at no equal {cost}")


RUNS = Need(_any_run, "no run was collected")
TIMES = Need(_any_time, "no variant was timed")
MEMORY = Need(_any_memory, "no peak memory was measured")
BATCHES = Need(_several_batches, "not timed, or at one batch only")
