"""From the result files of an experiment to tidy tables: one CSV file per kind of row."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from linconv.config import Config, RunKey, plan_runs
from linconv.results.arrays import read_npz, write_npz
from linconv.results.kinds import COLUMNS, KINDS
from linconv.results.kinds._kind import TidyRows
from linconv.results.kinds.run_record import RunResult
from linconv.results.manifest import write_manifest
from linconv.results.outcomes import COLLECTED as OUTCOMES
from linconv.results.outcomes import FILE, pack, read_outcomes
from linconv.results.planned import Problem, Reason, last_word, read_planned
from linconv.results.record import RETRAIN, ResultError, UnreadableError
from linconv.results.run_folder import remove_spent_checkpoints
from linconv.results.tidy import write_csv

_LISTED = 5  # runs named in an error; the rest are counted


@dataclass(frozen=True)
class Collected:
    """What `collect` found and wrote."""

    planned: int
    collected: int
    measurements_planned: int
    measurements: int
    correlations: int
    files: list[Path]
    problems: list[Problem] = field(default_factory=list)

    @property
    def failures(self) -> Counter[str]:
        """The problems of all results, by reason."""
        return Counter(problem.reason for problem in self.problems)

    def __str__(self) -> str:
        """Runs, the other files of runs, and measurements, each with its own problems."""
        of_runs = [problem for problem in self.problems if problem.kind == "run"]
        results = [problem for problem in of_runs if problem.file.endswith("/result.json")]
        files = [problem for problem in of_runs if problem not in results]
        measured = [problem for problem in self.problems if problem.kind != "run"]
        text = f"{self.collected} of {self.planned} runs collected{_counts(results)}"
        text += f"; other files of runs{_counts(files)}" if files else ""
        if self.measurements_planned:
            text += f"; {self.measurements} of {self.measurements_planned} measurements collected{_counts(measured)}"
        return text


def _counts(problems: Sequence[Problem]) -> str:
    """Such as ", 2 damaged, 1 missing"."""
    reasons = Counter(problem.reason for problem in problems)
    return "".join(f", {n} {reason}" for reason, n in sorted(reasons.items()))


def collect(config: Config, root: Path, *, partial: bool = False, data: Path | None = None) -> Collected:
    """Read every planned result below `root` and write the tidy data to `data`, by default `root`/data.

    By default the checkpoints of what has been collected go: no result can get lost any more.

    Args:
        config: the experiment; a result made with another configuration is refused.
        root: the experiment's folder, results/<experiment>.
        partial: use what is usable and list the rest in failures.csv instead of refusing.
        data: another folder for the tidy data.

    Raises:
        ResultError: not `partial`, and a planned result is missing, damaged or stale.
    """
    root = Path(root)
    rows: TidyRows = {}
    failures: list[Problem] = []
    runs: dict[RunKey, RunResult] = {}
    planned = measured = 0
    for kind in KINDS.values():
        found, problems = read_planned(kind, config, root)
        rows |= kind.rows(found)
        if kind.name == "run":
            runs, order = found, {key: i for i, key in enumerate(kind.plan(config))}
            problems += [_diverged(root, key, run) for key, run in runs.items() if run.status == "diverged"]
            problems.sort(key=lambda problem: order[problem.key])
        else:
            planned += len(kind.plan(config))
            measured += len(found)
        failures += problems
    arrays, unreadable = _correlations(config, root, runs)
    outcomes, lost = _outcomes(root, runs)
    failures += unreadable + lost
    unusable = [f for f in failures if f.reason != "diverged"]
    if unusable and not partial:
        raise ResultError(_refusal(config, unusable))

    rows["failures"] = [_failure_row(failure) for failure in failures]
    spent, data = data is None, data or root / "data"
    for marker in data.glob(".config-*"):  # of the pipeline: what it marked is written over
        marker.unlink()
    files = [write_csv(data / f"{name}.csv", columns, rows[name]) for name, columns in COLUMNS.items()]
    files.append(write_npz(data / "correlations.npz", arrays))
    # uncompressed, since log-probabilities hardly shrink
    files.append(write_npz(data / OUTCOMES, outcomes, compress=False))
    files.append(write_manifest(data))
    if spent:
        for key in runs:
            remove_spent_checkpoints(root / key.path)
    return Collected(
        planned=len(plan_runs(config)),
        collected=len(runs),
        measurements_planned=planned,
        measurements=measured,
        correlations=len(arrays),
        files=files,
        problems=failures,
    )


def _diverged(root: Path, key: RunKey, result: RunResult) -> Problem:
    last = last_word(root / key.log)
    detail = last or f"a metric is not finite in epoch {result.metrics.epoch}"
    log = key.log.as_posix() if last is not None else ""
    return Problem("run", key, "diverged", (key.path / "result.json").as_posix(), detail, log)


def _failure_row(problem: Problem) -> dict[str, Any]:
    row = {"reason": problem.reason, "detail": problem.detail, "log": problem.log}
    if isinstance(problem.key, RunKey):
        return {**problem.key._asdict(), **row}
    return {**row, "detail": f"{problem.file}: {problem.detail}"}


def _refusal(config: Config, failures: Sequence[Problem]) -> str:
    lines = [f"  {f.file}: {f.reason}: {f.detail.removeprefix(f'{f.file}: ')}" for f in failures[:_LISTED]]
    if len(failures) > _LISTED:
        lines.append(f"  and {len(failures) - _LISTED} more")
    return "\n".join(
        [
            f"experiment '{config.experiment}': {len(failures)} result(s) cannot be used; run them again, or collect "
            "what there is with --partial:",
            *lines,
        ]
    )


def unreadable_files(
    config: Config, root: Path, results: Mapping[RunKey, RunResult], *, readable: bool = False
) -> list[Problem]:
    """The files beside the results of runs that `collect` asks for and that cannot be read.

    Args:
        readable: raise UnreadableError for one that the system does not give, which may be good.
    """
    return _correlations(config, root, results, readable)[1] + _outcomes(root, results, readable)[1]


def _correlations(
    config: Config, root: Path, results: Mapping[RunKey, RunResult], readable: bool = False
) -> tuple[dict[str, np.ndarray], list[Problem]]:
    """The filter correlations that the heat maps show, and the files of them that cannot be read."""
    arrays: dict[str, np.ndarray] = {}
    failures: list[Problem] = []
    for key in _shown(config, results):
        file = key.path / "correlations.npz"
        try:
            stored = read_npz(root / file, remedy=RETRAIN)
        except ResultError as error:
            if readable and isinstance(error, UnreadableError):
                raise
            reason: Reason = "damaged" if (root / file).exists() else "missing"
            detail = f"{file.name}: {str(error).removeprefix(f'{root / file}: ')}"
            failures.append(Problem("run", key, reason, file.as_posix(), detail))
            continue
        arrays |= {f"{'/'.join(map(str, key))}/{name}": array for name, array in stored.items()}
    return arrays, failures


def _outcomes(
    root: Path, results: Mapping[RunKey, RunResult], readable: bool = False
) -> tuple[dict[str, np.ndarray], list[Problem]]:
    """The outcomes of every test image of every run, and the files of them that cannot be read."""
    arrays: dict[str, np.ndarray] = {}
    failures: list[Problem] = []
    for key, result in results.items():
        try:
            found = read_outcomes(root / key.path, result)
        except ResultError as error:
            if readable and isinstance(error, UnreadableError):
                raise
            file = key.path / FILE
            detail = str(error).removeprefix(f"{root / key.path}/")
            reason: Reason = "damaged" if (root / file).exists() else "missing"
            failures.append(Problem("run", key, reason, file.as_posix(), detail))
            continue
        if found is not None:
            arrays |= {f"{'/'.join(map(str, key))}/{name}": array for name, array in pack(found).items()}
    return arrays, failures


def _shown(config: Config, results: Mapping[RunKey, RunResult]) -> Iterator[RunKey]:
    """The runs whose filters the heat maps show.

    One seed, of the first split, per data set and network, so that the variants compare: the lowest of those that the
    most of the shown variants have finished. A variant without it gives its own lowest.
    """
    for dataset, architecture in itertools.product(config.datasets, config.architectures):
        seeds: dict[str, list[int]] = {}
        for variant in config.figures.heatmap_variants:
            keys = (RunKey(dataset, architecture, variant, seed, config.splits[0]) for seed in sorted(config.seeds))
            seeds[variant] = [k.seed for k in keys if k in results and results[k].status == "ok"]
        counts = Counter(itertools.chain(*seeds.values()))
        common = min(counts, key=lambda seed: (-counts[seed], seed), default=None)
        for variant, own in seeds.items():
            if own:
                yield RunKey(dataset, architecture, variant, common if common in own else own[0], config.splits[0])
