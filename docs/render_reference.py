"""Collect and render the reference results again, without torch, and compare the golden files with the outcome.

`results/reference/<experiment>/` has the configuration and the result files of real runs. Beside them are golden
files: the tidy tables in `data/`, and the few tables and pictures that the documentation shows. This script copies the
results without the golden files to `build/reference/`, collects them there and renders everything.

    python docs/render_reference.py                 # ends there
    python docs/render_reference.py --check         # and compares the golden files: byte by byte, pictures nearly
    python docs/render_reference.py --update        # and replaces the golden files
    python docs/render_reference.py --add FOLDER    # first takes the finished experiment FOLDER into results/reference
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:  # read where torch cannot be imported
    from linconv.report.source import Experiment

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
RENDERED = ROOT / "build" / "reference"
GOLDEN = ("claims.md", "experiments.md", "*/experiment.md", "*/data/*", "*/tables/*", "*/figures/*")
PICTURE = re.compile(r"!\[[^\]]*\]\((figures/[^)]+)\)")
MADE = ("data", "tables", "figures", "claims.md", "report.html", "experiment.md", "experiments.md")
NOT_KEPT = ("logs", "weights.pt", "checkpoint*", "correlations.npz")
REPORT_BYTES = 5_000_000  # what a browser on a small machine still opens at once
PICTURE_DIFFERENCE = 0.5  # mean over a picture, in gray levels of 255: other machines draw letters a little differently


class WithoutTorch(MetaPathFinder):
    """Makes every import of torch fail."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ImportError(f"{name} is imported: rendering needs no torch")


def pages(folder: Path) -> list[Path]:
    """The pages about experiments and the pictures that they show, relative to `folder`."""
    shown = [
        page.parent / name for page in folder.glob("*/experiment.md") for name in PICTURE.findall(page.read_text())
    ]
    return [
        file.relative_to(folder) for file in (*folder.glob("experiments.md"), *folder.glob("*/experiment.md"), *shown)
    ]


def golden_files(reference: Path) -> list[Path]:
    """The golden files, relative to `reference`."""
    return sorted({file.relative_to(reference) for pattern in GOLDEN for file in reference.glob(pattern)})


def copy_results(reference: Path, copy: Path) -> None:
    """Copy configurations and result files, and nothing that is made of them."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(reference, copy, ignore=shutil.ignore_patterns(*MADE))


def collect_and_render(folder: Path) -> None:
    """Make everything that the results in `folder` give, while an import of torch fails."""
    from linconv.config import load_config
    from linconv.report import render_loaded
    from linconv.report.figures.drawing import usable_cores
    from linconv.report.source import load_experiment
    from linconv.results.collect import collect
    from linconv.results.folders import experiment_folders

    for config in sorted(folder.glob("*/config.yaml")):
        collect(load_config(config), config.parent, partial=True)
    experiments = {root: load_experiment(root) for root in experiment_folders(folder)}
    render_loaded(folder, experiments, workers=usable_cores())
    write_pages(folder, list(experiments.values()))


def write_pages(folder: Path, experiments: Sequence[Experiment]) -> None:
    """The page of every experiment, and the list of them by weight."""
    from linconv.report.answer.pages import experiment_markdown, experiments_markdown

    for experiment in experiments:
        (experiment.root / "experiment.md").write_text(experiment_markdown(experiment), encoding="utf-8")
    (folder / "experiments.md").write_text(experiments_markdown(experiments), encoding="utf-8")


def add(experiment: Path, reference: Path) -> None:
    """Take in the result files of a collected experiment, and the filter correlations that a figure shows."""
    from linconv.config import RunKey

    kept = reference / experiment.name
    copy = shutil.ignore_patterns(*MADE, *NOT_KEPT)
    shutil.copytree(experiment, kept, ignore=copy)
    with np.load(experiment / "data" / "correlations.npz") as shown:
        runs = {tuple(name.split("/")[:5]) for name in shown.files}
    for dataset, architecture, variant, seed, split in sorted(runs):
        file = RunKey(dataset, architecture, variant, int(seed), int(split)).path / "correlations.npz"
        shutil.copyfile(experiment / file, kept / file)
    shutil.copytree(experiment / "data", kept / "data", ignore=shutil.ignore_patterns("*.npz", "manifest.json"))


def same_picture(one: Path, other: Path) -> bool:
    """Whether two pictures have the same size and nearly the same pixels."""
    a, b = (np.asarray(Image.open(file).convert("RGB"), dtype=float) for file in (one, other))
    return a.shape == b.shape and float(np.abs(a - b).mean()) <= PICTURE_DIFFERENCE


def differences(reference: Path, rendered: Path) -> list[str]:
    """One line for each golden file that differs from what is rendered, and for a report that is too large."""
    lines = []
    for file in sorted({*golden_files(reference), *pages(rendered)}):
        committed, made = reference / file, rendered / file
        if not committed.is_file():
            lines.append(f"{file}: missing")
        elif not made.is_file():
            lines.append(f"{file}: no longer made")
        elif file.suffix == ".png" and not same_picture(committed, made):
            lines.append(f"{file}: the picture differs from what is rendered")
        elif file.suffix != ".png" and committed.read_bytes() != made.read_bytes():
            lines.append(f"{file}: differs from what is made of the results")
    report = rendered / "report.html"
    if not report.is_file() or report.stat().st_size > REPORT_BYTES:
        lines.append(f"report.html: missing or above {REPORT_BYTES:,} bytes")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Collect and render the reference results into build/reference.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="compare the golden files with the outcome")
    choice.add_argument("--update", action="store_true", help="replace the golden files by the outcome")
    choice.add_argument("--add", type=Path, metavar="FOLDER", help="take a finished experiment in before all else")
    arguments = parser.parse_args()
    sys.meta_path.insert(0, WithoutTorch())
    if arguments.add:
        add(arguments.add.resolve(), REFERENCE)
    copy_results(REFERENCE, RENDERED)
    collect_and_render(RENDERED)
    sys.stdout.write(f"{RENDERED.relative_to(ROOT)}: collected and rendered\n")
    if arguments.update or arguments.add:
        for file in {*golden_files(REFERENCE), *pages(RENDERED)}:
            if (RENDERED / file).is_file():
                (REFERENCE / file).parent.mkdir(exist_ok=True)
                shutil.copyfile(RENDERED / file, REFERENCE / file)
    lines = differences(REFERENCE, RENDERED) if arguments.check or arguments.update else []
    sys.stderr.writelines(f"results/reference/{line}\n" for line in lines)
    if lines and arguments.check:
        sys.stderr.write("If the change is meant: python docs/render_reference.py --update\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
