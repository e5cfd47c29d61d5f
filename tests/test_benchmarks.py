"""The scripts that measure figures of the documentation and that no other test runs, on the least that they take."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.cluster import missing

ROOT = Path(__file__).parents[1]
LEAST = {
    "cluster": ("--workers 1 --seeds 1 --rules work", r"work +5 runs, +1 jobs"),
    "decoding": ("--images 4 --rounds 2", r"linconv again.*\d"),
    "loading": ("--images 100 --rounds 2 --threads 1 --workers 1", r"linconv, contiguous +[\d,.]+ images a second"),
    "models": ("--only segmentation/lraspp*", r"\b1 ok"),
    "optimized": ("--architectures base --variants LRr --batches 2 --rounds 2 --block 0.01", r"\d\.\d\d"),
    "planning": ("--runs 8", r"collect.*\d"),
    "seeds_at_once": ("--runs 2 --steps 1 --warm-up 2 --rounds 2 --variant LRr", r"at the same time.*\d"),
}
HELPERS = {"moments", "parameters", "small_run", "subjects", "warm"}  # modules of the others


@pytest.mark.slow
@pytest.mark.parametrize("name", LEAST)
def test_a_benchmark_prints_its_figures(name, tmp_path):
    if name == "cluster" and (reason := missing()):
        pytest.skip(reason)
    arguments, figures = LEAST[name]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / f"{name}.py", *arguments.split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(figures, done.stdout), done.stdout


def test_every_benchmark_is_run_by_a_test():
    """What nothing runs no longer works when it is needed: on a borrowed machine, or before a release."""
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - HELPERS - set(LEAST)
    assert {name for name in scripts if f"{name}.py" not in tests and f"benchmarks.{name}" not in tests} == set()
