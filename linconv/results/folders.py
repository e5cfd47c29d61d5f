"""Folders of results: which experiments a folder holds, and all results of one, read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from linconv.config import Config, ConfigError, RunKey, load_config
from linconv.results.kinds._kind import K, Kind, R
from linconv.results.kinds.complexity import ComplexityResult, Counts
from linconv.results.kinds.run import Runs
from linconv.results.kinds.run_record import RunResult
from linconv.results.reading import read_result
from linconv.results.record import ResultError


@dataclass(frozen=True)
class Results:
    """The results of one experiment: those that can be read, and one line for each that cannot."""

    root: Path
    config: Config
    runs: dict[RunKey, RunResult]
    complexity: ComplexityResult | None
    damaged: list[str] = field(default_factory=list)


def experiment_folders(folder: str | Path) -> list[Path]:
    """The experiment that `folder` is, or those that it holds, sorted by name.

    Raises:
        ResultError: there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultError(f"{folder}: no such folder; name results/<experiment> or a folder of such folders")
    if (folder / "config.yaml").is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob("*/config.yaml"))
    if not found:
        raise ResultError(f"{folder}: holds no experiment (no config.yaml here or one level below)")
    return found


def read_experiment(root: str | Path, *, strict: bool = False) -> Results:
    """Read every planned result of the experiment in folder `root`; missing ones are left out.

    Args:
        strict: refuse a damaged file instead of listing it.

    Raises:
        ResultError: the configuration cannot be used; a file is damaged and `strict`.
    """
    root = Path(root)
    try:
        config = load_config(root / "config.yaml")
    except ConfigError as error:
        raise ResultError(str(error)) from None
    runs, damaged = _read_all(Runs(), config, root)
    counts, damaged_counts = _read_all(Counts(), config, root)
    damaged += damaged_counts
    complexity = next(iter(counts.values()), None)
    if strict and damaged:
        raise ResultError("\n".join(damaged))
    return Results(root, config, runs, complexity, damaged)


def _read_all(kind: Kind[K, R], config: Config, root: Path) -> tuple[dict[K, R], list[str]]:
    """The results that are there, stale ones too, and a line for each that is damaged."""
    results: dict[K, R] = {}
    damaged: list[str] = []
    for key in kind.plan(config):
        if not (file := root / kind.path(key)).exists():
            continue
        try:
            result = read_result(file, kind.record)
        except ResultError as error:
            damaged.append(str(error))
            continue
        if (written := kind.key_of(result)) != key:
            damaged.append(f"{file}: holds {written}, not {key}; delete it to have it made again")
        else:
            results[key] = result
    return results, damaged
