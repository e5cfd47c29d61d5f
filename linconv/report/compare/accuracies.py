"""The accuracies of two result folders side by side."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator

import pandas as pd

from linconv.config import RunKey, plan_cells
from linconv.report.compare.change import Draw, MeanDifference, change
from linconv.report.source import CellKey
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table
from linconv.report.text import MISSING, interval_text, number
from linconv.report.wording import mixture_notes
from linconv.results.folders import Results
from linconv.results.kinds.run import Runs
from linconv.results.notes import mixtures
from linconv.statistics import Spread, spread
from linconv.statistics.spread import ROUNDING

_CAPTION = "Top-1 accuracy (%) on the test set: mean [95 % interval] (runs), and B minus A in percentage points."
_COLUMNS = (
    DATASET,
    NETWORK,
    VARIANT,
    Column("A"),
    Column("B"),
    Column("B - A"),
    Column("interval", align="l"),
    Column("equal"),
)
_NOTES = {
    "paired": "paired (n): over the n seeds in both; a seed fixes the initial values and the order of images.",
    "Welch": "Welch (n, m): fewer than two seeds in both, so the runs are taken as independent.",
}


def runs_sentence(a: Results, b: Results, common: Collection[RunKey], equal: Collection[RunKey]) -> str:
    """How many runs are in both folders, and how many of them have equal results."""
    if not a.runs and not b.runs:
        return "Neither folder has a finished run."
    if not common:
        text = "No run is in both folders"
    elif len(equal) == len(common):
        text = f"All {len(common)} runs in both folders have equal results, to the last bit of every metric"
    else:
        text = f"Of {len(common)} runs in both folders, {len(equal)} have equal results to the last bit of every metric"
    return f"{text}; {len(a.runs) - len(common)} only in A, {len(b.runs) - len(common)} only in B."


def accuracies_compared(a: Results, b: Results, equal: Collection[RunKey]) -> Table:
    """A row per cell of both configurations; `equal` are the runs whose results are the same in both."""
    rows = Rows(_COLUMNS)
    used: set[str] = set()
    for cell in dict.fromkeys((*plan_cells(a.config), *plan_cells(b.config))):
        ours, theirs = _by_draw(a, cell), _by_draw(b, cell)
        found = change(ours, theirs)
        used.add(found.how)
        common = [key for key in a.runs if key in b.runs and key[:3] == cell]
        same = sum(key in equal for key in common)
        rows.add(
            *cell,
            _mean(_accuracies(ours.values()), _diverged(a, cell)),
            _mean(_accuracies(theirs.values()), _diverged(b, cell)),
            "equal" if same and ours == theirs else _with_interval(found, signed=True),
            _how(found, len(ours), len(theirs)),
            f"{same} of {len(common)}" if common else MISSING,
        )
    return rows.table(_CAPTION, [*_notes(used), *_mixed("A", a), *_mixed("B", b)])


def _mixed(name: str, results: Results) -> Iterator[str]:
    """What the runs of one folder that are averaged here do not have in common."""
    runs = pd.DataFrame(Runs().rows(results.runs)["runs"], columns=Runs.columns["runs"])
    yield from (f"{name}, {note}" for note in mixture_notes(mixtures(runs)))


def _notes(used: Collection[str]) -> Iterator[str]:
    yield "equal (last column): runs of one seed whose metrics, history and redundancy have the same bytes in both."
    yield from (text for how, text in _NOTES.items() if how in used)


def _by_draw(results: Results, cell: CellKey) -> dict[Draw, float]:
    own = {(key.split, key.seed): run for key, run in results.runs.items() if key[:3] == cell}
    done = {draw: run.metrics.top1 for draw, run in own.items() if run.status == "ok"}
    return {draw: top1 for draw, top1 in done.items() if top1 is not None}


def _diverged(results: Results, cell: CellKey) -> int:
    return sum(run.status == "diverged" for key, run in results.runs.items() if key[:3] == cell)


def _accuracies(values: Iterable[float]) -> Spread:
    """Mean and interval of accuracies; an interval ends where accuracies do, and runs that are all alike have none."""
    found = spread(values)
    if found.sd < ROUNDING:  # not at all known by the runs alone
        return found._replace(low=math.nan, high=math.nan)
    return found._replace(low=max(0.0, found.low), high=min(100.0, found.high))


def _mean(values: Spread, diverged: int) -> str:
    text = f"{_with_interval(values)} ({values.n})" if values.n else MISSING
    return f"{text}, {diverged} diverged" if diverged else text


def _with_interval(found: Spread | MeanDifference, *, signed: bool = False) -> str:
    interval = interval_text(found.low, found.high, 2, signed=signed)
    return f"{number(found.mean, 2, signed=signed)} {interval}".rstrip()


def _how(found: MeanDifference, ours: int, theirs: int) -> str:
    if found.how == "paired":
        return f"paired ({found.n})"
    return f"Welch ({ours}, {theirs})" if found.how == "Welch" else MISSING
