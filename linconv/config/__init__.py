"""Typed, frozen configuration: the single source of the schema of a configuration file.

The names below are loaded when first used: the layers need rules and names of methods from here, and no pydantic.
"""

from typing import TYPE_CHECKING, Any

from linconv._extras import load_public

if TYPE_CHECKING:
    from linconv.config.folders import ImageFolderOptions, ValidationOptions
    from linconv.config.load import load_config, merged_config, parse_config
    from linconv.config.options import ComplexityOptions
    from linconv.config.pruning import Pruning
    from linconv.config.ranking import RankingOptions
    from linconv.config.reading import ConfigError
    from linconv.config.recipes import PRESETS, RateSearch, Recipe, RecipeChoice
    from linconv.config.runs import ResolvedRun, RunKey, plan_cells, plan_runs, resolve_run, resolve_runs, run_hashes
    from linconv.config.schema import Config
    from linconv.config.variants import VARIANTS, LinearOptions, Regularizer, SparsityScheduleOptions, Variant

__all__ = [
    "PRESETS",
    "VARIANTS",
    "ComplexityOptions",
    "Config",
    "ConfigError",
    "ImageFolderOptions",
    "LinearOptions",
    "Pruning",
    "RankingOptions",
    "RateSearch",
    "Recipe",
    "RecipeChoice",
    "Regularizer",
    "ResolvedRun",
    "RunKey",
    "SparsityScheduleOptions",
    "ValidationOptions",
    "Variant",
    "load_config",
    "merged_config",
    "parse_config",
    "plan_cells",
    "plan_runs",
    "resolve_run",
    "resolve_runs",
    "run_hashes",
]

_PLACES = {
    "folders": ("ImageFolderOptions", "ValidationOptions"),
    "load": ("load_config", "merged_config", "parse_config"),
    "options": ("ComplexityOptions",),
    "pruning": ("Pruning",),
    "ranking": ("RankingOptions",),
    "reading": ("ConfigError",),
    "recipes": ("PRESETS", "RateSearch", "Recipe", "RecipeChoice"),
    "runs": ("ResolvedRun", "RunKey", "plan_cells", "plan_runs", "resolve_run", "resolve_runs", "run_hashes"),
    "schema": ("Config",),
    "variants": ("VARIANTS", "LinearOptions", "Regularizer", "SparsityScheduleOptions", "Variant"),
}


def __getattr__(name: str) -> Any:
    return load_public(__name__, _PLACES, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
