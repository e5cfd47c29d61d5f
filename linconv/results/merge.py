"""Joining the folders of one experiment that several machines have filled."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linconv.config import Config, ConfigError, RunKey, parse_config, plan_cells, plan_runs, resolve_run
from linconv.config.writing import config_text
from linconv.results.arrays import read_npz
from linconv.results.collect import collect
from linconv.results.files import temporary_folder, write_result, write_text
from linconv.results.folders import Results, read_experiment
from linconv.results.kinds import KINDS
from linconv.results.kinds.complexity import Complexity, ComplexityResult, complexity_hash, counted_variants
from linconv.results.kinds.run_record import RunResult
from linconv.results.outcomes import read_outcomes
from linconv.results.record import RETRAIN, ResultError
from linconv.results.run_folder import WEIGHTS, check_weights

_KEPT = (
    "result.json",
    "correlations.npz",
    "outcomes.npz",
    "weights.pt",
)  # of a run's folder; a finished run has no checkpoint

MEASURED = [name for name in KINDS if name not in ("run", "complexity")]  # depend on the machine


@dataclass(frozen=True)
class Merged:
    """What `merge` wrote: runs joined, those that more than one folder had, and what is left to do."""

    planned: int
    joined: int
    duplicates: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        twice = f" ({self.duplicates} of them in more than one folder, with equal results)" if self.duplicates else ""
        return "\n".join([f"{self.joined} of {self.planned} runs joined{twice}", *self.notes])


def merge(folders: Sequence[Path], output: Path) -> Merged:
    """Join folders of one experiment into the new folder `output`, collected, ready for rendering.

    The grid is the union of the grids; cells of their product that no folder planned are excluded.

    Args:
        folders: two or more experiment folders, each with its config.yaml.
        output: a folder that does not exist or is empty, and is not the current one.

    Raises:
        ResultError: other experiments, configurations that make one run two things, damaged or stale files, one
            run with two different results, an output in use.
    """
    if len(folders) < 2:
        raise ResultError("merge needs at least two folders of one experiment")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ResultError(f"{output}: is not empty; name a new folder")
    if output.name in ("", ".."):  # which no path beside it can be made of
        output = output.resolve()
    if output == Path.cwd():
        raise ResultError(f"{output}: is the current folder, which cannot be replaced; name a new folder in it")
    sources = [read_experiment(folder, strict=True) for folder in folders]
    config = common_config(sources)
    for source in sources:
        _check_runs(source)
    chosen, duplicates = _chosen(sources)
    complexity, notes = _merged_complexity(config, sources, output)
    notes += [note for source in sources for note in _strangers(source)]
    left_out = [name for name in MEASURED if any(KINDS[name].plan(source.config) for source in sources)]
    if left_out:
        notes.append(
            f"{', '.join(left_out)} left out: measurements of two machines do not make one; `linconv report` shows "
            "each folder's"
        )
        config = config.model_copy(update=dict.fromkeys(left_out))
    with temporary_folder(output) as temporary:
        root = temporary / output.name
        write_text(root / "config.yaml", config_text(config, defaults=True))
        if complexity is not None:
            write_result(root / "complexity.json", complexity)
        for key, source in chosen.items():
            _copy_run(source.root, root, key)
        collect(config, root, partial=True)
        if output.exists():
            output.rmdir()
        root.rename(output)
    return Merged(len(plan_runs(config)), len(chosen), duplicates, tuple(notes))


def common_config(sources: Sequence[Results]) -> Config:
    """One configuration under which every run of `sources` is what it was.

    The first folder's values are kept wherever they are no part of a run's identity; its recipe is, unless another
    folder's recipe is the one that describes the runs of all.

    Raises:
        ResultError: there is no such configuration, or `statistics` differ; names the fields and the two files.
    """
    first = sources[0]
    for other in sources[1:]:
        if other.config.experiment != first.config.experiment:
            raise ResultError(
                f"{other.root / 'config.yaml'}: experiment '{other.config.experiment}', but "
                f"{first.root / 'config.yaml'} is of '{first.config.experiment}'; only one experiment can be merged"
            )
    raw = first.config.model_dump(mode="json") | {
        "datasets": _union(sources, lambda c: c.datasets),
        "architectures": _union(sources, lambda c: c.architectures),
        "variants": _union(sources, lambda c: c.variants),
        "seeds": sorted(_union(sources, lambda c: c.seeds)),
        "splits": sorted(_union(sources, lambda c: c.splits)),
    }
    for name in ("define", "imagefolders"):
        # what differs here and matters shows in the runs' hashes
        tables = [source.config.model_dump(mode="json")[name] for source in reversed(sources)]
        raw[name] = {k: v for table in tables for k, v in table.items()}
    raw["statistics"] = _statistics(sources)
    raw["complexity"]["architectures"] = _union(sources, lambda c: c.complexity.architectures)
    raw["exclude"] = _holes(raw, {cell for source in sources for cell in plan_cells(source.config)})
    refusals = []
    for recipe in _distinct(source.config.model_dump(mode="json")["recipe"] for source in sources):
        try:
            merged = parse_config({**raw, "recipe": recipe}, "merged configuration")
        except ConfigError as error:
            raise ResultError(str(error)) from None
        refusal = next((r for source in sources if (r := _changed(merged, source, first))), None)
        if refusal is None:
            return merged
        refusals.append(refusal)
    raise ResultError(refusals[0])


def _statistics(sources: Sequence[Results]) -> dict[str, Any]:
    """The statistics of all folders: one level and share, and one margin for each data set."""
    first, points = sources[0], dict[str, float | None]()
    for source in sources:
        own = source.config.statistics
        found = {dataset: own.points_on(dataset) for dataset in source.config.datasets}
        agree = (own.alpha, own.margin_share) == (first.config.statistics.alpha, first.config.statistics.margin_share)
        if not agree or any(points.setdefault(dataset, margin) != margin for dataset, margin in found.items()):
            raise ResultError(
                f"{source.root / 'config.yaml'}: margins or level under statistics are not those of "
                f"{first.root / 'config.yaml'}; the verdicts of a table have one of each: make them equal "
                "(trains nothing)"
            )
    given = {dataset: margin for dataset, margin in points.items() if margin is not None}
    return first.config.statistics.model_dump(mode="json") | {"margin": given or None}


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON-able values differ: path of keys and both values, None where one has no such key."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for name in dict.fromkeys((*ours, *theirs)):
            yield from differences(ours.get(name), theirs.get(name), f"{path}.{name}" if path else str(name))
    elif ours != theirs:
        yield path, ours, theirs


def _changed(merged: Config, source: Results, first: Results) -> str | None:
    """The first run of `source` that `merged` would make another one, and in what; None where there is none."""
    for key in plan_runs(source.config):
        own, new = resolve_run(source.config, key), resolve_run(merged, key)
        if own.hash != new.hash:
            changes = "; ".join(
                f"{name} is {b!r} and {a!r}" for name, a, b in differences(own.identity(), new.identity())
            )
            return (
                f"the configurations {first.root / 'config.yaml'} and {source.root / 'config.yaml'} do not fit "
                f"together: of the run {key}, {changes}; only runs of one configuration can be merged"
            )
    return None


def _holes(raw: Mapping[str, Any], planned: set[tuple[str, str, str]]) -> list[dict[str, list[str]]]:
    """Exclusions for the cells of the grid that nobody planned, one per data set and network."""
    holes = []
    for dataset, architecture in itertools.product(raw["datasets"], raw["architectures"]):
        left_out = [v for v in raw["variants"] if (dataset, architecture, v) not in planned]
        if left_out:
            holes.append({"datasets": [dataset], "architectures": [architecture], "variants": left_out})
    return holes


def _check_runs(source: Results) -> None:
    for key, result in source.runs.items():
        expected = resolve_run(source.config, key).hash
        if result.config_hash != expected:
            raise ResultError(
                f"{source.root / key.path / 'result.json'}: made with configuration {result.config_hash}, its folder's "
                f"is {expected}; delete it or run again"
            )
        read_outcomes(source.root / key.path, result)
        if (correlations := source.root / key.path / "correlations.npz").is_file():
            read_npz(correlations, remedy=RETRAIN)
        if result.weights_sha256 is not None and (source.root / key.path / WEIGHTS).is_file():
            check_weights(source.root / key.path, result)


def _strangers(source: Results) -> Iterator[str]:
    planned = {source.root / key.path / "result.json" for key in plan_runs(source.config)}
    others = set(source.root.glob("runs/*/*/*/*/result.json")) - planned
    if others:
        yield f"{source.root}: {len(others)} result(s) left out, not planned by its config.yaml, such as {min(others)}"


def _chosen(sources: Sequence[Results]) -> tuple[dict[RunKey, Results], int]:
    """The folder that each run is taken from (the first that has it), and how many runs several folders have."""
    chosen: dict[RunKey, Results] = {}
    twice = set()
    for source in sources:
        for key, result in source.runs.items():
            owner = chosen.setdefault(key, source)
            if owner is source:
                continue
            twice.add(key)
            if outcome(owner.runs[key]) != outcome(result):
                files = [s.root / key.path / "result.json" for s in (owner, source)]
                shown = [_top1(s.runs[key]) for s in (owner, source)]
                raise ResultError(
                    f"{files[0]} ({shown[0]}) and {files[1]} ({shown[1]}) contradict each other: one run, two results; "
                    "look at them with `linconv compare` and delete one"
                )
    return chosen, len(twice)


def outcome(result: RunResult) -> str:
    """All that a run found out, as JSON: equal for equal results, wherever and by whichever code they were made."""
    return result.model_dump_json(include={"status", "metrics", "history", "layers"})


def _top1(result: RunResult) -> str:
    return result.status if result.metrics.top1 is None else f"top-1 {result.metrics.top1:.6g} %"


def _merged_complexity(
    config: Config, sources: Sequence[Results], output: Path
) -> tuple[ComplexityResult | None, list[str]]:
    """The counts of the merged grid where the folders have them all, else what to do."""
    place = output.with_name(config.experiment)
    named = "" if place == output else f"rename {output} to {place} and "
    again = "complexity.json: {}; " + (
        f"{named}count again: linconv measure complexity --config {place / 'config.yaml'} --results {place.parent}"
    )
    counted = [source for source in sources if source.complexity is not None]
    models: dict[tuple[str, str], Complexity] = {}
    for source in counted:
        assert source.complexity is not None
        if source.complexity.grid_hash != complexity_hash(source.config.complexity, source.config.planned_variants):
            return None, [again.format(f"{source.root / 'complexity.json'} is stale")]
        for model in source.complexity.models:
            models.setdefault((model.architecture, model.variant), model)
            if models[model.architecture, model.variant] != model:
                return None, [again.format(f"the folders differ on {model.architecture} {model.variant}")]
    found = [source.complexity for source in counted if source.complexity is not None]
    wanted = list(itertools.product(config.complexity.architectures, counted_variants(config.planned_variants)))
    if not found or any(cell not in models for cell in wanted):
        return None, [again.format("the folders have not counted every network and variant")]
    common = ("input_shape", "classes", "batch_size", "code_hash")
    if len({tuple(getattr(f, name) for name in common) for f in found}) > 1:
        return None, [again.format("counted by other code or for other inputs")]
    grid = complexity_hash(config.complexity, config.planned_variants)
    return found[0].model_copy(update={"grid_hash": grid, "models": [models[cell] for cell in wanted]}), []


def _copy_run(source: Path, target: Path, key: RunKey) -> None:
    (target / key.path).mkdir(parents=True)
    for name in _KEPT:
        if (source / key.path / name).is_file():
            shutil.copy(source / key.path / name, target / key.path / name)
    if (source / key.log).is_file():
        (target / key.log).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / key.log, target / key.log)


def _union(sources: Sequence[Results], of: Callable[[Config], Sequence[Any]]) -> list[Any]:
    return list(dict.fromkeys(value for source in sources for value in of(source.config)))


def _distinct(values: Iterator[Any]) -> list[Any]:
    out: list[Any] = []
    for value in values:
        if value not in out:
            out.append(value)
    return out
