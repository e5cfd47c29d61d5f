"""Kill or stop a training at random moments, start it again until it is finished, and compare.

    python benchmarks/kill_test.py --kills 500 --signals 100

A moment is a random line of the program, or a random time, in one of `PHASES`; a share of the processes is started
anew and killed at any time, also while the interpreter starts and ends. What must hold, or the exit code is 1:

* A run ends with the bytes of one that nothing interrupted (result.json but for `provenance`), and with no other file.
* What the log of one process reports as trained, no later process trains again.
* A result that is there stays as it is. After half of the kills that come after it, it is deleted, as Snakemake deletes
  what a failed job made; the checkpoint then gives it again without an epoch of training.
* No checkpoint is set aside.
* SIGTERM and SIGINT end a process with code 75, or 0 after its last line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))
from moments import PHASES, Moment, run_linconv
from small_run import RUN, warm_processes, write_run

LAST = "checkpoint.pt"  # it stays until the result is collected
FRESH = 0.06  # of the processes are started anew; the others are forked from one that has imported torch
NAMES = {signal.SIGKILL: "SIGKILL", signal.SIGTERM: "SIGTERM", signal.SIGINT: "SIGINT"}

PROCESSES = warm_processes()


class Mismatch(Exception):  # noqa: N818
    """What the test is there to find."""


class Trial:
    """One run in a folder of its own, started and ended until it is finished."""

    def __init__(self, config: Path, root: Path) -> None:
        self.log = root / "train.log"
        self.folder = root / "kill" / "runs" / Path(*list(RUN.values())[:3]) / f"seed{RUN['seed']}"
        options = [word for name, value in RUN.items() for word in (f"--{name}", value)]
        self.arguments = ["train", str(config), *options, "--results", str(root), "--log", str(self.log)]
        self.reported = 0
        self._result: bytes | None = None

    def attempt(self, moment: Moment | None, report: Path | None = None) -> int:
        """Start the training and end it at a moment; the exit code."""
        self.log.unlink(missing_ok=True)
        given = (self.arguments, moment, None if report is None else str(report))
        process = PROCESSES.Process(target=run_linconv, args=given)
        process.start()
        process.join()
        code = process.exitcode
        process.close()
        self.check(code, moment)
        return int(code or 0)

    def attempt_anew(self, number: int, seconds: float, after_result: bool) -> int:
        """Start the training as a program of its own; it gets the signal after some seconds, or so long after it."""
        self.log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "linconv.cli", *self.arguments]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while after_result and process.poll() is None and not (self.folder / "result.json").exists():
            time.sleep(0.001)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        code = process.wait()
        # before Python has handlers, a signal is what it is to every program
        starting = not self.log.exists() and code in (-number, 1, 130)
        self.check(75 if starting and number != signal.SIGKILL else code, Moment(number, "anew", None))
        return code

    def check(self, code: int | None, moment: Moment | None) -> None:
        """Hold the process that has just ended to what must be."""
        text = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
        allowed = {0} if moment is None else {0, -9} if moment.number == signal.SIGKILL else {0, 75}
        if code not in allowed:
            raise Mismatch(f"exit code {code}, {moment}:\n{text}")
        if "cannot be used" in text or any("unusable" in p.name or ".of-" in p.name for p in self.folder.glob("*")):
            raise Mismatch(f"a checkpoint was set aside, {moment}:\n{text}")
        continued = re.search(r"continuing after epoch (\d+)", text)
        epochs = [int(n) for n in re.findall(r"epoch (\d+)/\d+  ", text)]
        start = int(continued[1]) if continued else epochs[0] - 1 if epochs else None
        if start is not None and not self.reported <= start <= self.reported + 1:
            raise Mismatch(f"epoch {self.reported} was reported as done, the next process continued after {start}")
        self.reported = max([self.reported, start or 0, *epochs])
        path = self.folder / "result.json"
        found = path.read_bytes() if path.exists() else None
        if self._result is not None and found != self._result:
            raise Mismatch(f"a result that was there is {'gone' if found is None else 'another'}, {moment}:\n{text}")
        self._result = found

    def delete_outputs(self) -> None:
        """As Snakemake does after a failed job."""
        for name in ("result.json", "correlations.npz"):
            (self.folder / name).unlink(missing_ok=True)
        self._result = None

    def outcome(self) -> dict[str, bytes]:
        """The files of the run but its last checkpoint, result.json without its provenance and digest."""
        files = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.name != LAST}
        result = json.loads(files["result.json"])
        del result["provenance"], result["digest"]
        return files | {"result.json": json.dumps(result).encode()}


def compare(expected: dict[str, bytes], found: dict[str, bytes]) -> None:
    """Raise Mismatch unless the files are the same."""
    if expected.keys() != found.keys():
        raise Mismatch(f"files {sorted(found)}, not {sorted(expected)}")
    for name, content in expected.items():
        if found[name] != content:
            raise Mismatch(f"{name} differs from that of the uninterrupted run")


class Test:
    """Runs that are interrupted again and again; `done` counts the signals by name and phase."""

    def __init__(self, config: Path, root: Path, chance: random.Random, fresh: float) -> None:
        self._config, self._root, self._chance, self._fresh = config, root, chance, fresh
        self.done: Counter[tuple[str, str]] = Counter()
        self.runs = self.already_there = self.deleted = 0
        reference = Trial(config, root / "reference")
        reference.attempt(None, root / "phases.json")
        self.lines, self.seconds = json.loads((root / "phases.json").read_text(encoding="utf-8"))
        self._expected = reference.outcome()
        # what reading takes shows where there is something to read
        reference.delete_outputs()
        reference.attempt(None, root / "phases.json")
        self.lines["reading"] = json.loads((root / "phases.json").read_text(encoding="utf-8"))[0]["reading"]
        compare(self._expected, reference.outcome())

    def moment(self, number: int, phase: str) -> Moment:
        """A random one of a phase."""
        if self._chance.random() < 0.5:
            return Moment(number, phase, self._chance.randrange(max(1, self.lines[phase])))
        return Moment(number, phase, None, self._chance.uniform(0, 1.1 * self.seconds[phase]))

    def interrupt(self, signals: list[int]) -> None:
        """Send these, run after run, each at a moment of its own."""
        left = list(signals)
        phases: list[str] = []
        while left:
            trial = Trial(self._config, self._root / f"run{self.runs}")
            self.runs += 1
            ended = False
            while left and not ended:
                phases = phases or self._chance.sample(PHASES, len(PHASES))
                number, phase = left[-1], phases.pop()
                code = self._attempt(trial, number, phase)
                if code != 0:
                    left.pop()
                    self.done[NAMES[signal.Signals(number)], phase] += 1
                    self._show(trial)
                    if (trial.folder / "result.json").exists() and self._chance.random() < 0.5:
                        trial.delete_outputs()
                        self.deleted += 1
                ended = code == 0
            trial.attempt(None)
            self.already_there += "already there" in trial.log.read_text(encoding="utf-8")
            compare(self._expected, trial.outcome())

    def _attempt(self, trial: Trial, number: int, phase: str) -> int:
        if self._chance.random() >= self._fresh:
            return trial.attempt(self.moment(number, phase))
        whole = 4 + sum(self.seconds.values())
        after = phase in ("result", "exit")
        return trial.attempt_anew(number, self._chance.uniform(0, 1.5 if after else whole), after)

    def _show(self, trial: Trial) -> None:
        if self.done.total() % 10 == 0:
            print(f"{self.done.total()} signals, run {self.runs}, epochs reported {trial.reported}", flush=True)

    def summary(self) -> str:
        """A row for each signal, a column for each phase."""
        rows = [f"| signal | {' | '.join(PHASES)} | all |", f"|---|{'---|' * (len(PHASES) + 1)}"]
        for name in sorted({name for name, _ in self.done}):
            counts = [self.done[name, phase] for phase in PHASES]
            rows.append(f"| {name} | {' | '.join(map(str, counts))} | {sum(counts)} |")
        return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    """Run the test; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="by SIGKILL")
    parser.add_argument("--signals", type=int, default=6, help="SIGTERM and SIGINT")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--fresh", type=float, default=FRESH, help="share of the processes that are started anew")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the moments")
    options = parser.parse_args(arguments)
    print(f"--seed {options.seed}", flush=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chance = random.Random(options.seed)
    signals = [int(signal.SIGKILL)] * options.kills
    signals += [int((signal.SIGTERM, signal.SIGINT)[i % 2]) for i in range(options.signals)]
    chance.shuffle(signals)
    with tempfile.TemporaryDirectory() as name:
        try:
            test = Test(write_run(Path(name), options.epochs), Path(name), chance, options.fresh)
            test.interrupt(signals)
        except Mismatch as mismatch:
            print(f"FAILED: {mismatch}")
            return 1
    print(test.summary())
    print(
        f"{test.done.total()} signals in {test.runs} runs: every run ended with the reference's bytes, no reported "
        f"epoch was trained again, no checkpoint set aside; {test.deleted} results were deleted as Snakemake does, "
        f"{test.already_there} runs were found already there"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
