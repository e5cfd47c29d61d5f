"""Render everything that the reference results give, without torch, and compare the committed tables with it.

`results/reference/` has configurations, result files and tidy tables of real runs. Beside them are golden files:
the few tables and pictures made of the results that the documentation shows. This script copies the results without
the golden files to `build/reference/` and renders all tables, figures, claims and the report there.

    python docs/render_reference.py             # ends there
    python docs/render_reference.py --check     # and compares the golden files: tables byte by byte, pictures nearly
    python docs/render_reference.py --update    # and replaces the golden files
"""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
RENDERED = ROOT / "build" / "reference"
REPORT_BYTES = 5_000_000  # what a browser on a small machine still opens at once
PICTURE_DIFFERENCE = (
    0.5  # mean over a picture in gray levels of 255: other machines rasterize fonts a little differently
)


def golden_files(reference: Path) -> list[Path]:
    """The golden files, relative to `reference`."""
    files = [*reference.glob("claims.md"), *reference.glob("*/tables/*"), *reference.glob("*/figures/*")]
    return sorted(file.relative_to(reference) for file in files)


def copy_results(reference: Path, copy: Path) -> None:
    """Copy configurations, result files and tidy tables, and nothing that is rendered from them."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(reference, copy, ignore=shutil.ignore_patterns("tables", "figures", "claims.md", "report.html"))


class WithoutTorch(MetaPathFinder):
    """Makes every import of torch fail."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ImportError(f"{name} is imported: rendering needs no torch")


def render(folder: Path) -> None:
    """Render all of `folder` while an import of torch fails."""
    sys.meta_path.insert(0, WithoutTorch())
    from linconv.report import render_all
    from linconv.report.drawing import usable_cores

    render_all(folder, workers=usable_cores())


def same_picture(one: Path, other: Path) -> bool:
    """Whether two pictures have the same size and nearly the same pixels."""
    a, b = (np.asarray(Image.open(file).convert("RGB"), dtype=float) for file in (one, other))
    return a.shape == b.shape and float(np.abs(a - b).mean()) <= PICTURE_DIFFERENCE


def differences(reference: Path, rendered: Path) -> list[str]:
    """One line for each golden file that differs from what is rendered, and for a report that is too large."""
    lines = []
    for file in golden_files(reference):
        committed, made = reference / file, rendered / file
        if not made.is_file():
            lines.append(f"{file}: no longer rendered")
        elif file.suffix == ".png" and not same_picture(committed, made):
            lines.append(f"{file}: the rendered picture differs")
        elif file.suffix != ".png" and committed.read_bytes() != made.read_bytes():
            lines.append(f"{file}: the rendered file differs")
    report = rendered / "report.html"
    if not report.is_file() or report.stat().st_size > REPORT_BYTES:
        lines.append(f"report.html: missing or above {REPORT_BYTES:,} bytes")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Render the reference results into build/reference, without torch.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="compare the golden files with the result")
    choice.add_argument("--update", action="store_true", help="replace the golden files")
    arguments = parser.parse_args()
    copy_results(REFERENCE, RENDERED)
    render(RENDERED)
    sys.stdout.write(f"{RENDERED.relative_to(ROOT)}: rendered\n")
    if arguments.update:
        for file in golden_files(REFERENCE):
            shutil.copyfile(RENDERED / file, REFERENCE / file)
    lines = differences(REFERENCE, RENDERED) if arguments.check or arguments.update else []
    sys.stderr.writelines(f"results/reference/{line}\n" for line in lines)
    if lines and arguments.check:
        sys.stderr.write("If the change is meant: python docs/render_reference.py --update\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
