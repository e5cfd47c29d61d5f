"""What tables, figures and claims say about runs and variants, everywhere in the same words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from linconv.report.inference import Cell
from linconv.report.labels import dataset_label, place_label, variant_label, variant_of
from linconv.report.source import CELL, Experiment
from linconv.report.text import number
from linconv.results.notes import Mixture

CELLS_NAMED = 5  # cells that a note names before it counts the rest


def detail_note(experiment: Experiment, variants: Sequence[str]) -> str:
    """Which of the variants a figure with a line or a bar for each shows, to follow its caption; "" where all."""
    shown = experiment.shown_in_detail(variants)
    if len(shown) == len(variants):
        return ""
    named = set(shown) <= set(experiment.config.figures.variants or ())
    chosen = "those of figures.variants" if named else "the first in the configuration"
    return f" Shown are {len(shown)} of {len(variants)} variants, {chosen}."


def gap_notes(experiment: Experiment, cells: Sequence[Cell] | None = None) -> Iterator[str]:
    """How many runs of which variants are missing or have diverged, a note per network on a data set.

    `cells` are those to look at, by default all. A last note says what diverged runs mean for the others.
    """
    cells = experiment.cells if cells is None else cells
    places: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        counts = ((cell.missing, "missing"), (cell.diverged, "diverged"))
        if reasons := " and ".join(f"{n} {word}" for n, word in counts if n):
            places.setdefault(cell.place, []).append(f"{variant_label(cell.variant)} {reasons}")
    for place, parts in places.items():
        yield f"{place_label(*place[::-1])}: of {len(experiment.config.draws)} runs each, {'; '.join(parts)}."
    adjusted = [f"{cell_label(*cell[:3])} (runs alone {number(cell.raw, 2)})" for cell in cells if cell.adjusted]
    if adjusted:
        yield f"Means adjusted for the seeds or splits that a variant lacks: {', '.join(adjusted)}."
    if any(cell.diverged for cell in cells):
        yield "Diverged runs are in no mean, difference or rank, so a variant that has some is no safe choice."


def orthogonality_notes(experiment: Experiment) -> list[str]:
    """Which layers of which variants the regularizer conv_orthogonal cannot make orthogonal; a note per cell."""
    return [
        f"{cell}: conv_orthogonal is applied to layers that no filters make an orthogonal convolution "
        f"(Achour et al., JMLR 2022): {layers}."
        for cell, layers in _by_cell(experiment, "never_orthogonal")
    ]


def mixture_notes(mixtures: Iterable[Mixture]) -> list[str]:
    """What the runs that are averaged or compared do not have in common, a note per kind of difference and place."""
    places: dict[tuple[bool, str], list[str]] = {}
    for found in mixtures:
        within = found.variant is not None
        label = place_label(found.architecture, found.dataset)
        if found.variant is not None:
            label = cell_label(found.dataset, found.architecture, found.variant)
        places.setdefault((within, found.text), []).append(label)
    return [
        f"{_listed(labels)}: {'runs that are averaged' if within else 'variants that are compared'} were trained with "
        f"{text}."
        for (within, text), labels in places.items()
    ]


def _listed(labels: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(labels) - CELLS_NAMED
    return ", ".join(labels[:CELLS_NAMED]) + (f" and {more} more" if more > 0 else "")


def warning_notes(experiment: Experiment) -> list[str]:
    """What the runs warned of, orthogonality first; a note per cell."""
    others = [f"{cell}: warned of {warnings}." for cell, warnings in _by_cell(experiment, "warnings")]
    return orthogonality_notes(experiment) + others


def _by_cell(experiment: Experiment, column: str) -> Iterator[tuple[str, str]]:
    """The distinct texts that the runs of a cell have in a column, each with the cell's label."""
    known = experiment.runs.dropna(subset=[column])
    for *cell, text in known[[*CELL, column]].drop_duplicates().itertuples(index=False, name=None):
        yield cell_label(*cell), text


def cell_label(dataset: str, architecture: str, variant: str) -> str:
    """A cell as readers know it: Base-Lr on Digits."""
    return f"{variant_of(architecture, variant)} on {dataset_label(dataset)}"
