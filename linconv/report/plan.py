"""Which tables and figures are made of an experiment, and why the others are not: asked by all that makes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linconv.catalogue.outputs import Output, Per
from linconv.config import Config, plan_cells
from linconv.report.labels import architecture_label, dataset_label
from linconv.report.source import Experiment
from linconv.results.files import write_text

INDEX = "index.json"

# What the names are that an output is made for.
_NAMED: dict[Per, tuple[str, ...]] = {
    "experiment": (),
    "dataset": ("data set",),
    "network": ("data set", "network"),
    "timed network": ("network",),
}
_LABELS = {"data set": dataset_label, "network": architecture_label}


@dataclass(frozen=True)
class Planned:
    """One file (in several formats) of a table or a figure.

    Args:
        output: the entry of the catalogue.
        names: what it is made for, as `output.per` says: a data set, a network.
        why_not: why it is not made, "" where it is.
    """

    output: Output
    names: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def stem(self) -> str:
        """The name of its files without the format."""
        return "_".join((self.output.name, *self.names))

    @property
    def made_for(self) -> dict[str, str]:
        """What it is made for, as readers know it."""
        return {kind: _LABELS[kind](name) for kind, name in zip(_NAMED[self.output.per], self.names, strict=True)}

    @property
    def title(self) -> str:
        """The entry's label, and what it is made for: Learning curves: Base on Digits."""
        place = " on ".join(reversed(self.made_for.values()))
        return f"{self.output.label}: {place}" if place else self.output.label


@dataclass(frozen=True)
class PlannedOutputs:
    """The outputs of an experiment in the order in which they are read, and those that are left out."""

    made: list[Planned]
    left_out: list[Planned]


def plan_outputs(experiment: Experiment, outputs: Mapping[str, Output]) -> PlannedOutputs:
    """Decide by the collected results which of some outputs are made: one answer for files, page and index."""
    every = [
        Planned(output, names, _why_not(experiment, output, names))
        for per in dict.fromkeys(output.per for output in outputs.values())
        for names in _places(experiment.config, per)
        for output in outputs.values()
        if output.per == per
    ]
    return PlannedOutputs([p for p in every if not p.why_not], [p for p in every if p.why_not])


def _places(config: Config, per: Per) -> list[tuple[str, ...]]:
    """The names of all that an output may be made for, by the configuration."""
    networks = dict.fromkeys((dataset, architecture) for dataset, architecture, _ in plan_cells(config))
    places: dict[Per, list[tuple[str, ...]]] = {
        "experiment": [()],
        "timed network": [(a,) for a in dict.fromkeys(config.throughput.architectures if config.throughput else ())],
        "dataset": list(dict.fromkeys((dataset,) for dataset, _ in networks)),
        "network": list(networks),
    }
    return places[per]


def _why_not(experiment: Experiment, output: Output, names: tuple[str, ...]) -> str:
    need = output.needs
    return "" if need is None or need.holds(experiment, *names) else need.otherwise


def write_index(
    folder: Path, planned: PlannedOutputs, outputs: Mapping[str, Output], files: Mapping[str, list[Path]]
) -> Path:
    """Write what was made to index.json in `folder`, remove what earlier calls made of the rest, and return the path.

    Args:
        folder: tables/ or figures/ of an experiment.
        planned: what there is in it, and what there is not.
        outputs: the entries of all that the folder may hold.
        files: the files of each planned output by its stem.
    """
    kept = {path.name for paths in files.values() for path in paths}
    for old in folder.glob("*"):
        if old.name not in kept and any(_belongs(old.stem, output) for output in outputs.values()):
            old.unlink()
    made = [
        {"name": p.stem, "title": p.output.label, "made for": p.made_for, "files": [f.name for f in files[p.stem]]}
        for p in planned.made
    ]
    left_out = [{"name": p.stem, "title": p.output.label, "why": p.why_not} for p in planned.left_out]
    index: dict[str, Any] = {"made": made, "left out": left_out}
    write_text(folder / INDEX, json.dumps(index, indent=1, ensure_ascii=False) + "\n")
    return folder / INDEX


def _belongs(stem: str, output: Output) -> bool:
    return stem == output.name or (output.per != "experiment" and stem.startswith(f"{output.name}_"))
