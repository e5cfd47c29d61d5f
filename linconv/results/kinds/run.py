"""Training runs: which a configuration asks for, their files, and the rows that their records give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from linconv.catalogue._entry import Entry
from linconv.config import Config, RunKey, plan_runs, resolve_run, run_hashes
from linconv.config.parts import run_parts
from linconv.config.runs import digest
from linconv.results.kinds._kind import Kind, TidyRows
from linconv.results.kinds.run_record import Epoch, LayerRedundancy, RunResult

CURRENT, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"  # the two generations of a run's checkpoint
_COORDINATES = list(RunKey._fields)
_RUN_COLUMNS = """
status top1 test_loss train_loss train_top1 epoch params params_nonzero coefficient_sparsity selection macs
macs_trained first_step
never_orthogonal warnings epochs batch_size learning_rate optimizer config_hash code_hash shared_code_hash data
train_images test_images
git_commit git_dirty torch numpy hardware instruction_set threads seconds images_per_second peak_memory_mib command
"""


class Runs(Kind[RunKey, RunResult]):
    """result.json of every run."""

    name = "run"
    columns: ClassVar = {
        "runs": [*_COORDINATES, *_RUN_COLUMNS.split()],
        "history": [*_COORDINATES, *Epoch.model_fields],
        "layers": [*_COORDINATES, "stage", *LayerRedundancy.model_fields],  # before or after the training
    }
    missing = "no result file and no log: the run has not been started"

    def __init__(self) -> None:
        super().__init__(RunResult)

    def plan(self, config: Config) -> list[RunKey]:
        return plan_runs(config)

    def hash(self, config: Config, key: RunKey) -> str:
        return resolve_run(config, key).hash

    def hashes(self, config: Config) -> dict[RunKey, str]:
        return run_hashes(config)

    def hash_of(self, result: RunResult) -> str:
        return result.config_hash

    def parts(self, config: Config, key: RunKey) -> frozenset[Entry]:
        return run_parts(resolve_run(config, key))

    def key_of(self, result: RunResult) -> RunKey:
        return RunKey(result.dataset, result.architecture, result.variant, result.seed, result.split)

    def why_missing(self, root: Path, key: RunKey) -> str:
        if any((root / key.path / name).exists() for name in (CURRENT, PREVIOUS)):
            return "stopped or not finished yet: its checkpoint is there, and the command that trained it continues it"
        return self.missing

    def path(self, key: RunKey) -> Path:
        return key.path / "result.json"

    def log(self, key: RunKey) -> Path:
        return key.log

    def rows(self, results: Mapping[RunKey, RunResult]) -> TidyRows:
        rows: TidyRows = {"runs": [], "history": [], "layers": []}
        for key, result in results.items():
            at = key._asdict()
            rows["runs"].append({**at, **_run_row(result)})
            rows["history"] += [{**at, **epoch.model_dump()} for epoch in result.history]
            for stage, layers in (("before", result.layers_before or ()), ("after", result.layers)):
                rows["layers"] += [{**at, "stage": stage, **layer.model_dump()} for layer in layers]
        return rows


def _run_row(result: RunResult) -> dict[str, Any]:
    recipe, origin = result.config.get("recipe", {}), result.provenance
    return {
        **result.metrics.model_dump(),
        **{name: recipe.get(name) for name in ("epochs", "batch_size", "learning_rate", "optimizer")},
        **({} if result.rate_search is None else {"learning_rate": result.rate_search.chosen}),
        "status": result.status,
        "never_orthogonal": _never_orthogonal(result),
        "warnings": _warnings(result),
        "config_hash": result.config_hash,
        "code_hash": result.code_hash,
        "shared_code_hash": result.shared_code_hash,
        "data": _data(result),
        "train_images": result.data and result.data.train.images,
        "test_images": result.data and result.data.test.images,
        **origin.row(),
        "git_dirty": origin.git_dirty,
        "numpy": origin.versions.get("numpy"),
        "instruction_set": origin.hardware.get("instruction_set"),
        "seconds": origin.seconds,
        "images_per_second": origin.images_per_second,
        "peak_memory_mib": origin.peak_memory_mib,
    }


def _never_orthogonal(result: RunResult) -> str | None:
    """The layers that no filters make orthogonal, those with one reason together: "a, b: reason; c: reason"."""
    layers: dict[str, list[str]] = {}
    for found in result.warnings:
        if found.code == "never_orthogonal":
            layers.setdefault(found.message, []).append(found.layer or "(the model)")
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in layers.items()) or None


def _data(result: RunResult) -> str | None:
    """16 hexadecimal digits that change with any image or label of the data; None where the digests are not known."""
    if result.data is None or result.data.train.digest is None or result.data.test.digest is None:
        return None
    return digest([result.data.train.digest, result.data.test.digest])


def _warnings(result: RunResult) -> str | None:
    """All other warnings: "code: message; code: message"."""
    others = [found for found in result.warnings if found.code != "never_orthogonal"]
    return "; ".join(f"{w.code}: {w.message}" for w in others) or None
