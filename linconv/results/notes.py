"""What runs that are averaged or compared do not have in common: code, versions, hardware, data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import pandas as pd

What = Literal["code", "torch", "hardware", "data"]

_CELL = ["dataset", "architecture", "variant"]
# `code_hash` holds the code of the variant's own layer, so it says something within a variant alone.
_WITHIN: dict[What, list[str]] = {
    "code": ["code_hash"],
    "torch": ["torch"],
    "hardware": ["hardware", "instruction_set"],
    "data": ["data"],
}
_BETWEEN: dict[What, list[str]] = _WITHIN | {"code": ["shared_code_hash"]}
_WORDS: dict[What, str] = {
    "code": "versions of the training code",
    "torch": "versions of torch",
    "hardware": "kinds of hardware",
    "data": "kinds of data",
}


class Mixture(NamedTuple):
    """Runs that differ in something beside what they are compared for.

    `variant` is None where the variants of a network on a data set differ among each other, each being of one kind.
    `values` are the different ones, in the order of the runs.
    """

    what: What
    dataset: str
    architecture: str
    variant: str | None
    values: tuple[str, ...]

    @property
    def text(self) -> str:
        """What is mixed, to follow the name of the runs: "2 versions of torch (2.11.0, 2.14.1)"."""
        return f"{len(self.values)} {_WORDS[self.what]} ({', '.join(self.values)})"


def mixtures(runs: pd.DataFrame) -> list[Mixture]:
    """What is mixed in the runs that a table averages (within a cell) or pairs (the variants of a network).

    What a run does not tell, as one of an earlier version, is not held against it.

    Args:
        runs: the rows of runs.csv that the table rests on.
    """
    # each split has data of its own
    parts: list[tuple[pd.DataFrame, list[What]]] = [(runs, [what for what in _WITHIN if what != "data"])]
    parts += [(of_split, ["data"]) for _, of_split in runs.groupby("split", sort=False)]
    return [mixture for find in (_in_cells, _in_networks) for part in parts for mixture in find(*part)]


def _in_cells(runs: pd.DataFrame, kinds: Iterable[What]) -> Iterator[Mixture]:
    for place, cell in runs.groupby(_CELL, sort=False):
        dataset, architecture, variant = map(str, place)
        for what in kinds:
            if len(values := _values(cell, _told(cell, _WITHIN[what]))) > 1:
                yield Mixture(what, dataset, architecture, variant, values)


def _in_networks(runs: pd.DataFrame, kinds: Iterable[What]) -> Iterator[Mixture]:
    for place, network in runs.groupby(_CELL[:2], sort=False):
        dataset, architecture = map(str, place)
        for what in kinds:
            told = _told(network, _BETWEEN[what])
            cells = {_values(cell, told) for _, cell in network.groupby("variant", sort=False)}
            if len(cells - {()}) > 1:
                yield Mixture(what, dataset, architecture, None, _values(network, told))


def _told(runs: pd.DataFrame, columns: list[str]) -> list[str]:
    """The first column and those others that every run tells which tells the first."""
    first, *others = columns
    if first not in runs.columns:
        return []
    known = runs[runs[first].notna()]
    return [first, *(name for name in others if name in runs.columns and known[name].notna().all())]


def _values(runs: pd.DataFrame, told: list[str]) -> tuple[str, ...]:
    """The different values of some columns, joined, in the order of the runs that tell the first."""
    if not told:
        return ()
    known = runs.loc[runs[told[0]].notna(), told]
    return tuple(dict.fromkeys(" ".join(map(str, row)) for row in known.itertuples(index=False)))
