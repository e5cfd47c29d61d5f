"""Typed, frozen configuration: the single source of the schema of a configuration file."""

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
