"""The entries as Markdown tables, for `linconv list` and the documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from linconv.catalogue.claims import CLAIMS
from linconv.catalogue.criteria import CRITERIA, CriterionEntry
from linconv.catalogue.datasets import DATASETS, DatasetEntry
from linconv.catalogue.examples import examples, first_sentence
from linconv.catalogue.figures import FIGURES
from linconv.catalogue.measurements import MEASUREMENTS
from linconv.catalogue.methods import METHODS, MethodEntry
from linconv.catalogue.networks import NETWORKS, NetworkEntry
from linconv.catalogue.outputs import Output
from linconv.catalogue.regularizers import REGULARIZERS, RegularizerEntry
from linconv.catalogue.tables import TABLES

LISTS = (
    "networks",
    "datasets",
    "methods",
    "criteria",
    "regularizers",
    "measurements",
    "tables",
    "figures",
    "claims",
    "examples",
)
T = TypeVar("T")
RowCells = tuple[str, ...]
_METHOD = "name, layer, parameters, folds, options, source"
_PLACES = {"network": "per network and data set", "dataset": "per data set", "timed network": "per network"}


def table(kind: str, methods: Iterable[MethodEntry] = METHODS.values()) -> str:
    """The entries of a kind, one row each, in the order of the catalogue.

    Args:
        kind: one of `LISTS`.
        methods: those of installed packages may be among them.
    """
    tables: dict[str, Callable[[], list[RowCells]]] = {
        "networks": lambda: _rows("name, network, learning rate, epochs, batch, stay plain", NETWORKS, _network),
        "datasets": lambda: _rows("name, data set, classes, images, augmentation, source", DATASETS, _dataset),
        "methods": lambda: _rows(_METHOD, {m.name: m for m in methods}, _method),
        "criteria": lambda: _rows("name, criterion, options of its own, source", CRITERIA, _criterion),
        "regularizers": lambda: _rows("name, term, weight, source", REGULARIZERS, _regularizer),
        "tables": lambda: _rows("name, what it shows", TABLES, _output),
        "figures": lambda: _rows("name, what it shows", FIGURES, _output),
        "claims": lambda: _rows("name, what is judged", CLAIMS, lambda claim: (claim.label,)),
        "measurements": lambda: _rows("name, what, function", MEASUREMENTS, lambda m: (m.label, f"`{m.target}`")),
        "examples": lambda: _rows("name, experiment", examples(), lambda path: (first_sentence(path),)),
    }
    return _markdown(tables[kind]())


def _rows(columns: str, entries: Mapping[str, T], cells: Callable[[T], RowCells]) -> list[RowCells]:
    return [tuple(columns.split(", ")), *((f"`{name}`", *cells(entry)) for name, entry in entries.items())]


def _network(entry: NetworkEntry) -> RowCells:
    recipe = {"epochs": 250, "batch_size": 50} | dict(entry.paper_recipe)
    plain = ", ".join(f"`{name}`" for name in entry.plain)
    return entry.label, f"{recipe['learning_rate']:g}", str(recipe["epochs"]), str(recipe["batch_size"]), plain


def _dataset(entry: DatasetEntry) -> RowCells:
    side = entry.crop_size or entry.image_size
    images = f"{entry.channels}x{side}x{side}" + (", streamed" if entry.streamed else "")
    steps = [*(["crop"] if entry.crop_padding or entry.crop_size else []), *(["flip"] if entry.flip else [])]
    return entry.label, str(entry.classes), images, ", ".join(steps) or "none", entry.source


def _method(entry: MethodEntry) -> RowCells:
    folds = "" if not entry.computes else "yes" if entry.folds else "no"  # unknown of a method from outside
    return entry.computes or f"`{entry.target}`", entry.params, folds, entry.options, entry.source


def _criterion(entry: CriterionEntry) -> RowCells:
    return entry.label, ", ".join(f"`{option}`" for option in entry.options), entry.source


def _regularizer(entry: RegularizerEntry) -> RowCells:
    return entry.label, f"{entry.weight:g}", entry.source


def _output(entry: Output) -> RowCells:
    place = _PLACES.get(entry.per)
    return (f"{place}: {entry.caption}" if place else entry.caption,)


def _markdown(rows: list[RowCells]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    widths[-1] = min(widths[-1], len(rows[0][-1]))  # long texts come last
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)
