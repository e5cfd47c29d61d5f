"""The table and the picture of "Should I use LinearConv?", from the reference results of CIFAR-10.

`python docs/answer.py` writes docs/answer/; with `--check` it says whether the committed table is what they give.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from linconv.config import load_config, plan_runs
from linconv.report.inference import margins
from linconv.results import ComplexityResult, RunResult, read_result
from linconv.results.kinds.throughput import ThroughputResult, timings
from linconv.results.outcomes import read_outcomes
from linconv.statistics import Comparison, Model, compare, fit

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENT = ROOT / "results/reference/cifar10-short"
OUTPUT = ROOT / "docs/answer"
VARIANTS = {
    "conv": ("plain", "#555555"),
    "Lr": ("LinearConv Lr", "#d55e00"),
    "LRr": ("LinearConv LRr", "#009e73"),
    "LRr_preserving": ("LRr, variance-preserving", "#e69f00"),
    "narrow": ("narrower plain network", "#56b4e9"),
    "lowrank": ("low rank", "#000000"),
}
TIMED = {"conv": "plain", "Lr": "Lr folded", "LRr": "LRr folded", "narrow": "narrow auto"}


PLACE = ("cifar10", "base")


class Row(NamedTuple):
    """One variant: shares are those of the plain network; differences are in points of accuracy."""

    variant: str
    top1: float
    params: float
    macs: float
    time: float | None
    to_plain: Comparison | None
    to_narrow: Comparison | None


def read_model() -> Model:
    """The model of all runs, from their accuracies and the outcome of every test image."""
    scores: dict[str, dict[int, float]] = {}
    correct: dict[tuple[str, int], np.ndarray] = {}
    for key in plan_runs(load_config(EXPERIMENT / "config.yaml")):
        folder = EXPERIMENT / key.path
        if not (folder / "result.json").exists():  # not run yet; the tables list it as missing
            continue
        result = read_result(folder / "result.json", RunResult)
        outcomes = read_outcomes(folder, result)
        if outcomes is None or result.metrics.top1 is None:
            raise SystemExit(f"{folder}: has no outcomes per image")
        scores.setdefault(key.variant, {})[key.seed] = result.metrics.top1
        correct[key.variant, key.seed] = outcomes.correct
    return fit(pd.DataFrame(scores), correct)


def rows() -> list[Row]:
    """The variants, in the order of `VARIANTS`. Differences to plain and those to narrow are two families."""
    config, model = load_config(EXPERIMENT / "config.yaml"), read_model()
    counted = {m.variant: m for m in read_result(EXPERIMENT / "complexity.json", ComplexityResult).models}
    cell = read_result(EXPERIMENT / "throughput/base_inference_b50_fp32_cuda_graph.json", ThroughputResult)
    times = {timing.arm.name: timing.ratio for timing in timings(cell)}
    plain, models = counted["conv"], {PLACE: model}

    def family(reference: str, left_out: str = "") -> dict[str, Comparison]:
        pairs = [(PLACE, (v, reference)) for v in VARIANTS if v not in (reference, left_out)]
        found = compare(models, pairs, margins(models, config), config.statistics.alpha)
        return {variant: comparison for (_, (variant, _)), comparison in found.items()}

    to_plain, to_narrow = family("conv"), family("narrow", left_out="conv")
    return [
        Row(
            variant,
            float(model.means[model.variants.index(variant)]),
            counted[variant].params / plain.params,
            counted[variant].macs_auto / plain.macs_folded,
            times[TIMED[variant]] if variant in TIMED else None,
            to_plain.get(variant),
            to_narrow.get(variant),
        )
        for variant in VARIANTS
    ]


def table(found: list[Row]) -> str:
    """The rows as Markdown."""

    def points(found: Comparison | None) -> str:
        return "" if found is None else f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}] {found.mark}"

    head = "| network | parameters | MACs | time (H200) | top-1 (%) | minus plain | minus narrower |"
    lines = [head, "| :-- | --: | --: | --: | --: | --: | --: |"]
    for row in found:
        time = "" if row.time is None else f"{row.time:.2f}"
        cells = (VARIANTS[row.variant][0], f"{row.params:.3f}", f"{row.macs:.3f}", time, f"{row.top1:.2f}")
        lines.append(f"| {' | '.join(cells)} | {points(row.to_plain)} | {points(row.to_narrow)} |")
    return "\n".join(lines) + "\n"


def picture(found: list[Row]) -> None:
    """Difference of accuracy with its interval over parameters, MACs and time."""
    mpl.use("Agg")
    costs = {
        "parameters": [row.params for row in found],
        "multiply-accumulates": [row.macs for row in found],
        "inference time, H200, batch 50": [row.time for row in found],
    }
    figure, panels = plt.subplots(1, 3, figsize=(10.5, 4.2), sharey=True, layout="constrained")
    for axes, (name, values) in zip(panels, costs.items(), strict=True):
        axes.axhline(0, color="#bbbbbb", linewidth=1)
        for row, value in zip(found, values, strict=True):
            if value is None:
                continue
            label, color = VARIANTS[row.variant]
            interval = row.to_plain
            low, mean, high = (0.0, 0.0, 0.0) if interval is None else (interval.low, interval.mean, interval.high)
            errors = [[mean - low], [high - mean]]
            hollow = {"markerfacecolor": "none", "markersize": 11} if row.variant == "lowrank" else {"markersize": 7}
            axes.errorbar(value, mean, yerr=errors, color=color, marker="o", capsize=3, label=label, **hollow)
        axes.set_xlabel(f"{name}\n(share of the plain network)")
        axes.set_xlim(0.45 if name != "inference time, H200, batch 50" else 0.8, 1.05)
        axes.grid(axis="y", color="#eeeeee")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("top-1 minus plain network (points)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    seeds = len(load_config(EXPERIMENT / "config.yaml").seeds)
    figure.suptitle(f"CIFAR-10, base network, 30 epochs, {seeds} seeds: difference and 95 % intervals, all at once")
    figure.savefig(OUTPUT / "answer.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> int:
    found = rows()
    text = table(found)
    path = OUTPUT / "table.md"
    if "--check" in sys.argv:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write("docs/answer/table.md is out of date: python docs/answer.py\n")
        return 1
    OUTPUT.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    picture(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
