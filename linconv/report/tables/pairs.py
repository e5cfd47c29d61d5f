"""Every run beside the plain network's run of the same seed, image by image."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from linconv.config import RunKey
from linconv.config.methods import PLAIN
from linconv.report.labels import draw_label
from linconv.report.source import CELL, Experiment
from linconv.report.table import DATASET, NETWORK, VARIANT, Column, Rows, Table, TableCell, count, numeric
from linconv.statistics import McNemar, holm, mcnemar, mcnemar_over_pairs

_COLUMNS = (
    DATASET,
    NETWORK,
    VARIANT,
    Column("seed"),
    Column("variant", "right alone"),
    Column("Conv", "right alone"),
    Column("points"),
    Column("raw", "p"),
    Column("adjusted", "p"),
)
_CAPTION = (
    "Test images that only the variant's run, and only the plain network's run of the same seed, classifies rightly; "
    "the difference in percentage points; McNemar's exact two-sided p, raw and adjusted over the {pairs} pairs (Holm)."
)
_NOTES = (
    "A row of one seed compares these two trained networks on other images. It says nothing of other seeds: for the "
    "methods, read the differences and verdicts.",
    "all: the sums over the seeds, with each image counted once (Durkalski's test for clustered pairs), adjusted over "
    "the {sums} such rows. It holds for these trained networks, so it is smaller than a p that includes the seeds.",
)


class PairedRuns(NamedTuple):
    """Runs of a cell and of the plain network on one split, by the same seeds; one seed, or all that both have."""

    cell: tuple[str, str, str]
    split: int
    seeds: tuple[int, ...]
    images: int
    found: McNemar

    @property
    def points(self) -> float:
        """The mean difference of the accuracies."""
        return 100 * (self.found.first - self.found.second) / (self.images * len(self.seeds))


def pairs_table(experiment: Experiment) -> tuple[Table, pd.DataFrame]:
    """McNemar's test of every pair of runs of one seed, and over the seeds, as a table and as a tidy frame."""
    pairs = list(_pairs(experiment))
    adjusted: dict[PairedRuns, float] = {}
    for of_one in (True, False):
        family = [pair for pair in pairs if (len(pair.seeds) == 1) == of_one]
        adjusted |= dict(zip(family, holm([pair.found.p for pair in family]), strict=True))
    rows = Rows(_COLUMNS, group=["data set", "network", "variant"])
    records = []
    for pair in pairs:
        single = len(pair.seeds) == 1
        label = draw_label(pair.seeds[0], pair.split) if single else f"all{f', split {pair.split}' * (pair.split > 0)}"
        rows.add(
            *pair.cell,
            TableCell(label, pair.seeds[0] if single else None),
            count(pair.found.first),
            count(pair.found.second),
            numeric(pair.points, 2, signed=True),
            _p(pair.found.p),
            _p(adjusted[pair]),
        )
        records.append(
            dict(zip(CELL, pair.cell, strict=True))
            | {"split": pair.split, "seed": pair.seeds[0] if single else "all", "pairs": len(pair.seeds)}
            | {"images": pair.images, "variant_alone": pair.found.first, "plain_alone": pair.found.second}
            | {"difference": pair.points, "p": _digits(pair.found.p), "p_adjusted": _digits(adjusted[pair])}
        )
    singles = sum(len(pair.seeds) == 1 for pair in pairs)
    notes = [note.format(sums=len(pairs) - singles) for note in _NOTES[: 1 + (len(pairs) > singles)]]
    return rows.table(_CAPTION.format(pairs=singles), notes), pd.DataFrame(records)


def _pairs(experiment: Experiment) -> Iterator[PairedRuns]:
    """Seed by seed, then all seeds of a split together where there are several."""
    done = _outcomes(experiment)
    cells = [cell for cell in experiment.cells if not cell.baseline]
    for of_cell, split in itertools.product(cells, experiment.config.splits):
        cell = of_cell[:3]
        keys = [RunKey(*cell, seed, split) for seed in experiment.config.seeds]
        found = [(key.seed, done.get(key), done.get(key._replace(variant=PLAIN))) for key in keys]
        both = [(seed, *own, plain[1]) for seed, own, plain in found if own and plain and _same_images(own, plain)]
        for seed, _, own, plain in both:
            yield PairedRuns(cell, split, (seed,), len(own), mcnemar(own, plain))
        if len(both) > 1 and len({(data, len(own)) for _, data, own, _ in both}) == 1:
            _, _, own_runs, plain_runs = zip(*both, strict=True)
            sums = mcnemar_over_pairs(np.stack(own_runs), np.stack(plain_runs))
            yield PairedRuns(cell, split, tuple(seed for seed, *_ in both), len(own_runs[0]), sums)


_Seen = tuple[str, np.ndarray]  # the digest of a run's data, "" where it is not known, and right or not by image


def _outcomes(experiment: Experiment) -> dict[RunKey, _Seen]:
    runs = experiment.runs[experiment.runs["status"] == "ok"]
    keys = map(RunKey._make, zip(*(runs[column] for column in RunKey._fields), strict=True))
    digests = zip(keys, runs["data"].fillna(""), strict=True)
    outcomes = experiment.outcomes
    return {key: (str(data), outcomes[key].correct) for key, data in digests if key in outcomes}


def _same_images(one: _Seen, other: _Seen) -> bool:
    return one[0] == other[0] and len(one[1]) == len(other[1])


def _digits(p: float) -> float:
    """Three significant digits, so that no p becomes 0 and every machine writes the same ones."""
    return float(f"{p:.3g}")


def _p(p: float) -> TableCell:
    return TableCell("<0.0001", p) if p < 0.0001 else numeric(p, 4)
