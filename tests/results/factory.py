"""Synthetic experiments of realistic shape, written through the schema so that they stay valid."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import yaml

from linconv.config import Config, ResolvedRun, RunKey, parse_config, plan_runs, resolve_run
from linconv.config.trials import trial_recipes
from linconv.report.published import published
from linconv.results import (
    Complexity,
    ComplexityResult,
    Epoch,
    LayerComplexity,
    Provenance,
    RateChoice,
    RateTrial,
    RunMetrics,
    RunResult,
    write_result,
    write_text,
)
from linconv.results.data import DataContent, PartContent
from linconv.results.kinds import COLUMNS, KINDS
from linconv.results.kinds.throughput import Arm, ThroughputResult
from tests.results.filters import LAYERS, make_correlations, make_redundancy

# The four FLOP cells of the paper that its rule alone does not give: the rule's count, the released code's, why.
QUIRKS = {
    ("allconv", "Lr"): (438_000_000, 439_800_000, "padded 1x1 layer"),
    ("allconv", "LRr"): (342_000_000, 344_000_000, "padded 1x1 layer"),
    ("resnet18", "Lr"): (3_006_600_000, 3_073_900_000, "bias in every layer"),
    ("mobilenetv2", "LRr"): (931_800_000, None, "truncated in print"),
}
_OFFSET = {"conv": 0.0, "L": -0.4, "Lr": -0.3, "LRr": -1.1, "LSr": -0.8}


def make_config(**changes: Any) -> Config:
    """A small experiment (digits, base, five variants, three seeds) with some keys changed."""
    raw: dict[str, Any] = {
        "experiment": "toy",
        "datasets": ["digits"],
        "architectures": ["base"],
        "variants": ["conv", "L", "Lr", "LRr", "LSr"],
        "seeds": [0, 1, 2],
        "recipe": {"overrides": [{"set": {"epochs": 6}}]},
        "correlation_layers": [1, 2, 3],
        "figures": {"formats": ["svg"]},
    }
    return parse_config(raw | changes)


def make_run(config: Config, key: RunKey, *, status: str = "ok", top1: float | None = None) -> RunResult:
    """The result of one run; accuracies depend on the variant and the seed, or are as given."""
    rng = np.random.default_rng([key.seed, *([key.split] if key.split else []), *key.variant.encode()])
    resolved = resolve_run(config, key)
    epochs = resolved.recipe.epochs
    final = 97.0 + _OFFSET.get(key.variant, 0.0) + 0.3 * rng.standard_normal() if top1 is None else top1
    history = []
    for i in range(1, epochs + 1):
        bad = status == "diverged" and i == epochs
        last = i == epochs
        accuracy = final if last else max(0.0, final - 70 * np.exp(-1.2 * i) - abs(rng.normal(0, 0.5)))
        loss = 2.0 * np.exp(-0.5 * i) + 0.02 + abs(rng.normal(0, 0.01))
        history.append(
            Epoch(
                epoch=i,
                learning_rate=resolved.recipe.learning_rate,
                train_loss=None if bad else float(loss),
                train_top1=10.0 if bad else float(min(100, accuracy + 1)),
                penalty=None if bad or key.variant in ("conv", "L") else 0.02,
                test_loss=None if bad else float(1.1 * loss),
                test_top1=10.0 if bad else float(accuracy),
                val_top1=float(accuracy) if resolved.report_epoch == "best_validation" else None,
            )
        )
    diverged = status == "diverged"
    params = 402_000 if key.variant == "conv" else 231_000
    return RunResult(
        status=status,
        **key._asdict(),
        experiment=config.experiment,
        config_hash=resolved.hash,
        code_hash="0123456789abcdef",
        config=resolved.model_dump(mode="json"),
        data=_content(key) if config.splits != (0,) else None,
        metrics=RunMetrics(
            top1=None if diverged else history[-1].test_top1,
            test_loss=history[-1].test_loss,
            train_loss=history[-1].train_loss,
            train_top1=history[-1].train_top1,
            epoch=epochs,
            selection="last" if diverged else resolved.report_epoch,
            params=params,
            params_nonzero=params - 15_000 if key.variant == "LSr" else params,
            coefficient_sparsity=0.62 if key.variant == "LSr" else None,
        ),
        rate_search=_searched(resolved),
        history=history,
        layers=[make_redundancy(position, key.variant) for position in LAYERS],
        layers_before=[make_redundancy(position, key.variant, trained=False) for position in LAYERS],
        provenance=Provenance(
            command=f"linconv train config.yaml --variant {key.variant} --seed {key.seed}",
            versions={"python": "3.11.2", "torch": "2.14.1"},
            hardware={"cpu": "Toy CPU & Co", "cores": 2, "threads": 1},
            numerics={"deterministic": True},
            git_commit="12e4567890123456789012345678901234567890",
            git_dirty=False,
            finished_utc="2026-01-01T00:00:00Z",
            seconds=12.3456,
            peak_memory_mib=321.0,
        ),
    )


def _content(key: RunKey) -> DataContent:
    """Data of which every split tests 10 of 50 images."""
    train, test = (
        PartContent(images=count, per_class=(count,), digest=f"{count + key.split:064x}") for count in (40, 10)
    )
    return DataContent(
        name=key.dataset,
        container="generated",
        decoder="none",
        split=key.split,
        known=None,
        classes=("a",),
        train=train,
        test=test,
    )


def _searched(run: ResolvedRun) -> RateChoice | None:
    """Where a search was asked for: the rate of the seed's number is the best."""
    if run.rate_search is None:
        return None
    recipes = trial_recipes(run.recipe, run.rate_search.factors, run.rate_search.share)
    best = run.seed % len(recipes)
    trials = [
        RateTrial(learning_rate=recipe.learning_rate, val_top1=90.0 - abs(i - best), val_loss=0.3)
        for i, recipe in enumerate(recipes)
    ]
    return RateChoice.of(trials, recipes[0].epochs)


def make_complexity(config: Config, costs: Mapping[str, tuple[int, int]] | None = None) -> ComplexityResult:
    """Counts that print as the paper's columns, with its four quirks, and some for what the paper lacks.

    `costs` are parameters and multiply-accumulates (in every form) of variants that have others.
    """
    networks = config.complexity.architectures
    return ComplexityResult(
        **config.complexity.model_dump(include={"input_shape", "classes", "batch_size"}),
        grid_hash=KINDS["complexity"].hash(config, "complexity"),
        code_hash="fedcba9876543210",
        models=[_count(a, v, (costs or {}).get(v)) for a in networks for v in config.variants],
    )


def _count(architecture: str, variant: str, cost: tuple[int, int] | None) -> Complexity:
    cell = published().get((architecture, variant), {"params_m": "0.50", "flops_b": "0.070"})
    flops, released, quirk = QUIRKS.get(
        (architecture, variant), (round(float(cell["flops_b"]) * 1e9) + 100_000, None, None)
    )
    params, macs_each = cost or (round(float(cell["params_m"]) * 1e6) + 1234, 15_200_000)
    macs = dict.fromkeys([f.name for f in fields(Complexity) if f.name.startswith("macs_")], macs_each)
    layer = LayerComplexity(
        layer="features.conv1",
        kind="Conv2d",
        output_shape=[32, 32, 32],
        params=896,
        macs_folded=884_736,
        macs_feature=None,
        macs_weight_per_image=884_736,
        macs_weight_per_step=0,
    )
    return Complexity(
        architecture=architecture,
        variant=variant,
        params=params,
        params_trainable=params,
        params_folded=params,
        **macs,
        flops_paper=flops,
        flops_paper_as_released=released,
        flops_paper_quirk=quirk,
        layers=[layer],
    )


def write_experiment(
    root: Path,
    config: Config,
    *,
    skip: Collection[RunKey] = (),
    diverged: Collection[RunKey] = (),
    top1: Mapping[RunKey, float] | None = None,
    costs: Mapping[str, tuple[int, int]] | None = None,
) -> Path:
    """Write the folder of an experiment as training leaves it, without the runs in `skip`; returns `root`."""
    write_text(root / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    write_result(root / "complexity.json", make_complexity(config, costs))
    for key in plan_runs(config):
        folder = root / key.path
        if key in skip:
            continue
        status = "diverged" if key in diverged else "ok"
        write_result(folder / "result.json", make_run(config, key, status=status, top1=(top1 or {}).get(key)))
        np.savez(folder / "correlations.npz", allow_pickle=True, **make_correlations(key.variant, key.seed))
        write_text(root / key.log, f"epoch 6\nfinished: {status}\n")
    return root


def measured_frame(kind: str, results: Iterable[Any]) -> pd.DataFrame:
    """Some results of a kind as the rows of data/<kind>.csv."""
    rows = KINDS[kind].rows({KINDS[kind].key_of(result): result for result in results})
    return pd.DataFrame(rows[kind], columns=COLUMNS[kind])


def read_rows(path: Path) -> list[dict[str, str]]:
    """A CSV file as one dictionary of strings per row."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_timings(
    root: Path,
    config: Config,
    ratios: dict[str, float],
    *,
    skip: tuple[str, ...] = (),
    memory: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Result files of every planned timing but those named: each form takes `ratios[form]` times the plain network.

    The plain network takes a second per image in the first round, twice that in the second, and so on. Its peak memory
    is 100 MiB and another one per image, and that of each form `memory[form]` times as much; of others it is unknown.
    """
    assert config.throughput is not None
    kind = KINDS["throughput"]
    for key in kind.plan(config):
        rounds = [float(k * key.batch_size) for k in range(1, config.throughput.rounds + 1)]
        peaks = {form: share * (100 + key.batch_size) for form, share in memory.items()}
        again = [t * (1 + 0.01 * (-1) ** i) for i, t in enumerate(rounds)]
        arms = [
            _arm(name, "conv", "plain", seconds, peaks.get("plain"))
            for name, seconds in (("plain", rounds), ("plain again", again))
        ]
        for variant, (form, ratio) in itertools.product(config.throughput.variants, ratios.items()):
            if form != "folded" or key.activity == "inference":
                arms.append(_arm(f"{variant} {form}", variant, form, [ratio * t for t in rounds], peaks.get(form)))
        origin = make_run(config, plan_runs(config)[0]).provenance
        result = ThroughputResult(
            **key._asdict(),
            input_shape=(3, 32, 32),
            classes=10,
            channels_last=False,
            device="cpu",
            rounds_wanted=config.throughput.rounds,
            block_seconds=0.05,
            code_hash="c" * 16,
            grid_hash=kind.hash(config, key),
            arms=arms,
            machine={},
            provenance=origin,
        )
        if str(key) not in skip:
            write_result(root / kind.path(key), result)


def _arm(name: str, variant: str, form: str, seconds: list[float], peak: float | None) -> Arm:
    return Arm(
        name=name,
        variant=variant,
        form=form,
        status="ok",
        calls=1,
        seconds_per_call=tuple(seconds),
        peak_allocated_mib=peak,
    )
