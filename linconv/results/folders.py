"""Folders of results: which experiments a folder holds, and all results of one, read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from linconv.config import Config, ConfigError, RunKey, load_config, plan_runs
from linconv.results.schema import ComplexityResult, ResultError, RunResult, read_result


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
    runs: dict[RunKey, RunResult] = {}
    complexity: ComplexityResult | None = None
    damaged: list[str] = []
    for key in plan_runs(config):
        file = root / key.path / "result.json"
        try:
            if file.exists():
                runs[key] = _own(read_result(file, RunResult), key, file)
        except ResultError as error:
            damaged.append(str(error))
    file = root / "complexity.json"
    try:
        if file.exists():
            complexity = read_result(file, ComplexityResult)
    except ResultError as error:
        damaged.append(str(error))
    if strict and damaged:
        raise ResultError("\n".join(damaged))
    return Results(root, config, runs, complexity, damaged)


def _own(result: RunResult, key: RunKey, file: Path) -> RunResult:
    written = RunKey(result.dataset, result.architecture, result.variant, result.seed)
    if written != key:
        raise ResultError(f"{file}: holds the run {written}, not {key}; delete it or run again")
    return result
