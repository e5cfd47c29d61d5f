"""Claims about accuracy and about training without new hyperparameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from linconv.config import PRESETS
from linconv.report.claims.model import PAPER, Claim, Verdict
from linconv.report.claims.scope import evidence
from linconv.report.formats import number
from linconv.report.labels import place_label
from linconv.report.source import Experiment
from linconv.report.wording import cell_label
from linconv.results.equivalence import MIN_PAIRS, Comparison
from linconv.results.statistics import Cell

_LISTED = 24  # cells spelt out in the evidence


def on_par(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Accuracy on par with the plain network."""
    tested = [(e, c, k) for e, c, k in _compared(experiments) if k.outcome != "n too small"]
    outcomes = Counter(k.outcome for _, _, k in tested)
    worse = [c for _, c, k in tested if k.outcome == "different" and c.difference.mean < 0]
    lost = [f"{cell_label(*c[:3])} {c.diverged}" for _, c, _ in _compared(experiments) if c.diverged]
    verdict: Verdict = "undecided"
    if not tested:
        verdict = "not measured"
    elif worse:
        verdict = "not supported"
    elif outcomes["different"] + outcomes["equivalent"] == len(tested) and not lost:
        verdict = "supported"
    small = sum(k.outcome == "n too small" for *_, k in _compared(experiments))
    counts = ", ".join(f"{outcomes[o]} {o}" for o in ("equivalent", "different", "undecided"))
    parts = [f"{cell_label(*c[:3])} {_difference(c)}: {k.text}" for _, c, k in tested]
    text = f"{len(tested)} cells with {MIN_PAIRS} or more pairs: {counts}" if tested else "No cell with enough runs"
    text += f"; {small} with too few runs." if small else "."
    text += f" Diverged runs, in none of these means: {', '.join(lost)}." if lost else ""
    more = f"; and {len(parts) - _LISTED} more, see table1.csv" if len(parts) > _LISTED else ""
    text += f" {'; '.join(parts[:_LISTED])}{more}." if parts else ""
    text += "".join(f" {note}" for note in _short(experiments))
    yield Claim(
        "accuracy-on-par",
        "LinearConv networks are as accurate as plain ones.",
        PAPER,
        verdict,
        text,
        runs=tuple("/".join(c[:3]) for _, c, _ in tested),
        rule=f"Over all cells of the paper's layer with {MIN_PAIRS} or more pairs of runs. Not supported where a "
        "variant is below Conv, different and not equivalent; supported where every cell is equivalent, or different "
        "and above, and no run diverged; undecided otherwise. Paired t-tests, adjusted by Holm within each "
        "experiment; margin and level are those of its configuration.",
    )


def plug_and_play(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Convolutions replaced without changing a hyperparameter."""
    compared = _compared(experiments)
    planned = sum(c.planned for _, c, _ in compared)
    finished = sum(c.value.n for _, c, _ in compared)
    diverged = [c for _, c, _ in compared if c.diverged]
    changed = [
        cell_label(*c[:3])
        for e, c, _ in compared
        if (options := e.config.known_variants[c.variant].linear) and options.init != "paper"
    ]
    below = [c for _, c, k in compared if k.outcome == "different" and c.difference.mean < 0]
    tested = [c for _, c, k in compared if k.outcome != "n too small"]
    verdict: Verdict = "supported"
    if not finished + len(diverged):
        verdict = "not measured"
    elif diverged or below or changed:
        verdict = "not supported"
    elif len(tested) < len(compared) or any(k.outcome == "undecided" for *_, k in compared):
        verdict = "undecided"
    text = f"{finished} of {planned} planned runs of variants finished with the recipe of their plain network, "
    text += f"{sum(c.diverged for c in diverged)} diverged; {len(below)} cells are different from and below Conv."
    if changed:
        text += f" With another initialisation than the paper's: {', '.join(changed)}."
    yield Claim(
        "plug-and-play",
        "Convolutions can be replaced without changing a hyperparameter.",
        PAPER,
        verdict,
        text if verdict != "not measured" else "No run of a variant.",
        runs=tuple("/".join(c[:3]) for _, c, _ in compared if c.value.n + c.diverged),
        rule="Every run of a variant has its network's recipe by construction of the configuration. Not supported "
        "where "
        "one diverged, is different from and below Conv, or was given another initialisation; supported where all "
        "cells "
        f"have {MIN_PAIRS} or more pairs and are decided; undecided otherwise.",
    )


def _compared(experiments: Sequence[Experiment]) -> list[tuple[Experiment, Cell, Comparison]]:
    """The cells of the paper's layer, each with its experiment and its comparison with Conv."""
    return [(e, c, e.comparisons[c[:3]]) for e in experiments for c in e.cells if c.variant in evidence(e.config)]


def _difference(cell: Cell) -> str:
    low, high = (number(x, 2, signed=True) for x in cell.difference[3:])
    return f"{number(cell.difference.mean, 2, signed=True)} [{low}, {high}]"


def _short(experiments: Sequence[Experiment]) -> Iterator[str]:
    """A warning where networks were trained for fewer epochs than the paper's."""
    shares = []
    for e in experiments:
        for dataset, architecture in dict.fromkeys((c.dataset, c.architecture) for c in e.cells):
            ours, paper = e.config.recipe.resolve(architecture, dataset), PRESETS["paper"][architecture]
            if ours.epochs < paper.epochs:
                shares.append(f"{place_label(architecture, dataset)} {ours.epochs} of {paper.epochs}")
    if shares:
        yield f"Short training limits what this shows (epochs, of the paper's): {', '.join(shares)}."
