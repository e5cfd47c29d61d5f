"""Every entry leads to its code, and whatever names an entry names one that there is."""

from __future__ import annotations

import inspect
import pkgutil
import re
import subprocess
import sys

import pytest

import linconv.catalogue
from linconv.catalogue._entry import Entry
from linconv.catalogue.claims import CLAIMS
from linconv.catalogue.criteria import CRITERIA
from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.figures import FIGURES
from linconv.catalogue.measurements import MEASUREMENTS, Measurements
from linconv.catalogue.methods import METHODS
from linconv.catalogue.networks import NETWORKS
from linconv.catalogue.regularizers import REGULARIZERS
from linconv.catalogue.tables import TABLES
from linconv.config import Config, Pruning
from linconv.config.needs import MEASURING
from linconv.layers import ConvReplacement
from linconv.layers.methods import options_of
from linconv.pruning.criterion import Criterion
from linconv.results.code import PACKAGE

ENTRIES = [
    entry
    for entries in (NETWORKS, DATASETS, METHODS, CRITERIA, REGULARIZERS, MEASUREMENTS, TABLES, FIGURES, CLAIMS)
    for entry in entries.values()
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{type(entry).__name__}-{entry.name}")
def test_every_entry_leads_to_its_code(entry: Entry) -> None:
    assert callable(entry.load())
    assert entry.label
    hash(entry)


def test_networks_are_built_by_functions_of_the_same_arguments() -> None:
    for network in NETWORKS.values():
        parameters = set(inspect.signature(network.load()).parameters)
        quirk = {"as_released"} if network.has_released_quirk else set()
        assert parameters == {"num_classes", "in_channels", "conv", "width"} | quirk, network.name


def test_data_sets_state_as_many_statistics_as_channels() -> None:
    for data in DATASETS.values():
        assert len(data.mean) == len(data.std) == data.channels, data.name


def test_methods_and_criteria_are_classes_of_their_kind() -> None:
    assert all(issubclass(method.load(), ConvReplacement) for method in METHODS.values())
    assert all(issubclass(criterion.load(), Criterion) for criterion in CRITERIA.values())
    assert all(name in Pruning.model_fields for criterion in CRITERIA.values() for name in criterion.options)


def test_methods_state_what_their_classes_do() -> None:
    for method in METHODS.values():
        cls = method.load()
        assert method.folds == cls.folds, method.name
        assert set(re.findall(r"`(\w+)`", method.options)) == set(options_of(cls)), method.name
        inits = re.search(r"`init` ([\w, ]+)$", method.options)
        assert set(re.split(r", | or ", inits[1]) if inits else ()) == {*cls.inits, *cls.fits}, method.name
        assert method.computes, method.name


def test_regularizers_take_the_arguments_they_state() -> None:
    for regularizer in REGULARIZERS.values():
        parameters = inspect.signature(regularizer.load()).parameters
        assert set(regularizer.takes) <= set(parameters), regularizer.name
        assert ("on" in parameters) == (not regularizer.needs_sparse_coefficients), regularizer.name


def test_every_method_of_the_package_is_in_the_catalogue() -> None:
    """A module that no entry names would be dead code."""
    for folder, entries in (("methods", METHODS), ("models", NETWORKS)):
        named = {entry.module.rpartition(".")[2] for entry in entries.values()}
        shared = {"__init__", "blocks", "narrow", "normalized"}
        assert {path.stem for path in (PACKAGE / folder).glob("*.py")} - shared <= named


def test_every_measurement_is_asked_for_by_a_key_of_its_name() -> None:
    assert {"complexity", *Measurements.model_fields} == set(MEASURING)
    assert set(MEASURING) <= set(Config.model_fields)


@pytest.mark.parametrize(
    ("names", "without"),
    [
        ([module.name for module in pkgutil.iter_modules(linconv.catalogue.__path__)], ("torch", "numpy", "pandas")),
        (["criteria", "datasets", "methods", "networks", "regularizers"], ("pydantic",)),  # what the library reads
    ],
)
def test_reading_the_catalogue_imports_nothing_heavy(names: list[str], without: tuple[str, ...]) -> None:
    code = "".join(f"import linconv.catalogue.{name}\n" for name in names)
    code += f"import sys; print(sorted(set({without}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
