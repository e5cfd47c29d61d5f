"""Two result folders side by side: two machines, two versions of the code, two configurations."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple

from scipy import stats

from linconv.config import RunKey, plan_cells, resolve_run
from linconv.report.compare_times import compare_times
from linconv.report.formats import MISSING, Column, Table, number, to_markdown
from linconv.report.labels import architecture_label, dataset_label, place_label, variant_label
from linconv.results.folders import Results, experiment_folders, read_experiment
from linconv.results.merge import differences, outcome
from linconv.results.schema import Complexity, ResultError, RunResult
from linconv.results.statistics import Spread, spread

Cell = tuple[str, str, str]

_COUNTS = ("params", "macs_folded", "macs_feature", "macs_weight", "flops_paper")
_LISTED = 20  # damaged files named


class Difference(NamedTuple):
    """Mean of B minus A with a 95 % interval, and how it was found: paired by n seeds, Welch's, or without one."""

    how: Literal["paired", "Welch", "none"]
    n: int
    mean: float
    low: float
    high: float


def difference(a: Mapping[int, float], b: Mapping[int, float]) -> Difference:
    """B minus A of values by seed.

    Paired where two seeds or more are in both: one seed gives both runs the same initial values and order of images,
    and a paired interval holds whether or not this makes them alike. Else Welch's, for two independent
    samples of any variances; without an interval where one side has a single run.
    """
    common = sorted(a.keys() & b.keys())
    if len(common) >= 2:
        paired = spread([b[seed] - a[seed] for seed in common])
        return Difference("paired", paired.n, paired.mean, paired.low, paired.high)
    ours, theirs = spread(a.values()), spread(b.values())
    mean = theirs.mean - ours.mean
    n = min(ours.n, theirs.n)
    if n < 2:
        return Difference("none", n, mean, math.nan, math.nan)
    if ours.sd == theirs.sd == 0:  # no variance to estimate a degree of freedom from
        return Difference("Welch", n, mean, mean, mean)
    interval = stats.ttest_ind(list(b.values()), list(a.values()), equal_var=False).confidence_interval(0.95)
    return Difference("Welch", n, mean, float(interval.low), float(interval.high))


def compare(a: str | Path, b: str | Path) -> str:
    """Markdown that sets the results in folder `b` beside those in folder `a`.

    Args:
        a: an experiment's folder, or a folder of them.
        b: likewise; experiments of two folders of experiments are matched by name.

    Raises:
        ResultError: a folder holds no experiment, or the two have none in common.
    """
    ours, theirs = ([read_experiment(root) for root in experiment_folders(folder)] for folder in (a, b))
    parts = [f"# A: `{a}`, B: `{b}`\n"]
    pairs = [(ours[0], theirs[0])] if len(ours) == len(theirs) == 1 else _matched(ours, theirs)
    if not pairs:
        raise ResultError(f"{a} and {b} have no experiment in common: {_names(ours)} and {_names(theirs)}")
    matched = [side for pair in pairs for side in pair]
    for folder, side in ((a, ours), (b, theirs)):
        alone = [results for results in side if not any(results is other for other in matched)]
        if alone:
            parts.append(f"Only in `{folder}`: {_names(alone)}.\n")
    for one, other in pairs:
        parts += _experiment(one, other)
    return "\n".join(parts)


def _matched(ours: Sequence[Results], theirs: Sequence[Results]) -> list[tuple[Results, Results]]:
    by_name = {results.config.experiment: results for results in theirs}
    return [(r, by_name[r.config.experiment]) for r in ours if r.config.experiment in by_name]


def _names(side: Iterable[Results]) -> str:
    return ", ".join(results.config.experiment for results in side)


def _experiment(a: Results, b: Results) -> Iterator[str]:
    names = dict.fromkeys((a.config.experiment, b.config.experiment))
    yield f"## {' and '.join(names)}\n"
    common = [key for key in a.runs if key in b.runs]
    equal = [key for key in common if outcome(a.runs[key]) == outcome(b.runs[key])]
    yield f"* {_runs_sentence(a, b, common, equal)}"
    yield f"* {_counts_sentence(a, b)}"
    timed, times = compare_times(a, b)
    if timed:
        yield f"* {timed}"
    for name, results in (("A", a), ("B", b)):
        for damaged in results.damaged[:_LISTED]:
            yield f"* {name}, not readable and left out: {' '.join(damaged.split())}"
        if len(results.damaged) > _LISTED:
            yield f"* {name}: and {len(results.damaged) - _LISTED} more files that cannot be read"
    yield ""
    tables = (_accuracies(a, b, set(equal)), _counts(a, b), times, _configurations(a, b, common), _origins(a, b))
    for table in tables:
        if table.rows:
            yield to_markdown(table)


def _runs_sentence(a: Results, b: Results, common: Sequence[RunKey], equal: Sequence[RunKey]) -> str:
    if not a.runs and not b.runs:
        return "Neither folder has a finished run."
    if not common:
        text = "No run is in both folders"
    elif len(equal) == len(common):
        text = f"All {len(common)} runs in both folders have equal results, to the last bit of every metric"
    else:
        text = f"Of {len(common)} runs in both folders, {len(equal)} have equal results to the last bit of every metric"
    return f"{text}; {len(a.runs) - len(common)} only in A, {len(b.runs) - len(common)} only in B."


def _accuracies(a: Results, b: Results, equal: set[RunKey]) -> Table:
    rows = []
    used: set[str] = set()
    for cell in dict.fromkeys((*plan_cells(a.config), *plan_cells(b.config))):
        ours, theirs = _values(a, cell), _values(b, cell)
        change = difference(ours, theirs)
        used.add(change.how)
        common = [key for key in a.runs if key in b.runs and key[:3] == cell]
        same = [key for key in common if key in equal]
        how = {"paired": f"paired ({change.n})", "Welch": f"Welch ({len(ours)}, {len(theirs)})", "none": MISSING}
        rows.append(
            [
                *(dataset_label(cell[0]), architecture_label(cell[1]), variant_label(cell[2])),
                *(_mean(spread(ours.values()), _diverged(a, cell)), _mean(spread(theirs.values()), _diverged(b, cell))),
                "equal" if same and ours == theirs else _with_interval(*change[2:], signed=True),
                how[change.how],
                f"{len(same)} of {len(common)}" if common else MISSING,
            ]
        )
    notes = ["equal (last column): runs of one seed whose metrics, history and redundancy have the same bytes in both."]
    if "paired" in used:
        notes.append("paired (n): over the n seeds in both; a seed fixes the initial values and the order of images.")
    if "Welch" in used:
        notes.append("Welch (n, m): fewer than two seeds in both, so the runs are taken as independent.")
    return Table(
        label="compare-top1",
        caption="Top-1 accuracy (%) on the test set: mean [95 % interval] (runs), and B minus A in percentage points.",
        columns=[
            *(Column(name, align="l") for name in ("data set", "network", "variant")),
            *(Column(name) for name in ("A", "B", "B - A")),
            *(Column("interval", align="l"), Column("equal")),
        ],
        rows=rows,
        notes=notes,
    )


def _values(results: Results, cell: Cell) -> dict[int, float]:
    done = {key.seed: run.metrics.top1 for key, run in results.runs.items() if key[:3] == cell and run.status == "ok"}
    return {seed: top1 for seed, top1 in done.items() if top1 is not None}


def _diverged(results: Results, cell: Cell) -> int:
    return sum(run.status == "diverged" for key, run in results.runs.items() if key[:3] == cell)


def _mean(values: Spread, diverged: int) -> str:
    text = f"{_with_interval(values.mean, values.low, values.high)} ({values.n})" if values.n else MISSING
    return f"{text}, {diverged} diverged" if diverged else text


def _with_interval(mean: float, low: float, high: float, *, signed: bool = False) -> str:
    text = number(mean, 2, signed=signed)
    if math.isnan(low):
        return text
    return f"{text} [{number(low, 2, signed=signed)}, {number(high, 2, signed=signed)}]"


def _models(results: Results) -> dict[tuple[str, str], Complexity]:
    models = [] if results.complexity is None else results.complexity.models
    return {(model.architecture, model.variant): model for model in models}


def _counts_sentence(a: Results, b: Results) -> str:
    ours, theirs = _models(a), _models(b)
    common = [cell for cell in ours if cell in theirs]
    if not common:
        return "No network's parameters and multiply-accumulates were counted in both folders."
    if _sizes(a) != _sizes(b):
        return f"Parameters and multiply-accumulates are counted for other inputs: {_sizes(a)} in A, {_sizes(b)} in B."
    unequal = sum(any(getattr(ours[c], n) != getattr(theirs[c], n) for n in _COUNTS) for c in common)
    if unequal:
        return f"Parameters or multiply-accumulates of {unequal} of {len(common)} networks differ."
    return f"Parameters and multiply-accumulates of all {len(common)} networks counted in both are equal."


def _sizes(results: Results) -> str:
    found = results.complexity
    if found is None:
        return MISSING
    return f"{'x'.join(map(str, found.input_shape))} and {found.classes} classes, batch {found.batch_size}"


def _counts(a: Results, b: Results) -> Table:
    ours, theirs = _models(a), _models(b)
    rows = []
    for cell in ours:
        for name in _COUNTS if cell in theirs else ():
            values = getattr(ours[cell], name), getattr(theirs[cell], name)
            if values[0] != values[1]:
                ratio = number(values[1] / values[0], 3) if values[0] else MISSING
                rows.append(
                    [architecture_label(cell[0]), variant_label(cell[1]), name, *(f"{v:,}" for v in values), ratio]
                )
    trained = {
        (key.dataset, key.architecture, key.variant): (run.metrics.params, b.runs[key].metrics.params)
        for key, run in a.runs.items()
        if key in b.runs and run.metrics.params != b.runs[key].metrics.params
    }
    for (dataset, architecture, variant), values in trained.items():
        where = place_label(architecture, dataset)
        rows.append([where, variant_label(variant), "params as trained", *_ratio(*values)])
    left = [Column(name, align="l") for name in ("network", "variant", "count")]
    return Table(
        label="compare-counts",
        caption="Parameters, multiply-accumulates per image and the paper's FLOPs that differ.",
        columns=[*left, Column("A"), Column("B"), Column("B / A")],
        rows=rows,
    )


def _ratio(a: int, b: int) -> list[str]:
    return [f"{a:,}", f"{b:,}", number(b / a, 3) if a else MISSING]


def _configurations(a: Results, b: Results, common: Sequence[RunKey]) -> Table:
    """The fields in which runs of one name differ, the experiment's name left out."""
    found: Counter[tuple[str, str, str]] = Counter()
    for key in common:
        ours, theirs = (resolve_run(results.config, key).identity() for results in (a, b))
        changed = differences(ours, theirs)
        found.update((name, json.dumps(x), json.dumps(y)) for name, x, y in changed if name != "experiment")
    rows = [[name, x, y, f"{n} of {len(common)}"] for (name, x, y), n in found.items()]
    return Table(
        label="compare-configurations",
        caption="Configuration of the runs in both folders, where it differs.",
        columns=[*(Column(name, align="l") for name in ("field", "A", "B")), Column("runs")],
        rows=rows,
    )


def _origins(a: Results, b: Results) -> Table:
    """Code, versions, hardware and numerics: one row per field, those that differ first."""
    ours, theirs = origin_values(a.runs.values()), origin_values(b.runs.values())
    rows: list[list[str]] = []
    for name in dict.fromkeys((*ours, *theirs)):
        texts = [", ".join(side.get(name, {})) or MISSING for side in (ours, theirs)]
        rows.append([name, *texts, "no" if texts[0] != texts[1] else "yes"])
    return Table(
        label="compare-origins",
        caption="Where the results come from: the values found in the runs of each folder.",
        columns=[Column(name, align="l") for name in ("field", "A", "B", "equal")],
        rows=sorted(rows, key=itemgetter(3)) if ours and theirs else [],
    )


def origin_values(runs: Iterable[RunResult]) -> dict[str, dict[str, None]]:
    """The values that some runs have in each field of their provenance, each value once, in the order met."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        origin = run.provenance
        commit = origin.git_commit and origin.git_commit[:12] + (" (dirty)" if origin.git_dirty else "")
        fields: dict[str, Any] = {"code_hash": run.code_hash, "git_commit": commit}
        for group in ("versions", "hardware", "numerics"):
            fields |= {f"{group}.{name}": value for name, value in getattr(origin, group).items()}
        for name, value in fields.items():
            if value is not None:
                found.setdefault(name, {})[str(value).lower() if isinstance(value, bool) else str(value)] = None
    return found
