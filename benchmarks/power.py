"""How often a table with so many seeds finds a true difference, or shows a true equality.

Exact, see `linconv.statistics.power`; `--repetitions 4000` checks it by drawing accuracies of all variants and
comparing them as tables do. `--deviation` is the standard deviation of a run about its variant's and its seed's mean,
which tables print ("runs spread by ..."), `--image-error` the standard error of a difference from the test images.

    python benchmarks/power.py --variants 54 --deviation 0.21 --margin 0.1 --difference -2 0
"""

from __future__ import annotations

import argparse
import functools
from collections import Counter

import numpy as np
import pandas as pd

from linconv.statistics import Margin, compare, fit
from linconv.statistics.family import Maximum
from linconv.statistics.power import Chances, Design, chances

PLACE = ("drawn", "network")


def drawn(design: Design, difference: float, repetitions: int) -> Chances:
    """The same by drawing accuracies, without a part of the images."""
    rng = np.random.default_rng(0)
    names = ["plain", *(f"variant {i}" for i in range(design.variants))]
    contrasts = np.c_[-np.ones(design.variants), np.eye(design.variants)]
    maximum = Maximum(np.eye(design.variants + 1), contrasts)  # of every table in which no variant is set apart
    quantile = functools.cache(lambda freedom: maximum.quantile(design.alpha, freedom))
    found: Counter[str] = Counter()
    for _ in range(repetitions):
        scores = 50 + rng.normal(0, design.deviation, (design.seeds, len(names)))
        scores[:, 1] += difference
        model = fit(pd.DataFrame(scores, columns=names))
        if model.apart:
            pairs = [(PLACE, (name, "plain")) for name in names[1:]]
            table = compare({PLACE: model}, pairs, {PLACE: Margin(design.margin, 50)}, design.alpha, plan=False)
            low, high = table[pairs[0]].low, table[pairs[0]].high
        else:
            weights = model.contrast(names[1], "plain")
            error, mean = model.error(weights), float(weights @ model.means)
            half = quantile(round(error.freedom, 6)) * error.total
            low, high = mean - half, mean + half
        different, equivalent = low > 0 or high < 0, -design.margin < low and high < design.margin
        found.update(different=different, equivalent=equivalent, undecided=not (different or equivalent))
    return Chances(*(found[name] / repetitions for name in ("different", "equivalent", "undecided")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=54, help="beside the plain network")
    parser.add_argument("--deviation", type=float, default=0.21, help="of a run, see above, in points")
    parser.add_argument("--image-error", type=float, default=0.0, help="in points")
    parser.add_argument("--difference", type=float, nargs="+", default=[-2.0, 0.0], help="true ones, in points")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--margin", type=float, default=0.1, help="of equivalence, in points")
    parser.add_argument("--repetitions", type=int, default=0, help="of the check; 0: none")
    asked = parser.parse_args()
    print("| seeds | true difference | different | equivalent | undecided |\n| --: | --: | --: | --: | --: |")
    for seeds in asked.seeds:
        design = Design(asked.variants, seeds, asked.deviation, asked.margin, asked.image_error)
        for difference in asked.difference:
            print(row(f"{seeds}", difference, chances(design, difference)))
            if asked.repetitions and not asked.image_error:
                print(row(f"{seeds}, drawn", difference, drawn(design, difference, asked.repetitions)))


def row(seeds: str, difference: float, found: Chances) -> str:
    """A row of the table."""
    shares = " | ".join(f"{100 * value:.1f} %" for value in (found.different, found.equivalent, found.undecided))
    return f"| {seeds} | {difference:+g} | {shares} |"


if __name__ == "__main__":
    main()
