"""A job per run against workers, on the two-node Slurm cluster of the tests: jobs and minutes.

Needs what tests/workflow/cluster.py needs. `python benchmarks/cluster.py --workers 2 --seeds 3`
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.workflow.cluster import missing, running_cluster
from tests.workflow.conftest import Project

RECIPE = {"overrides": [{"set": {"epochs": 1}}]}
WATCHED = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3, help="of five variants of base on the digits, an epoch each")
    parser.add_argument("--rules", nargs="+", default=["work", "train"], choices=["work", "train"])
    asked = parser.parse_args()
    if reason := missing():
        raise SystemExit(reason)
    grid = {"datasets": ["digits"], "variants": ["conv", "L", "Lr", "LRr", "LSr"], "seeds": list(range(asked.seeds))}
    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder, "cluster")):
        project = Project.copied_to(Path(folder, "project"))
        for rule in asked.rules:
            workers = asked.workers if rule == "work" else 0
            project.write_config(
                experiment=rule, workers=workers, recipe=RECIPE, needs={rule: {"mem_mb": 8000}}, **grid
            )
            began = time.monotonic()
            arguments = ("--workflow-profile", "profiles/slurm", *WATCHED, "--seconds-between-status-checks", "3")
            done = project.snakemake(*arguments, "--latency-wait", "10", "--until", rule)
            if done.returncode:
                raise SystemExit(done.stdout)
            jobs = len(re.findall(r"submitted with SLURM jobid", done.stdout))
            runs = len(list(project.results(rule).glob("runs/**/result.json")))
            minutes = (time.monotonic() - began) / 60
            print(f"{rule:<6} {runs:3d} runs, {jobs:3d} jobs, {minutes:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
