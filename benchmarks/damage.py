"""Change one byte or one digit of a result, again and again, and see what collecting and rendering make of it.

Each change is refused with one line, or it changes no value: a changed value that is accepted, or a traceback, fails.
Works on a copy of the reference results, with random changes of random files of every kind that is read.

    python benchmarks/damage.py --changes 1000
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from linconv.config import load_config
from linconv.config.errors import UserError
from linconv.report.source import load_experiment
from linconv.results.arrays import read_npz
from linconv.results.collect import collect
from linconv.results.kinds import KINDS
from linconv.results.manifest import MANIFEST as MANIFEST
from linconv.results.outcomes import read_collected_outcomes

ROOT = Path(__file__).resolve().parent.parent
OUTCOMES = ("refused", "harmless", "CHANGED", "TRACEBACK")


class Experiment:
    """A copy of an experiment, and what it gives while it is whole."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = load_config(self.root / "config.yaml")
        self.scratch = self.root.with_name(f".{self.root.name}.collected")
        collect(self.config, self.root, partial=True)
        self.expected = self._collected()
        self.loaded = self._loaded()
        data = list((self.root / "data").iterdir())
        self.files: dict[str, list[Path]] = {
            "result.json": [*self.root.glob("runs/*/*/*/*/result.json")],
            "outcomes.npz": [*self.root.glob("runs/*/*/*/*/outcomes.npz")],
            "correlations.npz": [*self.root.glob("runs/*/*/*/*/correlations.npz")],
            "complexity.json": [*self.root.glob("complexity.json")],
            "timings": [*self.root.glob("throughput/*.json")],
            "measurements": [*self._measurements()],
            "collected CSV": [path for path in data if path.suffix == ".csv"],
            "collected npz": [path for path in data if path.suffix == ".npz"],
            "manifest": [self.root / "data" / MANIFEST],
        }

    def _measurements(self) -> Iterator[Path]:
        for kind in KINDS.values():
            if kind.name not in ("run", "complexity", "throughput"):
                yield from filter(Path.exists, (self.root / kind.path(key) for key in kind.plan(self.config)))

    def judge(self, path: Path) -> str:
        """What becomes of a changed file: one of `OUTCOMES`."""
        try:
            if path.parent.name == "data":
                return "harmless" if same(self._loaded(), self.loaded) else "CHANGED"
            return self._judge_source()
        except UserError as error:
            return "refused" if "\n" not in str(error) else "TRACEBACK"

    def _judge_source(self) -> str:
        collect(self.config, self.root, partial=True, data=self.scratch)
        found = self._collected()
        if same(found, self.expected):
            return "harmless"
        # more than one line may be added: without a run, the figures show another one's correlations
        listed, before = (str(rows["failures.csv"][0]).splitlines() for rows in (found, self.expected))
        return "refused" if len(listed) > len(before) else "CHANGED"

    def _collected(self) -> dict[str, list[object]]:
        """The content of all collected files, arrays by their values."""
        if not self.scratch.exists():
            collect(self.config, self.root, partial=True, data=self.scratch)
        found: dict[str, list[object]] = {}
        for path in sorted(self.scratch.iterdir()):
            if path.suffix == ".csv":
                found[path.name] = [path.read_text(encoding="utf-8")]
            elif path.suffix == ".npz":
                found[path.name] = [*read_npz(path, remedy="").items()]
        return found

    def _loaded(self) -> dict[str, list[object]]:
        """What rendering reads of the collected data."""
        experiment = load_experiment(self.root)
        frames: dict[str, list[object]] = {name: [frame.to_csv()] for name, frame in experiment.frames.items()}
        networks = experiment.runs[["dataset", "architecture"]].drop_duplicates().itertuples(index=False)
        arrays: dict[str, list[object]] = {f"{place}": [*experiment.correlations(*place).items()] for place in networks}
        outcomes: list[object] = [
            (key, array) for key, found in read_collected_outcomes(self.root / "data").items() for array in found
        ]
        return frames | arrays | {"outcomes": outcomes}


def same(one: dict[str, list[object]], other: dict[str, list[object]]) -> bool:
    """Whether two collections hold equal texts and arrays."""
    if one.keys() != other.keys():
        return False
    pairs = [(a, b) for name in one for a, b in zip(one[name], other[name], strict=False)]
    if any(len(one[name]) != len(other[name]) for name in one):
        return False
    return all(_equal(a, b) for a, b in pairs)


def _equal(a: object, b: object) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return a[0] == b[0] and np.array_equal(a[1], b[1])
    return a == b


def changes(content: bytes, chance: random.Random, text: bool) -> tuple[str, bytes]:
    """The content with one byte, or (of a text) one digit changed; and which of the two."""
    digits = [found.start() for found in re.finditer(rb"\d", content)] if text else []
    if digits and chance.random() < 0.5:
        place = chance.choice(digits)
        other = chance.choice([d for d in b"0123456789" if d != content[place]])
        return "digit", content[:place] + bytes([other]) + content[place + 1 :]
    place = chance.randrange(len(content))
    return "byte", content[:place] + bytes([content[place] ^ chance.randint(1, 255)]) + content[place + 1 :]


def damage(experiments: list[Experiment], wanted: int, chance: random.Random) -> Iterator[tuple[str, str, str, Path]]:
    """Make changes, one after the other: the kind of file, of change, what became of it, and the file."""
    kinds = [kind for kind in experiments[0].files if any(experiment.files[kind] for experiment in experiments)]
    for i in range(wanted):
        kind = kinds[i % len(kinds)]
        experiment = chance.choice([experiment for experiment in experiments if experiment.files[kind]])
        path = chance.choice(experiment.files[kind])
        whole = path.read_bytes()
        how, changed = changes(whole, chance, text=path.suffix != ".npz")
        path.write_bytes(changed)
        try:
            outcome = experiment.judge(path)
        except Exception as error:
            print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
            outcome = "TRACEBACK"
        finally:
            path.write_bytes(whole)
        yield kind, how, outcome, path


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "reference", help="folder of experiments")
    options = parser.parse_args(arguments)
    print(f"--seed {options.seed}")
    counts: Counter[tuple[str, str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder, config.parent.name) for config in sorted(options.results.glob("*/config.yaml"))]
        for copy in copies:
            shutil.copytree(options.results / copy.name, copy, ignore=shutil.ignore_patterns("tables", "figures"))
        experiments = [Experiment(copy) for copy in copies]
        for kind, how, outcome, path in damage(experiments, options.changes, random.Random(options.seed)):
            counts[kind, how, outcome] += 1
            if outcome.isupper():
                print(f"{outcome}: one {how} of {path.relative_to(folder)}")
    print(f"| file | change | n | {' | '.join(OUTCOMES)} |\n|---|---|---|{'---|' * len(OUTCOMES)}")
    for kind, how in sorted({(kind, how) for kind, how, _ in counts}):
        numbers = [counts[kind, how, outcome] for outcome in OUTCOMES]
        print(f"| {kind} | {how} | {sum(numbers)} | {' | '.join(map(str, numbers))} |")
    bad = sum(n for (_, _, outcome), n in counts.items() if outcome.isupper())
    print(f"{counts.total()} changes: {bad} accepted with changed values or ended in a traceback")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
