"""The table of docs/verdicts.md: verdicts of per-cell paired t-tests beside those of one model per network.

`docs/verdicts/paired_t_tests.csv` holds the verdicts of the former method on the same results (paired t-tests with two
to four degrees of freedom, Holm over an experiment, a margin of one point, seeds alone). The new ones come from the
golden tables `comparisons.csv`. `python docs/verdicts.py` writes the table, `--check` compares it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from linconv.report.labels import variant_of
from linconv.report.text import interval_text, number

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "docs/verdicts/table.md"
OLD_MARGIN = 1.0
HEAD = "| results | network | paired t-tests | one model | why |\n| :-- | :-- | :-- | :-- | :-- |\n"


def both() -> pd.DataFrame:
    """A row per comparison with Conv: the old verdict with its interval, and all columns of the new one."""
    old = pd.read_csv(OUTPUT.with_name("paired_t_tests.csv"))
    frames = []
    for experiment in old["experiment"].unique():
        new = pd.read_csv(ROOT / "results/reference" / experiment / "tables/comparisons.csv")
        frames.append(new[new["reference"] == "conv"].assign(experiment=experiment))
    return old.merge(pd.concat(frames), on=["experiment", "architecture", "variant"], validate="one_to_one")


def why(row: pd.Series) -> str:
    """What made the verdict another one, or keeps it."""
    error = row["margin"] / row["margin_share"]
    if row["verdict"].startswith("equivalent") and row["outcome"] == "undecided":
        return (
            f"±{OLD_MARGIN:g} was {100 * OLD_MARGIN / error:.0f} % of the error, ±{row['margin']:.2f} is "
            f"{100 * row['margin_share']:.0f} %; the images now count"
        )
    if row["outcome"] == "undecided":
        return f"±{row['margin']:.2f} instead of ±{OLD_MARGIN:g}; the images now count"
    return "same verdict" if row["verdict"] == row["outcome"] else "variance pooled over the variants"


def rows(found: pd.DataFrame) -> Iterator[str]:
    """Markdown rows."""
    for _, row in found.iterrows():
        network = variant_of(row["architecture"], row["variant"])
        old = f"{number(row['mean'], 2, signed=True)} {interval_text(row['low'], row['high'], 2, signed=True)}"
        ends = interval_text(row["difference_low"], row["difference_high"], 2, signed=True)
        new = f"{number(row['difference_mean'], 2, signed=True)} {ends}"
        yield _line(row["experiment"], network, f"{old} {row['verdict']}", f"{new} {row['outcome']}", why(row))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> int:
    text = HEAD + "\n".join(rows(both())) + "\n"
    if "--check" not in sys.argv:
        OUTPUT.write_text(text, encoding="utf-8")
        return 0
    if OUTPUT.exists() and OUTPUT.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("docs/verdicts/table.md is out of date: python docs/verdicts.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
