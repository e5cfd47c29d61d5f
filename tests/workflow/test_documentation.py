"""config/README.md names every key of the schema and every configuration; these are sound."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from linconv.config import (
    Config,
    ImageFolderOptions,
    LinearOptions,
    Recipe,
    Regularizer,
    SparsityScheduleOptions,
    Variant,
    load_config,
)
from linconv.config.options import ComplexityOptions, FigureOptions, StatisticsOptions
from linconv.config.recipes import Override, RecipeChoice
from tests.workflow.conftest import REPOSITORY

MODELS: tuple[type[BaseModel], ...] = (
    Config,
    RecipeChoice,
    Override,
    Recipe,
    Variant,
    LinearOptions,
    ImageFolderOptions,
    Regularizer,
    SparsityScheduleOptions,
    ComplexityOptions,
    FigureOptions,
    StatisticsOptions,
)


def keys() -> Iterator[tuple[str, str]]:
    for model in MODELS:
        for key in model.model_fields:
            yield model.__name__, key


def test_every_key_is_documented() -> None:
    text = (REPOSITORY / "config" / "README.md").read_text(encoding="utf-8")
    missing = [f"{model}.{key}" for model, key in keys() if f"`{key}" not in text and f".{key}`" not in text]
    assert not missing


def test_every_file_is_documented() -> None:
    text = (REPOSITORY / "config" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\S+\.yaml)` \|", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (REPOSITORY / "config").glob("*.yaml"))


@pytest.mark.parametrize("path", sorted((REPOSITORY / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_committed_configurations_are_sound(path) -> None:
    config = load_config(path)
    assert path.stem in (config.experiment, "config")


def test_experiments_have_names_of_their_own() -> None:
    names = [load_config(path).experiment for path in (REPOSITORY / "config").glob("*.yaml")]
    assert len(set(names)) == len(names)
