"""Kill a training with SIGKILL at random moments, restart it until it is finished, and compare.

    python benchmarks/kill_test.py --kills 30

An uninterrupted run of the same configuration is the reference. A killed one must end with the same bytes (result.json
but for `provenance`, correlations.npz, weights.pt) and no other file in its folder, and no process may train an epoch
again that the log of an earlier one reports as done. Exit code 1 where one of this does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

RUN = {"dataset": "synthetic", "architecture": "base", "variant": "LSr", "seed": "0"}
MOMENTS = {  # what a process is killed in, and the seconds after the moment has come
    "start": 3.0,
    "batches": 1.0,
    "checkpoint": 0.03,
    "epoch end": 0.05,
    "result": 0.3,
}


LAST = "checkpoint.pt"  # it stays until the result is collected


class Mismatch(Exception):  # noqa: N818
    """What the test is there to find."""


class Trial:
    """One run in a folder of its own, started and killed until it is finished."""

    def __init__(self, config: Path, root: Path) -> None:
        self.log = root / "train.log"
        self.folder = root / "kill" / "runs" / Path(*list(RUN.values())[:3]) / f"seed{RUN['seed']}"
        options = [word for name, value in RUN.items() for word in (f"--{name}", value)]
        self._command = [sys.executable, "-m", "linconv.cli", "train", str(config), *options]
        self._command += ["--results", str(root), "--log", str(self.log)]
        self.reported = 0

    def attempt(self, kill_when: Callable[[Trial], bool], delay: float) -> str:
        """Start the training, kill it `delay` seconds after `kill_when`: "killed", or "finished" if faster."""
        self.log.unlink(missing_ok=True)
        process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        while process.poll() is None:
            if kill_when(self):
                time.sleep(delay)
                process.kill()
                break
            time.sleep(0.0005)
        _, errors = process.communicate()
        if process.returncode not in (0, -9):
            raise Mismatch(f"exit code {process.returncode}:\n{errors}{self.text()}")
        self._check_progress()
        return "finished" if process.returncode == 0 else "killed"

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def epochs(self) -> list[int]:
        """The epochs that the log of the last attempt reports."""
        return [int(n) for n in re.findall(r"epoch (\d+)/\d+  ", self.text())]

    def saving(self) -> bool:
        return any(self.folder.glob(".checkpoint.pt.*.tmp"))

    def writing_result(self) -> bool:
        return any(any(self.folder.glob(f"{name}*")) for name in ("correlations", ".correlations"))

    def _check_progress(self) -> None:
        if "cannot be used" in self.text():
            raise Mismatch(f"a checkpoint could not be used:\n{self.text()}")
        continued = re.search(r"continuing after epoch (\d+)", self.text())
        epochs = self.epochs()
        start = int(continued[1]) if continued else epochs[0] - 1 if epochs else None
        if start is not None and not self.reported <= start <= self.reported + 1:
            raise Mismatch(f"epoch {self.reported} was reported as done, the next process continued after {start}")
        self.reported = max([self.reported, start or 0, *epochs])

    def outcome(self) -> dict[str, bytes]:
        """The files of the run but its last checkpoint, result.json without its provenance and digest."""
        files = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.name != LAST}
        result = json.loads(files["result.json"])
        del result["provenance"], result["digest"]
        return files | {"result.json": json.dumps(result).encode()}


def moment(kind: str, chance: random.Random) -> tuple[Callable[[Trial], bool], float]:
    """When to kill: a condition, and the seconds after it."""
    more = chance.randint(1, 2)
    conditions: dict[str, Callable[[Trial], bool]] = {
        "start": lambda trial: True,
        "batches": lambda trial: "configuration" in trial.text(),
        "checkpoint": lambda trial: len(trial.epochs()) >= more - 1 and trial.saving(),
        "epoch end": lambda trial: len(trial.epochs()) >= more,
        "result": lambda trial: trial.writing_result(),
    }
    delay = chance.uniform(0, MOMENTS[kind])
    return conditions[kind], delay if kind != "batches" else 0.1 + delay


def main(arguments: list[str] | None = None) -> int:
    """Run the test; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=10, help="of 500 images: it decides how long an epoch takes")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        config = root / "kill.yaml"
        config.write_text(json.dumps(configuration(options.epochs, options.batch_size)), encoding="utf-8")  # is YAML
        reference = Trial(config, root / "reference")
        reference.attempt(lambda _: False, 0)
        try:
            kills, runs = kill_until(options.kills, config, root, reference.outcome(), chance)
        except Mismatch as mismatch:
            print(f"FAILED: {mismatch}")
            return 1
    moments = ", ".join(f"{kind} {kills[kind]}" for kind in MOMENTS)
    print(f"{kills.total()} kills ({moments}) in {runs} runs: every run ended with the reference's bytes, none lost an "
          "epoch it had reported")  # fmt: skip
    return 0


def kill_until(
    wanted: int, config: Path, root: Path, expected: dict[str, bytes], chance: random.Random
) -> tuple[Counter[str], int]:
    """Kill runs, one after the other, `wanted` times in all; how often at which moment, and how many runs."""
    kills: Counter[str] = Counter()
    runs, kinds = 0, []
    while kills.total() < wanted:
        trial = Trial(config, root / f"run{runs}")
        runs += 1
        state = "killed"
        while state == "killed":
            if not kinds:
                kinds = chance.sample(list(MOMENTS), len(MOMENTS))
            kind = kinds.pop()
            when, delay = moment(kind, chance) if kills.total() < wanted else (lambda _: False, 0.0)
            state = trial.attempt(when, delay)
            if state == "killed":
                kills[kind] += 1
                print(f"kill {kills.total()}: run {runs}, {kind}, epochs reported {trial.reported}", flush=True)
        compare(expected, trial.outcome())
    return kills, runs


def compare(expected: dict[str, bytes], found: dict[str, bytes]) -> None:
    if expected.keys() != found.keys():
        raise Mismatch(f"files {sorted(found)}, not {sorted(expected)}")
    for name, content in expected.items():
        if found[name] != content:
            raise Mismatch(f"{name} differs from that of the uninterrupted run")


def configuration(epochs: int, batch_size: int) -> dict[str, object]:
    """The sparse variant, since its schedule is a state too, and the weights kept, since they show every bit."""
    values = {"epochs": epochs, "batch_size": batch_size, "schedule": "cosine"}
    return {
        "experiment": "kill", "datasets": [RUN["dataset"]], "architectures": [RUN["architecture"]],
        "variants": [RUN["variant"]], "seeds": [int(RUN["seed"])], "device": "cpu", "keep_weights": True,
        "define": {"LSr": {"extends": "LSr", "sparsity_schedule": {"period": 3, "step_size": 0.002}}},
        "recipe": {"overrides": [{"set": values}]}, "complexity": {"architectures": ["base"]},
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
