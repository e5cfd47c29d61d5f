"""Processor seconds of what grows with the number of runs: planning, parsing in a job, a dry run, collecting.

Every step is a process of its own, of the package and the pipeline in `--checkout`, so two versions can be compared.
`python benchmarks/planning.py --runs 400 2000 10000`
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

GRID = {
    "experiment": "grid",
    "datasets": ["digits"],
    "architectures": ["base", "vgg11"],
    "variants": ["conv", "L", "Lr", "LRr"],
    "recipe": {"overrides": [{"set": {"epochs": 6}}]},
    "correlation_layers": [1, 2, 3],
    "complexity": {"architectures": ["base"]},
    "device": "cpu",
}
PLAN = """
import sys
from linconv import config as c
settings = c.load_config(sys.argv[1])
if hasattr(c, "run_hashes"):
    print(len(c.run_hashes(settings)))
else:
    print(len({key: c.resolve_run(settings, key).hash for key in c.plan_runs(settings)}))
"""
RESULTS = """
import sys
from pathlib import Path
from linconv.config import load_config
from tests.results.factory import write_experiment
write_experiment(Path(sys.argv[2], "grid"), load_config(sys.argv[1]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--runs", type=int, nargs="+", default=[400, 2000, 10_000], help="multiples of 8")
    parser.add_argument("--skip", nargs="+", default=[], help="steps to leave out, such as collect")
    asked = parser.parse_args()
    for runs in asked.runs:
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder, "grid.yaml")
            config.write_text(yaml.safe_dump(GRID | {"seeds": list(range(runs // 8))}))
            snakemake = ["-m", "snakemake", "--snakefile", str(asked.checkout / "workflow/Snakefile")]
            snakemake += ["--configfile", str(config), "--cores", "1"]
            steps = {
                "plan": ["-c", PLAN, str(config)],
                "parse": [*snakemake, "--list-rules"],
                "dry run": [*snakemake, "--dry-run", "--quiet"],
                "write results": ["-c", RESULTS, str(config), folder],
                "collect": ["-m", "linconv.cli", "collect", str(config), "--results", folder],
            }
            for name, command in steps.items():
                if name not in asked.skip:
                    seconds, mib = processor_seconds(command, Path(folder), asked.checkout)
                    print(f"{runs:6d} runs  {name:<14} {seconds:8.2f} CPU s  {mib:6.0f} MiB", flush=True)


def processor_seconds(command: list[str], folder: Path, checkout: Path) -> tuple[float, float]:
    """User and system seconds of a run of Python, and its largest memory in MiB."""
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment, stdout=output, stderr=output
        )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}:\n{(folder / 'output').read_text()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
