"""Time and memory of collecting and rendering many synthetic runs: `python benchmarks/rendering.py [--runs 2000]`.

Wall-clock seconds; the seconds of processor time of all processes, which other work on the machine stretches less; and
a bound on the memory that all of them held: the peak of this process and, for every worker, that of the largest one,
though forked workers share most of it.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from linconv.report import build_report, render_claims, render_figures, render_tables
from linconv.report.figures.drawing import usable_cores
from linconv.results.collect import collect
from tests.results.factory import make_config, write_experiment

NETWORKS = ["base", "vgg11", "allconv", "resnet18", "resnext29"]
DATASETS = ["cifar10", "cifar100", "svhn", "mnist", "fashionmnist"]  # the number of figures grows with these


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--datasets", type=int, default=1, help="1 to 5")
    parser.add_argument("--formats", nargs="+", default=["svg", "png"], help="of svg, png and pdf")
    parser.add_argument("--workers", type=int, default=usable_cores(), help="processes that draw")
    parser.add_argument("--page", action="store_true", help="the HTML report as well, which draws the figures again")
    options = parser.parse_args()
    variants = ["conv", "L", "Lr", "LRr"]
    datasets = DATASETS[: options.datasets]
    cells = len(NETWORKS) * len(datasets) * len(variants)
    seeds = max(1, round(options.runs / cells))
    config = make_config(
        datasets=datasets,
        architectures=NETWORKS,
        variants=variants,
        seeds=list(range(seeds)),
        recipe={"overrides": [{"set": {"epochs": 20}}]},
        figures={"formats": options.formats},
    )
    with tempfile.TemporaryDirectory() as folder:
        root = write_experiment(Path(folder), config)
        stages = {
            "collect": lambda: collect(config, root),
            "tables": lambda: render_tables(root),
            "figures": lambda: render_figures(root, workers=options.workers),
            "claims": lambda: render_claims(root),
        }
        if options.page:
            stages["page"] = lambda: build_report(root, workers=options.workers)
        began = before = seconds()
        for name, stage in stages.items():
            stage()
            now = seconds()
            print(f"{name:8} {now[0] - before[0]:6.1f} s, {now[1] - before[1]:6.1f} s of processor time", flush=True)
            before = now
    wall, cpu = (b - a for a, b in zip(began, before, strict=True))
    memory = peak_mib(options.workers)
    print(f"{seeds * cells} runs: {wall:.1f} s, {cpu:.1f} s of processor time, at most {memory:.0f} MiB")


def seconds() -> tuple[float, float]:
    """Wall-clock and processor time, the latter of this process and of all that it has ended."""
    spent = os.times()
    return time.perf_counter(), spent.user + spent.system + spent.children_user + spent.children_system


def peak_mib(workers: int) -> float:
    """No less than what this process and its workers held together at any time."""
    own, largest = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return float(own + (workers if workers > 1 else 0) * largest) / 2**10


if __name__ == "__main__":
    main()
