"""Two result folders side by side: two machines, two versions of the code, two configurations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from linconv.report.compare.accuracies import accuracies_compared, runs_sentence
from linconv.report.compare.counts import counts_compared, counts_sentence
from linconv.report.compare.origins import configurations_compared, origins_compared
from linconv.report.compare.times import times_compared
from linconv.report.formats import to_markdown
from linconv.results import ResultError
from linconv.results.folders import Results, experiment_folders, read_experiment
from linconv.results.merge import outcome

_LISTED = 20  # damaged files named

Sides = tuple[Results, Results]


def compare_folders(a: str | Path, b: str | Path) -> str:
    """Markdown that sets the results in folder `b` beside those in folder `a`.

    Args:
        a: an experiment's folder, or a folder of them.
        b: a folder of the same kind; experiments of two folders of experiments are matched by name.

    Raises:
        ResultError: a folder holds no experiment, or the two have none in common.
    """
    ours, theirs = ([read_experiment(root) for root in experiment_folders(folder)] for folder in (a, b))
    pairs = [(ours[0], theirs[0])] if len(ours) == len(theirs) == 1 else _matched(ours, theirs)
    if not pairs:
        raise ResultError(f"{a} and {b} have no experiment in common: {_names(ours)} and {_names(theirs)}")
    parts = [f"# A: `{a}`, B: `{b}`\n"]
    parts += [*_alone(a, ours, pairs), *_alone(b, theirs, pairs)]
    for pair in pairs:
        parts += _experiment(*pair)
    return "\n".join(parts)


def _matched(ours: Sequence[Results], theirs: Sequence[Results]) -> list[Sides]:
    by_name = {results.config.experiment: results for results in theirs}
    return [(r, by_name[r.config.experiment]) for r in ours if r.config.experiment in by_name]


def _alone(folder: str | Path, side: Iterable[Results], pairs: Sequence[Sides]) -> Iterator[str]:
    """The experiments of one folder that the other has not."""
    matched = {id(results) for pair in pairs for results in pair}
    alone = [results for results in side if id(results) not in matched]
    if alone:
        yield f"Only in `{folder}`: {_names(alone)}.\n"


def _names(side: Iterable[Results]) -> str:
    return ", ".join(results.config.experiment for results in side)


def _experiment(a: Results, b: Results) -> Iterator[str]:
    names = dict.fromkeys((a.config.experiment, b.config.experiment))
    yield f"## {' and '.join(names)}\n"
    common = [key for key in a.runs if key in b.runs]
    equal = {key for key in common if outcome(a.runs[key]) == outcome(b.runs[key])}
    timed, times = times_compared(a, b)
    sentences = [runs_sentence(a, b, common, equal), counts_sentence(a, b), timed, *_damaged("A", a), *_damaged("B", b)]
    yield from (f"* {sentence}" for sentence in sentences if sentence)
    yield ""
    tables = (
        accuracies_compared(a, b, equal),
        counts_compared(a, b),
        times,
        configurations_compared(a, b, common),
        origins_compared(a, b),
    )
    yield from (to_markdown(table) for table in tables if table.rows)


def _damaged(name: str, results: Results) -> Iterator[str]:
    for damaged in results.damaged[:_LISTED]:
        yield f"{name}, not readable and left out: {' '.join(damaged.split())}"
    if len(results.damaged) > _LISTED:
        yield f"{name}: and {len(results.damaged) - _LISTED} more files that cannot be read"
