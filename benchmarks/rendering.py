"""Time and memory of collecting and rendering many synthetic runs: `python benchmarks/rendering.py [--runs 2000]`.

Times are those of the processor, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from linconv.report import render_claims, render_figures, render_tables
from linconv.results.collect import collect
from tests.results.factory import make_config, write_experiment

NETWORKS = ["base", "vgg11", "allconv", "resnet18", "resnext29"]
DATASETS = ["cifar10", "cifar100", "svhn", "mnist", "fashionmnist"]  # the number of figures grows with these


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--datasets", type=int, default=1, help="1 to 5")
    parser.add_argument("--formats", nargs="+", default=["svg", "pdf", "png"])
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
        total = 0.0
        stages = {
            "collect": lambda: collect(config, root),
            "tables": lambda: render_tables(root),
            "figures": lambda: render_figures(root),
            "claims": lambda: render_claims(root),
        }
        for name, stage in stages.items():
            started = time.process_time()
            stage()
            total += time.process_time() - started
            print(f"{name:8} {time.process_time() - started:6.1f} s", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{seeds * cells} runs: {total:.1f} s, at most {peak:.0f} MiB")


if __name__ == "__main__":
    main()
