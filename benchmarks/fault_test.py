"""Make calls of the operating system fail, at random, in every command, and see what the user gets.

    python benchmarks/fault_test.py --faults 100

A fault is one failing call of the C library (open, read, write, fsync, stat, rename, unlink, mkdir ...) on a file of
the experiment, or all calls that write from one on, as on a full disk. `--tmpfs` fills a small disk instead; mounting
one needs root. What must hold, or the exit code is 1:

* The command succeeds, or it ends with one line that names path, reason and remedy, and no traceback.
* The same command without a fault then gives the bytes of an experiment that had none.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).resolve().parent))
from small_run import RUN, warm_processes, write_run

SOURCE = Path(__file__).resolve().parent / "faults" / "faults.c"
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.ESTALE, errno.EROFS)
TRAIN = ["train", "kill.yaml", *(word for name, value in RUN.items() for word in (f"--{name}", value))]
COMMANDS = {
    "train": [*TRAIN, "--log", "logs/train.log"],
    "resume": TRAIN,
    "already there": TRAIN,
    "complexity": ["measure", "complexity", "--config", "kill.yaml"],
    "collect": ["collect", "kill.yaml"],
    "tables": ["render", "tables", "results/kill"],
}
CHANCES = {"train": 8, "resume": 6, "already there": 1, "complexity": 2, "collect": 2, "tables": 1}
SIZES = (4, 80, 300, 700, 1100, 2000, 3000, 4000, 5000, 6500, 8000)  # of a small disk, in KiB


class Fault(NamedTuple):
    """The call that fails, counted from the start of the command, and with what; `all_writes`: and all that follow."""

    call: int
    error: int
    all_writes: bool


class Ended(NamedTuple):
    """How a command ended: its exit code, what it said, its calls below the experiment, and the call that failed."""

    code: int
    text: str
    calls: int
    hit: str


def run_linconv(folder: str, arguments: list[str], fault: Fault | None, report: str, stop_after: int | None) -> None:
    """`linconv` in this process and in `folder`, where the fault happens; what it says goes to files."""
    os.chdir(folder)
    said = os.open(f"{report}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(said, stream)
    from linconv import cli
    from linconv.training.callbacks import LogLines

    if stop_after is not None:

        def end(self: Any, training: Any) -> None:
            if training.epoch == stop_after:
                os._exit(0)

        LogLines.on_epoch_end = end  # type: ignore[method-assign]
    library = ctypes.CDLL(None)
    counts = hasattr(library, "faults_arm")
    sys.argv = ["linconv", *arguments]
    if counts:
        given = fault or Fault(-1, 0, False)
        library.faults_arm(os.fsencode(folder), ctypes.c_long(given.call), given.error, int(given.all_writes))
    code = 1
    try:
        cli.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        calls, hit = 0, b""
        if counts:
            library.faults_hit.restype, library.faults_calls.restype = ctypes.c_char_p, ctypes.c_long
            calls, hit = library.faults_calls(), library.faults_hit()
            library.faults_arm(b"/nowhere", ctypes.c_long(-1), 0, 0)
        Path(f"{report}.json").write_text(json.dumps([calls, os.fsdecode(hit)]), encoding="utf-8")
        sys.stdout.flush()
    sys.exit(code)


class FaultTest:
    """An experiment, its state before each command, and what it becomes."""

    def __init__(self, root: Path, library: Path | None) -> None:
        if library is not None:
            os.environ["LD_PRELOAD"] = str(library)
        self._processes = warm_processes()
        self.root = root
        self.work = root / "work"
        self.work.mkdir()
        config = write_run(self.work, epochs=2)
        raw = json.loads(config.read_text(encoding="utf-8"))
        config.write_text(json.dumps(raw | {"data_root": "data"}), encoding="utf-8")
        self.calls: dict[str, int] = {}
        for name in COMMANDS:
            if name == "resume":
                self._restore("train")
                self.command("resume", stop_after=1)
            self._keep(name)
            self.calls[name] = self._whole(name).calls
        self._keep("end")
        os.environ.pop("LD_PRELOAD", None)

    def _keep(self, name: str) -> None:
        shutil.copytree(self.work, self.root / name)

    def _restore(self, name: str) -> None:
        for path in self.work.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.root / name, self.work, dirs_exist_ok=True)

    def _whole(self, name: str) -> Ended:
        ended = self.command(name)
        if ended.code:
            raise RuntimeError(f"{name} fails without a fault:\n{ended.text}")
        return ended

    def command(self, name: str, fault: Fault | None = None, stop_after: int | None = None) -> Ended:
        """Run a command in the experiment."""
        log = self.work / "logs" / "train.log"
        before = log.stat().st_size if log.is_file() else 0
        report = self.root / "report"
        given = (str(self.work), COMMANDS[name], fault, str(report), stop_after)
        process = self._processes.Process(target=run_linconv, args=given)
        process.start()
        process.join()
        code = int(process.exitcode or 0)
        process.close()
        text = Path(f"{report}.txt").read_text(encoding="utf-8")
        if log.is_file():
            text += log.read_bytes()[before:].decode()
        calls, hit = json.loads(Path(f"{report}.json").read_text(encoding="utf-8")) if stop_after is None else (0, "")
        return Ended(code, text, calls, hit)

    def outcome(self) -> dict[str, bytes]:
        """The files of the experiment without logs, caches, checkpoints, and the provenance of results."""
        found = {}
        for path in sorted(self.work.rglob("*")):
            name = path.relative_to(self.work).as_posix()
            if path.is_dir() or name.startswith(("logs/", "data/")) or path.name.startswith("checkpoint"):
                continue
            found[name] = path.read_bytes()
            if path.name in ("result.json", "complexity.json"):
                values = json.loads(found[name])
                del values["digest"]
                _drop(values, "provenance")
                found[name] = json.dumps(values).encode()
        return found

    def attempt(self, name: str, fault: Fault | None = None) -> tuple[Ended, list[str]]:
        """A command with a fault, and then without one: how the first ended, and what is wrong."""
        self._restore(name)
        ended = self.command(name, fault)
        wrong = problems(ended)
        return ended, wrong + self.afterwards(name)

    def afterwards(self, name: str) -> list[str]:
        """What is wrong with the experiment after the same command, and those that follow it."""
        names = list(COMMANDS)
        rest = [name] if name in ("train", "resume", "already there") else names[names.index(name) :]
        for each in rest:
            if (again := self.command(each)).code:
                return [f"{each} fails afterwards: {again.text}"]
        found = self.outcome()
        shutil.copytree(self.work, self.root / "found", dirs_exist_ok=True)
        self._restore("complexity" if len(rest) == 1 and rest[0] in ("train", "resume", "already there") else "end")
        expected = self.outcome()
        changed = [f for f in {*found, *expected} if found.get(f) != expected.get(f) and not _is_made_later(f, rest)]
        return [f"{file} is another than without the fault" for file in sorted(changed)]


def _drop(values: Any, name: str) -> None:
    """Remove a key wherever it is."""
    if isinstance(values, dict):
        values.pop(name, None)
    for value in values.values() if isinstance(values, dict) else values if isinstance(values, list) else ():
        _drop(value, name)


def _is_made_later(file: str, rest: list[str]) -> bool:
    """Whether a file holds the time of a measurement that was made again."""
    return "complexity" in rest and file.startswith(("results/kill/data/", "results/kill/tables/"))


def problems(ended: Ended) -> list[str]:
    """What is wrong with what a command said as it ended."""
    wrong = [
        word for word in ("Traceback", "Logging error", "Exception ignored", "terminate called") if word in ended.text
    ]
    said = {line.partition("error: ")[2] for line in ended.text.splitlines() if "error: " in line}
    said |= {line.partition("log: ")[2] for line in ended.text.splitlines() if line.startswith("log: ")} - said
    if ended.code < 0:
        wrong.append(f"ended by signal {-ended.code}")
    elif ended.code and not said:
        wrong.append(f"exit code {ended.code} without a line that says why")
    wrong += [f"no remedy: {line}" for line in said if "; " not in line and ended.code]
    return wrong


def build(folder: Path) -> Path:
    """The library that makes calls fail."""
    library = folder / "faults.so"
    compiler = shutil.which("cc") or shutil.which("gcc") or "cc"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


def inject(test: FaultTest, wanted: int, chance: random.Random) -> int:
    """Random faults; the number of those after which something was wrong."""
    counts: Counter[tuple[str, str]] = Counter()
    bad = 0
    for number in range(wanted):
        name = chance.choices(list(CHANCES), list(CHANCES.values()))[0]
        fault = Fault(chance.randrange(test.calls[name]), chance.choice(ERRORS), chance.random() < 0.3)
        ended, wrong = test.attempt(name, fault)
        bad += bool(wrong)
        counts[name, "unaffected" if ended.code == 0 else "a line"] += 1
        counts[name, "WRONG"] += bool(wrong)
        last = [line for line in ended.text.splitlines() if line.strip()][-1:]
        what = errno.errorcode[fault.error] + " and all writes" * fault.all_writes
        said = f": {last[0].strip()[:150]}" if ended.code and last else ""
        print(f"{number + 1}: {name}, {ended.hit}, {what}: code {ended.code}{said}", flush=True)
        for line in wrong:
            print(f"  WRONG: {line}\n{ended.text if len(wrong) and 'Traceback' in line else ''}", flush=True)
    print("| command | unaffected | one line | wrong |\n|---|---|---|---|")
    for name in COMMANDS:
        print(f"| {name} | {' | '.join(str(counts[name, what]) for what in ('unaffected', 'a line', 'WRONG'))} |")
    return bad


def fill_disks(test: FaultTest, folder: Path) -> int:
    """Trainings on small disks, each really full at some time; the number of those after which something was wrong."""
    bad = 0
    for size in SIZES:
        test._restore("train")
        results = test.work / "results"
        results.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(results)], check=True)
        try:
            ended = test.command("train")
            left = {path.name for path in results.rglob("*") if path.is_file()}
            subprocess.run(["mount", "-o", "remount,size=1g", str(results)], check=True)
            again = test.command("train")
            found = test.outcome()
        finally:
            subprocess.run(["umount", str(results)], check=True)
        test._restore("complexity")
        wrong = problems(ended) + ([] if again.code == 0 and found == test.outcome() else ["other bytes afterwards"])
        bad += bool(wrong)
        said = re.findall(r"error: .*", ended.text)
        print(
            f"{size} KiB: code {ended.code}, left {sorted(left)}, {said[0] if said else 'finished'} {wrong}", flush=True
        )
    return bad


def main(arguments: list[str] | None = None) -> int:
    """Run the test; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--tmpfs", action="store_true", help="fill small disks as well")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args(arguments)
    print(f"--seed {options.seed}", flush=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        test = FaultTest(root, build(root) if options.faults else None)
        bad = inject(test, options.faults, random.Random(options.seed)) if options.faults else 0
        bad += fill_disks(test, root) if options.tmpfs else 0
    print(f"{options.faults} faults{f', {len(SIZES)} small disks' * options.tmpfs}: {bad} went wrong")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
