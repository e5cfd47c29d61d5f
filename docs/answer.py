"""The table and the pictures of "Should I use LinearConv?", from the reference results of CIFAR-10.

`python docs/answer.py` writes docs/answer/; with `--check` it says whether the committed table is what they give.
Comparisons and costs are those of the report: `linconv.report.answer`.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

from linconv.report.answer import Answer, leading
from linconv.report.costs import Cost
from linconv.report.figures.answer import write_answer
from linconv.report.page.build import collected
from linconv.report.verdicts import difference_text
from linconv.statistics import Comparison

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENT = ROOT / "results/reference/cifar10-short"
OUTPUT = ROOT / "docs/answer"
NAMES = {
    "conv": "plain",
    "Lr": "LinearConv Lr",
    "LRr": "LinearConv LRr",
    "LRr_preserving": "LRr, variance-preserving",
    "narrow": "narrower plain network",
    "lowrank": "low rank",
}


def table(answer: Answer) -> str:
    """The rows as Markdown."""

    def points(found: Comparison | None) -> str:
        return "" if found is None else f"{difference_text(found)} {found.mark}"

    def share(cost: Cost, digits: int) -> str:
        return "" if math.isnan(cost.ratio) else f"{cost.ratio:.{digits}f}"

    head = "| network | parameters | MACs | time (H200) | top-1 (%) | minus plain | minus narrower |"
    lines = [head, "| :-- | --: | --: | --: | --: | --: | --: |"]
    for variant, name in NAMES.items():
        row = answer.row(variant)
        if row is None:
            raise SystemExit(f"{EXPERIMENT.name}: no finished run of {variant}")
        model = answer.experiment.models[answer.place]
        top1 = float(model.means[model.variants.index(variant)])
        cells = (name, share(row.parameters, 3), share(row.macs, 3), share(row.time, 2), f"{top1:.2f}")
        lines.append(f"| {' | '.join(cells)} | {points(row.to_plain)} | {points(row.to_narrow)} |")
    return "\n".join(lines) + "\n"


def pictures(answer: Answer) -> None:
    """The report's picture of the answer, for wide pages and for narrow ones."""
    for name, tall in (("answer.png", False), ("answer-tall.png", True)):
        write_answer(answer.experiment, answer.place, OUTPUT / name, tall=tall, dpi=150, metadata={"Software": None})


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        answer = leading(collected(EXPERIMENT, Path(scratch)))
        if answer is None:
            raise SystemExit(f"{EXPERIMENT.name}: no finished run")
        text = table(answer)
        path = OUTPUT / "table.md"
        if "--check" in sys.argv:
            if path.exists() and path.read_text(encoding="utf-8") == text:
                return 0
            sys.stderr.write("docs/answer/table.md is out of date: python docs/answer.py\n")
            return 1
        OUTPUT.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        pictures(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
