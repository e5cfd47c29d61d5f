"""How often the tests of a table find a true difference, or a true equality, with so many seeds.

Draws paired differences of normal noise, one comparison with the given true difference among others without one, and
prints the share of each verdict. `python benchmarks/power.py --comparisons 58 --deviation 0.3 --difference -2 0`
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from linconv.results.equivalence import compare_family


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=58, help="in the table, over which Holm adjusts")
    parser.add_argument(
        "--deviation", type=float, default=0.3, help="standard deviation of a paired difference, points"
    )
    parser.add_argument("--difference", type=float, nargs="+", default=[-2.0, 0.0], help="true ones, percentage points")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--margin", type=float, default=1.0, help="of equivalence, percentage points")
    parser.add_argument("--repetitions", type=int, default=300)
    asked = parser.parse_args()
    generator = np.random.default_rng(0)
    for seeds in asked.seeds:
        for difference in asked.difference:
            found: Counter[str] = Counter()
            for _ in range(asked.repetitions):
                family = generator.normal(0, asked.deviation, (asked.comparisons, seeds))
                family[0] += difference
                found[compare_family(family.tolist(), margin=asked.margin, alpha=0.05)[0].outcome] += 1
            shares = ", ".join(f"{name} {count / asked.repetitions:.0%}" for name, count in found.most_common())
            print(f"{seeds} seeds, true difference {difference:+g}: {shares}")


if __name__ == "__main__":
    main()
