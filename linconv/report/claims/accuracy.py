"""Claims about accuracy and about training without new hyperparameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from linconv.config import Variant
from linconv.config.methods import PLAIN
from linconv.report.claims.model import ON_PAR, PAPER, PLUG_AND_PLAY, Claim, Verdict
from linconv.report.claims.scope import COMPLETE, evidence, share_of_epochs
from linconv.report.inference import Cell
from linconv.report.labels import place_label
from linconv.report.source import RUN, CellKey, Experiment, once
from linconv.report.verdicts import difference_text
from linconv.report.wording import cell_label
from linconv.statistics import MIN_RUNS, Comparison, compare

_LISTED = 24  # cells listed in the evidence


class Compared(NamedTuple):
    """A cell of the paper's layer and start, its experiment, its comparison with Conv, and its share of the epochs.

    `lost` are the runs that diverged while Conv's run of the same draw finished.
    """

    experiment: Experiment
    cell: Cell
    comparison: Comparison
    share: float
    lost: int

    @property
    def label(self) -> str:
        return cell_label(*self.cell[:3])

    @property
    def ran(self) -> bool:
        return bool(self.cell.value.n or self.cell.diverged)

    @property
    def complete(self) -> bool:
        """Whether it had the paper's epochs, or nearly."""
        return self.share >= COMPLETE

    @property
    def tested(self) -> bool:
        return self.comparison.outcome != "n too small"

    @property
    def below(self) -> bool:
        """Whether the cell is shown to be less accurate than Conv."""
        return self.comparison.outcome == "different" and self.comparison.mean < 0

    @property
    def as_good(self) -> bool:
        """Whether the cell is shown to be as accurate as Conv, or more."""
        return self.tested and not self.below and self.comparison.outcome != "undecided"


def on_par(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Accuracy on par with the plain network."""
    compared = _compared(experiments)
    complete = [c for c in compared if c.complete and c.ran]
    yield Claim(
        "accuracy-on-par",
        "LinearConv networks are as accurate as plain ones.",
        PAPER,
        _on_par_verdict(complete),
        " ".join(_results(complete)) or _no_complete(compared),
        runs=_runs(complete),
        rule=f"Over the cells of the paper's layer and start with {100 * COMPLETE:.0f} % or more of the paper's epochs "
        f"and {MIN_RUNS} or more runs. Not supported where a variant is below Conv, different and not equivalent; "
        "supported where every cell is equivalent, or different and above, and no run diverged; undecided otherwise. "
        "Intervals are simultaneous over all of these cells, at the smallest level of the experiments, each with the "
        "margin of its experiment; the spread of the seeds is that of these cells alone, so the tables' intervals can "
        "be others.",
        quote=ON_PAR,
        preliminary=_preliminary(compared),
    )


def _on_par_verdict(complete: Sequence[Compared]) -> Verdict:
    if not complete:
        return "not measured"
    tested = [c for c in complete if c.tested]
    if any(c.below for c in tested):
        return "not supported"
    return "supported" if all(c.as_good and not c.cell.diverged for c in complete) else "undecided"


def plug_and_play(experiments: Sequence[Experiment]) -> Iterator[Claim]:
    """Convolutions replaced without changing a hyperparameter."""
    compared = _compared(experiments)
    complete = [c for c in compared if c.complete and c.ran]
    lost = [c for c in compared if c.lost]
    used = [*complete, *(c for c in lost if not c.complete)]
    yield Claim(
        "plug-and-play",
        "Convolutions can be replaced without changing a hyperparameter.",
        PAPER,
        _plug_and_play_verdict(complete, lost),
        " ".join(_plug_and_play_evidence(complete, compared)) or _no_complete(compared),
        runs=_runs(used),
        rule="Every run has its network's recipe by construction of the configuration, and the paper's start. Not "
        "supported where a run diverged while Conv's run of the same seed finished, whatever its epochs, or where a "
        "cell with "
        f"{100 * COMPLETE:.0f} % or more of the paper's epochs is different from and below Conv; supported where there "
        f"are such cells and all have {MIN_RUNS} or more runs and are equivalent or above; undecided otherwise.",
        quote=PLUG_AND_PLAY,
        preliminary=_finished(compared),
    )


def _plug_and_play_verdict(complete: Sequence[Compared], lost: Sequence[Compared]) -> Verdict:
    if lost or any(c.below for c in complete):
        return "not supported"
    if not complete:
        return "not measured"
    return "supported" if all(c.as_good for c in complete) else "undecided"


def _plug_and_play_evidence(complete: Sequence[Compared], compared: Sequence[Compared]) -> Iterator[str]:
    if lost := [f"{c.label} {c.lost} of {c.cell.planned}" for c in compared if c.lost]:
        yield f"Diverged runs: {', '.join(lost)}."
    both = [(c, c.cell.diverged - c.lost) for c in compared if c.cell.diverged > c.lost]
    if both:
        cells = ", ".join(f"{c.label} {count} of {c.cell.planned}" for c, count in both)
        yield f"Diverged where Conv's run did not finish either, which decides nothing: {cells}."
    yield from _results(complete, with_diverged=False)


def _results(found: Sequence[Compared], *, with_diverged: bool = True) -> Iterator[str]:
    """How many cells came to which outcome, and each of them."""
    if not found:
        return
    outcomes = Counter(c.comparison.outcome for c in found)
    counts = ", ".join(f"{outcomes[o]} {o}" for o in ("equivalent", "different", "undecided") if outcomes[o])
    tested = [c for c in found if c.tested]
    small = len(found) - len(tested)
    text = f"{len(tested)} cells with {MIN_RUNS} or more runs: {counts}" if tested else "No cell with enough runs"
    yield f"{text}; {small} with too few runs." if small else f"{text}."
    if with_diverged and (lost := [f"{c.label} {c.cell.diverged}" for c in found if c.cell.diverged]):
        yield f"Diverged runs, in none of these means: {', '.join(lost)}."
    parts = [f"{c.label} {difference_text(c.comparison)}, {_margin(c)}: {c.comparison.text}" for c in tested]
    if len(parts) > _LISTED:
        parts = [*parts[:_LISTED], f"and {len(parts) - _LISTED} more, see table1.csv"]
    if parts:
        yield f"{'; '.join(parts)}."


def _margin(found: Compared) -> str:
    margin = found.comparison.margin
    return f"margin ±{margin.points:.2f} ({100 * margin.share:.0f} % of the error)" if margin.error else "no error"


def _no_complete(compared: Sequence[Compared]) -> str:
    if not any(c.ran for c in compared):
        return "No run of a variant."
    return f"No cell had {100 * COMPLETE:.0f} % or more of the paper's epochs."


def _preliminary(compared: Sequence[Compared]) -> str:
    """What the cells with fewer epochs show, which decides nothing."""
    short = [c for c in compared if not c.complete and c.ran]
    if not short:
        return ""
    shares = {(c.cell.architecture, c.cell.dataset): c.share for c in short}
    epochs = ", ".join(f"{place_label(*place)} {100 * share:.2g} %" for place, share in shares.items())
    return " ".join([f"With a part of the paper's epochs ({epochs}):", *_results(short)])


def _finished(compared: Sequence[Compared]) -> str:
    """How many runs with fewer epochs finished, and which cells are below Conv."""
    short = [c for c in compared if not c.complete and c.ran]
    if not short:
        return ""
    finished, planned = sum(c.cell.value.n for c in short), sum(c.cell.planned for c in short)
    below = ", ".join(c.label for c in short if c.below) or "none"
    return f"{finished} of {planned} runs with a part of the paper's epochs finished; below Conv: {below}."


def _runs(found: Iterable[Compared]) -> tuple[str, ...]:
    return tuple(dict.fromkeys("/".join(c.cell[:3]) for c in found))


def _compared(experiments: Sequence[Experiment]) -> list[Compared]:
    """The cells of the paper's layer with the paper's start; other variants have no part in their comparisons.

    Those with the paper's epochs, on which verdicts rest, are one family of tests whatever their experiments. The
    others are a family in each experiment.
    """
    found = []
    for number, experiment in enumerate(experiments):
        allowed = evidence(experiment.config)
        known = experiment.config.known_variants
        chosen = [v for v in experiment.config.variants if v in allowed and _own_start(known[v])]
        own = experiment.with_variants([PLAIN, *chosen])
        finished = _draws(own, "ok")
        for c in own.cells:
            if not c.baseline:
                at = (f"{number}", "/".join(c.place))
                plain = finished.get((*c.place, PLAIN), set())
                lost = len(_draws(own, "diverged").get(c[:3], set()) & plain)
                found.append((at, Compared(own, c, own.comparisons[c[:3]], share_of_epochs(own, *c.place), lost)))
    alpha = min((e.config.statistics.alpha for e in experiments), default=0.05)
    family = [(at, c) for at, c in found if c.complete]
    places = {at: c for at, c in family if c.cell.place in c.experiment.models}
    models = {at: c.experiment.models[c.cell.place] for at, c in places.items()}
    margins = {at: c.experiment.margins[c.cell.place] for at, c in places.items()}
    compared = compare(models, [(at, (c.cell.variant, PLAIN)) for at, c in family], margins, alpha, plan=False)
    return [c._replace(comparison=compared.get((at, (c.cell.variant, PLAIN)), c.comparison)) for at, c in found]


@once
def _draws(experiment: Experiment, status: str) -> dict[CellKey, set[tuple[int, int]]]:
    """Split and seed of the runs that ended in one way, by cell."""
    ended = experiment.runs[experiment.runs["status"] == status]
    found: dict[CellKey, set[tuple[int, int]]] = {}
    for *cell, split, seed in ended[RUN].itertuples(index=False, name=None):
        dataset, architecture, variant = cell
        found.setdefault((dataset, architecture, variant), set()).add((split, seed))
    return found


def _own_start(variant: Variant) -> bool:
    return variant.linear is not None and variant.linear.init == "paper"
