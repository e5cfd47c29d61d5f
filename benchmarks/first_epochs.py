"""How much the start, the learning rate and the statistics of batch normalization decide after a few epochs.

    python benchmarks/first_epochs.py                               # one epoch of the digits at three rates, two seeds
    python benchmarks/first_epochs.py --epochs 10 --schedule cosine --factors 1

Trains `base` by the paper's recipe (Adam, batch 50), its learning rate times each factor, and prints one row a variant:
the mean over the seeds of the relative first step (`linconv.measure.treatment.first_step`), and for each rate the test
accuracy in percent by the running statistics of batch normalization and by recalibrated ones
(`linconv.training.recalibration`). Both are of the same network. Layers replace every convolution but the stem, at
about half of the parameters; `narrow` is the plain network of that size.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from linconv.config import Config, ResolvedRun, parse_config, plan_runs, resolve_run
from linconv.data import Dataset, input_size
from linconv.measure.treatment import first_step
from linconv.training.engine import evaluate, fit
from linconv.training.numerics import set_numerics
from linconv.training.recalibration import recalibrate
from linconv.training.run import initial_network, load_data, prepare

VARIANTS: dict[str, dict[str, Any]] = {
    "conv": {"layer": "conv"},
    "narrow": {"layer": "conv", "narrow_to": "LRr_paper"},
    "L_paper": {"extends": "L", "options": {"primary_ratio": 0.46}, "skip_first": True},
    "L_preserving": {
        "extends": "L",
        "options": {"primary_ratio": 0.46, "init": "variance_preserving"},
        "skip_first": True,
    },
    "LRr_paper": {"extends": "LRr", "skip_first": True},
    "LRr_preserving": {"extends": "LRr", "options": {"init": "variance_preserving"}, "skip_first": True},
    "lowrank": {"layer": "lowrank", "options": {"rank": 0.42}, "skip_first": True},
    "tucker": {"layer": "tucker", "options": {"in_rank": 0.6, "out_rank": 0.6}, "skip_first": True},
    "bsconv_u": {"layer": "bsconv_u", "skip_first": True},
    "atoms": {"layer": "atoms", "options": {"atoms": 5}, "skip_first": True},
    "versatile": {"layer": "versatile", "skip_first": True},
    "kronecker": {"layer": "kronecker", "skip_first": True},
    "warehouse": {"layer": "warehouse", "skip_first": True},
}
NAMES = {"L_paper": "L, paper's start", "L_preserving": "L, variance-preserving", "LRr_paper": "LRr, paper's start"}
NAMES |= {"LRr_preserving": "LRr, variance-preserving"}


def configuration(asked: argparse.Namespace, factor: float) -> Config:
    """The experiment at the paper's rate for `base`, 1e-3, times a factor."""
    recipe = {"epochs": asked.epochs, "schedule": asked.schedule, "learning_rate": factor * 1e-3}
    define = {name: values for name, values in VARIANTS.items() if name != "conv"}
    return parse_config(
        {
            "experiment": "first-epochs",
            "datasets": [asked.dataset],
            "architectures": ["base"],
            "variants": asked.variants,
            "seeds": asked.seeds,
            "define": define,
            "recipe": {"overrides": [{"set": recipe}]},
        }
    )


def accuracies(run: ResolvedRun, data: Dataset) -> tuple[float, float, float]:
    """Top-1 in percent by running and by recalibrated statistics, and the relative first step."""
    training = fit(prepare(run, data, "cpu"))
    info = data.info
    initial = initial_network(run, info.classes, info.channels)
    step = first_step(run, training, initial, (info.channels, input_size(info), input_size(info)))
    running = training.history[-1].test_top1
    recalibrate(training.model, training.train_batches(training.epoch - 1))
    _, recalibrated = evaluate(training.model, training.test_batches(0))
    return running, recalibrated, float("nan") if step is None else step


def rows(asked: argparse.Namespace) -> Iterator[str]:
    """A Markdown table, line by line."""
    heads = [f"{factor * 1e-3:g} {kind}" for factor in asked.factors for kind in ("running", "recalibrated")]
    yield "| variant | first step | " + " | ".join(heads) + " |"
    yield "|" + "---|" * (2 + len(heads))
    data: Dataset | None = None
    for variant in asked.variants:
        means, steps = [], []
        for factor in asked.factors:
            config = configuration(asked, factor)
            runs = [resolve_run(config, key) for key in plan_runs(config) if key.variant == variant]
            data = load_data(runs[0], config, "cpu") if data is None else data
            found = [accuracies(run, data) for run in runs]
            means += [statistics.mean(column) for column in list(zip(*found, strict=True))[:2]]
            steps.append(statistics.mean(step for *_, step in found))
        step = steps[asked.factors.index(1.0)] if 1.0 in asked.factors else steps[0]
        cells = [f"{step:.3f}", *(f"{mean:.1f}" for mean in means)]
        yield f"| {NAMES.get(variant, variant)} | " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--schedule", choices=["constant", "cosine"], default="constant")
    parser.add_argument("--factors", type=float, nargs="+", default=[0.3, 1.0, 3.0], help="of the learning rate 0.001")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    asked = parser.parse_args(arguments)
    set_numerics(1)
    for row in rows(asked):
        sys.stdout.write(row + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
