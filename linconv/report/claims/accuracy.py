"""Claims about accuracy and about training without new hyperparameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from linconv.config import PRESETS
from linconv.report.claims.model import PAPER, Claim, Verdict
from linconv.report.claims.scope import evidence
from linconv.report.labels import place_label
from linconv.report.source import Experiment
from linconv.report.text import interval_text, number
from linconv.report.wording import cell_label
from linconv.results.equivalence import MIN_PAIRS, Comparison
from linconv.results.statistics import Cell

_LISTED = 24  # cells listed in the evidence


class Compared(NamedTuple):
    """A cell of the paper's layer, its experiment, and its comparison with Conv."""

    experiment: Experiment
    cell: Cell
    comparison: Comparison

    @property
    def label(self) -> str:
        return cell_label(*self.cell[:3])

    @property
    def tested(self) -> bool:
        return self.comparison.outcome != "n too small"

    @property
    def below(self) -> bool:
        """Whether the cell is shown to be less accurate than Conv."""
        return self.comparison.outcome == "different" and self.cell.difference.mean < 0


def on_par(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Accuracy on par with the plain network."""
    compared = _compared(experiments)
    tested = [c for c in compared if c.tested]
    yield Claim(
        "accuracy-on-par",
        "LinearConv networks are as accurate as plain ones.",
        PAPER,
        _on_par_verdict(compared, tested),
        " ".join([*_on_par_evidence(compared, tested), *_short(experiments)]),
        runs=tuple("/".join(c.cell[:3]) for c in tested),
        rule=f"Over all cells of the paper's layer with {MIN_PAIRS} or more pairs of runs. Not supported where a "
        "variant is below Conv, different and not equivalent; supported where every cell is equivalent, or different "
        "and above, and no run diverged; undecided otherwise. Paired t-tests, adjusted by Holm within each "
        "experiment; margin and level are those of its configuration.",
    )


def _on_par_verdict(compared: Sequence[Compared], tested: Sequence[Compared]) -> Verdict:
    if not tested:
        return "not measured"
    if any(c.below for c in tested):
        return "not supported"
    decided = all(c.comparison.outcome in ("different", "equivalent") for c in tested)
    return "supported" if decided and not any(c.cell.diverged for c in compared) else "undecided"


def _on_par_evidence(compared: Sequence[Compared], tested: Sequence[Compared]) -> Iterator[str]:
    outcomes = Counter(c.comparison.outcome for c in compared)
    counts = ", ".join(f"{outcomes[o]} {o}" for o in ("equivalent", "different", "undecided"))
    text = f"{len(tested)} cells with {MIN_PAIRS} or more pairs: {counts}" if tested else "No cell with enough runs"
    small = outcomes["n too small"]
    yield f"{text}; {small} with too few runs." if small else f"{text}."
    if lost := [f"{c.label} {c.cell.diverged}" for c in compared if c.cell.diverged]:
        yield f"Diverged runs, in none of these means: {', '.join(lost)}."
    parts = [f"{c.label} {_difference(c.cell)}: {c.comparison.text}" for c in tested]
    if len(parts) > _LISTED:
        parts = [*parts[:_LISTED], f"and {len(parts) - _LISTED} more, see table1.csv"]
    if parts:
        yield f"{'; '.join(parts)}."


def plug_and_play(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Convolutions replaced without changing a hyperparameter."""
    compared = _compared(experiments)
    ran = [c for c in compared if c.cell.value.n + c.cell.diverged]
    yield Claim(
        "plug-and-play",
        "Convolutions can be replaced without changing a hyperparameter.",
        PAPER,
        _plug_and_play_verdict(compared),
        " ".join(_plug_and_play_evidence(compared)) if ran else "No run of a variant.",
        runs=tuple("/".join(c.cell[:3]) for c in ran),
        rule="Every run of a variant has its network's recipe by construction of the configuration. Not supported "
        "where one diverged, is different from and below Conv, or was given another initialisation; supported where "
        f"all cells have {MIN_PAIRS} or more pairs and are decided; undecided otherwise.",
    )


def _plug_and_play_verdict(compared: Sequence[Compared]) -> Verdict:
    if not any(c.cell.value.n + c.cell.diverged for c in compared):
        return "not measured"
    if any(c.cell.diverged or c.below or _another_init(c) for c in compared):
        return "not supported"
    return "supported" if all(c.tested and c.comparison.outcome != "undecided" for c in compared) else "undecided"


def _plug_and_play_evidence(compared: Sequence[Compared]) -> Iterator[str]:
    finished, planned = sum(c.cell.value.n for c in compared), sum(c.cell.planned for c in compared)
    yield f"{finished} of {planned} planned runs of variants finished with the recipe of their plain network,"
    diverged, below = sum(c.cell.diverged for c in compared), sum(c.below for c in compared)
    yield f"{diverged} diverged; {below} cells are different from and below Conv."
    if changed := [c.label for c in compared if _another_init(c)]:
        yield f"With another initialisation than the paper's: {', '.join(changed)}."


def _another_init(compared: Compared) -> bool:
    options = compared.experiment.config.known_variants[compared.cell.variant].linear
    return options is not None and options.init != "paper"


def _compared(experiments: Sequence[Experiment]) -> list[Compared]:
    """The cells of the paper's layer."""
    return [
        Compared(e, c, e.comparisons[c[:3]]) for e in experiments for c in e.cells if c.variant in evidence(e.config)
    ]


def _difference(cell: Cell) -> str:
    found = cell.difference
    return f"{number(found.mean, 2, signed=True)} {interval_text(found.low, found.high, 2, signed=True)}"


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
