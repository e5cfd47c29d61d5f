"""From the result files of an experiment to tidy tables: one CSV file per kind of row."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from linconv.config import Config, RunKey, plan_runs, resolve_run
from linconv.config.runs import complexity_hash
from linconv.config.throughput import plan_throughput
from linconv.results.arrays import read_npz, write_npz
from linconv.results.commands import shown_text
from linconv.results.manifest import write_manifest
from linconv.results.measured import MEASURED, read_measured, rows_of
from linconv.results.outcomes import COLLECTED as OUTCOMES
from linconv.results.outcomes import FILE, pack, read_outcomes
from linconv.results.run_folder import remove_spent_checkpoints
from linconv.results.schema import ComplexityResult, ResultError, RunResult, read_result
from linconv.results.throughput import ThroughputResult, read_cells, throughput_hash
from linconv.results.tidy import COLUMNS, complexity_rows, run_rows, throughput_rows, write_csv

Reason = Literal["missing", "damaged", "stale", "diverged"]

_LISTED = 5  # runs named in an error; the rest are counted


@dataclass(frozen=True)
class Collected:
    """What `collect` found and wrote."""

    planned: int
    collected: int
    correlations: int
    files: list[Path]
    failures: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        counts = "".join(f", {n} {reason}" for reason, n in sorted(self.failures.items()))
        return f"{self.collected} of {self.planned} runs collected{counts}"


@dataclass(frozen=True)
class _Failure:
    key: RunKey | None
    reason: Reason
    file: str
    detail: str
    log: str

    def row(self) -> dict[str, Any]:
        coordinates = self.key._asdict() if self.key else {}
        return {**coordinates, "reason": self.reason, "detail": self.detail, "log": self.log}


def collect(config: Config, root: Path, *, partial: bool = False, data: Path | None = None) -> Collected:
    """Read every planned result below `root` and write the tidy data to `data`, by default `root`/data.

    By default the checkpoints of what has been collected go: no result can get lost any more.

    Args:
        config: the experiment; a result made with another configuration is refused.
        root: the experiment's folder, results/<experiment>.
        partial: use what is usable and list the rest in failures.csv instead of refusing.
        data: another folder for the tidy data.

    Raises:
        ResultError: not `partial`, and a run or the complexity is missing, damaged or stale.
    """
    root = Path(root)
    results: dict[RunKey, RunResult] = {}
    failures: list[_Failure] = []
    for key in plan_runs(config):
        found = _read_run(config, root, key)
        if isinstance(found, _Failure):
            failures.append(found)
            continue
        results[key] = found
        if found.status == "diverged":
            failures.append(_diverged(root, key, found))
    complexity = _read_complexity(config, root)
    if isinstance(complexity, _Failure):
        failures.append(complexity)
    cells, untimed = _read_throughput(config, root)
    failures += untimed
    arrays, unreadable = _correlations(config, root, results)
    outcomes, lost = _outcomes(root, results)
    failures += unreadable + lost
    measured, unreadable = _read_measured(root)
    failures += unreadable
    unusable = [f for f in failures if f.reason != "diverged"]
    if unusable and not partial:
        raise ResultError(_refusal(config, unusable))

    rows = run_rows(results) | complexity_rows(None if isinstance(complexity, _Failure) else complexity)
    rows |= measured | {"throughput": throughput_rows(cells)}
    rows["failures"] = [failure.row() for failure in failures]
    spent, data = data is None, data or root / "data"
    for marker in data.glob(".config-*"):  # of the pipeline: what it marked is written over
        marker.unlink()
    files = [write_csv(data / f"{name}.csv", columns, rows[name]) for name, columns in COLUMNS.items()]
    files.append(write_npz(data / "correlations.npz", arrays))
    # uncompressed, since log-probabilities hardly shrink
    files.append(write_npz(data / OUTCOMES, outcomes, compress=False))
    files.append(write_manifest(data))
    if spent:
        for key in results:
            remove_spent_checkpoints(root / key.path)
    return Collected(
        planned=len(plan_runs(config)),
        collected=len(results),
        correlations=len(arrays),
        files=files,
        failures=Counter(failure.reason for failure in failures),
    )


def _read_run(config: Config, root: Path, key: RunKey) -> RunResult | _Failure:
    """The result of one run, or why it cannot be used."""
    file = key.path / "result.json"
    log, last = key.log, _last_word(root / key.log)

    def failure(reason: Reason, detail: str) -> _Failure:
        return _Failure(key, reason, file.as_posix(), detail, log.as_posix() if last is not None else "")

    if not (root / file).exists():
        return failure("missing", last or "no result file and no log: the run has not been started")
    try:
        result = read_result(root / file, RunResult)
    except ResultError as error:
        return failure("damaged", str(error).removeprefix(f"{root / file}: "))
    written = RunKey(result.dataset, result.architecture, result.variant, result.seed)
    if written != key:
        return failure("damaged", f"holds the run {written}; delete it or run again")
    expected = resolve_run(config, key).hash
    if result.config_hash != expected:
        detail = f"made with configuration {result.config_hash}, this one is {expected}; delete it or run again"
        return failure("stale", detail)
    return result


def _diverged(root: Path, key: RunKey, result: RunResult) -> _Failure:
    log, last = key.log, _last_word(root / key.log)
    detail = last or f"a metric is not finite in epoch {result.metrics.epoch}"
    file = key.path / "result.json"
    return _Failure(key, "diverged", file.as_posix(), detail, log.as_posix() if last is not None else "")


def _read_complexity(config: Config, root: Path) -> ComplexityResult | _Failure:
    file = root / "complexity.json"
    try:
        result = read_result(file, ComplexityResult)
        expected = complexity_hash(config.complexity, config.planned_variants)
        if result.grid_hash != expected:
            detail = f"counted for grid {result.grid_hash}, this one is {expected}; delete it or count again"
            return _Failure(None, "stale", file.name, f"{file.name}: {detail}", "")
        return result
    except ResultError as error:
        reason: Reason = "damaged" if file.exists() else "missing"
        detail = str(error).removeprefix(f"{file}: ") if file.exists() else "the complexity was not measured"
        return _Failure(None, reason, file.name, f"{file.name}: {detail}", "")


def _read_throughput(config: Config, root: Path) -> tuple[list[ThroughputResult], list[_Failure]]:
    """The timed cells of the configuration, and why the others cannot be used; nothing where none are planned."""
    if config.throughput is None:
        return [], []
    names = [key.name for key in plan_throughput(config.throughput)]
    cells, problems = read_cells(root / "throughput", names, throughput_hash(config.throughput, config.known_variants))
    failures = [
        _Failure(None, problem.reason, f"throughput/{name}.json", f"{name}: {problem.detail}", "")
        for name, problem in problems.items()
    ]
    return cells, failures


def _read_measured(root: Path) -> tuple[dict[str, list[dict[str, Any]]], list[_Failure]]:
    """The rows of every other kind of measurement, and the files of them that cannot be read."""
    rows: dict[str, list[dict[str, Any]]] = {}
    failures: list[_Failure] = []
    for kind in MEASURED:
        results, damaged = read_measured(root, kind)
        rows[kind] = rows_of(kind, results)
        failures += [_Failure(None, "damaged", file, f"{file}: {detail}", "") for file, detail in damaged.items()]
    return rows, failures


def _last_word(log: Path) -> str | None:
    """Why a run ended, by its log: the last error it names, else the last line ("" when empty); None without a log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    lines = [line.strip()[:300] for line in lines if line.strip()]
    errors = [line for line in lines if "error: " in line]  # a message may go on over several lines
    return shown_text((errors or lines or [""])[-1])


def _refusal(config: Config, failures: Sequence[_Failure]) -> str:
    lines = [f"  {f.file}: {f.reason}: {f.detail.removeprefix(f'{f.file}: ')}" for f in failures[:_LISTED]]
    if len(failures) > _LISTED:
        lines.append(f"  and {len(failures) - _LISTED} more")
    return "\n".join(
        [
            f"experiment '{config.experiment}': {len(failures)} result(s) cannot be used:",
            *lines,
            "run them again, or collect what there is with --partial",
        ]
    )


def _correlations(
    config: Config, root: Path, results: Mapping[RunKey, RunResult]
) -> tuple[dict[str, np.ndarray], list[_Failure]]:
    """The filter correlations that the heat maps show, and the files of them that cannot be read."""
    arrays: dict[str, np.ndarray] = {}
    failures: list[_Failure] = []
    for key in _shown(config, results):
        file = key.path / "correlations.npz"
        try:
            stored = read_npz(root / file, remedy="delete the run's folder and train it again")
        except ResultError as error:
            reason: Reason = "damaged" if (root / file).exists() else "missing"
            detail = f"{file.name}: {str(error).removeprefix(f'{root / file}: ')}"
            failures.append(_Failure(key, reason, file.as_posix(), detail, ""))
            continue
        arrays |= {f"{'/'.join(map(str, key))}/{name}": array for name, array in stored.items()}
    return arrays, failures


def _outcomes(root: Path, results: Mapping[RunKey, RunResult]) -> tuple[dict[str, np.ndarray], list[_Failure]]:
    """The outcomes of every test image of every run, and the files of them that cannot be read."""
    arrays: dict[str, np.ndarray] = {}
    failures: list[_Failure] = []
    for key, result in results.items():
        try:
            found = read_outcomes(root / key.path, result)
        except ResultError as error:
            file = key.path / FILE
            detail = str(error).removeprefix(f"{root / key.path}/")
            reason: Reason = "damaged" if (root / file).exists() else "missing"
            failures.append(_Failure(key, reason, file.as_posix(), detail, ""))
            continue
        if found is not None:
            arrays |= {f"{'/'.join(map(str, key))}/{name}": array for name, array in pack(found).items()}
    return arrays, failures


def _shown(config: Config, results: Mapping[RunKey, RunResult]) -> Iterator[RunKey]:
    """The runs whose filters the heat maps show.

    One seed per data set and network, so that the variants compare: the lowest of those that the most of the
    shown variants have finished. A variant without it gives its own lowest.
    """
    for dataset, architecture in itertools.product(config.datasets, config.architectures):
        seeds: dict[str, list[int]] = {}
        for variant in config.figures.heatmap_variants:
            keys = (RunKey(dataset, architecture, variant, seed) for seed in sorted(config.seeds))
            seeds[variant] = [k.seed for k in keys if k in results and results[k].status == "ok"]
        counts = Counter(itertools.chain(*seeds.values()))
        common = min(counts, key=lambda seed: (-counts[seed], seed), default=None)
        for variant, own in seeds.items():
            if own:
                yield RunKey(dataset, architecture, variant, common if common in own else own[0])
