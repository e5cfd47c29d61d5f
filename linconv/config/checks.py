"""Checks of a whole configuration: what its parts ask of each other."""

from __future__ import annotations

import itertools

from pydantic import ValidationError

from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.measurements import MEASUREMENTS
from linconv.catalogue.networks import NETWORKS
from linconv.config.methods import PLAIN
from linconv.config.names import check_known
from linconv.config.rules import share_of
from linconv.config.schema import Config


def check_whole(config: Config) -> None:
    """Raise ValueError, whose message begins with the key where there is one, for the first parts that do not fit."""
    if config.report_epoch == "best_validation" and config.validation is None:
        raise ValueError("report_epoch: 'best_validation' needs validation, such as {share: 0.1}")
    if config.recipe.rate_search is not None and config.validation is None:
        raise ValueError("recipe.rate_search: the rate is chosen on a validation part; add validation: {share: 0.1}")
    _check_datasets(config)
    _check_exclusions(config)
    check_known(config.variants, config.known_variants, "variant")
    check_known(config.figures.heatmap_variants, config.known_variants, "variant")
    _check_measured(config)
    _check_changed(config)
    for name in config.variants:
        _check_rank(config, name)
    _check_ranking(config)
    _check_recipes(config)


def _check_datasets(config: Config) -> None:
    places = {"datasets": config.datasets}
    places |= {f"recipe.overrides.{i}.datasets": o.datasets or () for i, o in enumerate(config.recipe.overrides)}
    for place, names in places.items():
        check_known(names, (*DATASETS, *config.imagefolders), "data set", place)


def _check_exclusions(config: Config) -> None:
    """A name that is no part of the grid would leave nothing out, without a word."""
    for i, exclusion in enumerate(config.exclude):
        for kind in ("datasets", "architectures", "variants"):
            left_out = getattr(exclusion, kind) or ()
            check_known(left_out, getattr(config, kind), f"name under {kind}", f"exclude.{i}.{kind}")
    grid = itertools.product(config.datasets, config.architectures, config.variants)
    if all(any(exclusion.covers(*cell) for exclusion in config.exclude) for cell in grid):
        raise ValueError("exclude: nothing of the grid is left")


def _check_measured(config: Config) -> None:
    for name in MEASUREMENTS:
        options = getattr(config, name, None)
        networks = getattr(options, "architectures", None) or ()  # a block of options may have none
        check_known(networks, NETWORKS, "architecture", f"{name}.architectures")
        variants = getattr(options, "variants", ())
        check_known(variants, config.known_variants, "variant", f"{name}.variants")
        if PLAIN in variants:
            raise ValueError(f"{name}.variants: the plain network is always measured too; leave '{PLAIN}' out")
    if config.regularizer is not None:
        for name in config.regularizer.variants:
            if all(r.name != "correlation" for r in config.known_variants[name].regularizers):
                raise ValueError(f"regularizer.variants: '{name}' has no correlation regularizer; one that has is 'Lr'")
    if (options := config.sensitivity) is not None:
        known = (*DATASETS, *config.imagefolders)
        check_known(options.datasets or (), known, "data set", "sensitivity.datasets")


def _check_changed(config: Config) -> None:
    """What cannot be done with a network that changes while it is trained."""
    for name, variant in config.planned_variants.items():
        for option in ("compile", "cuda_graph"):
            if variant.changed_by and getattr(config, option):
                raise ValueError(
                    f"{option}: true cannot train '{name}', whose network {variant.changed_by} changes; use false"
                )
        pruning = variant.pruning
        if pruning is not None and pruning.at == 1 and config.report_epoch == "best_validation":
            raise ValueError(
                f"report_epoch: 'best_validation' needs epochs after the pruning step, and '{name}' has pruning.at: 1; "
                "choose less, or report_epoch: last"
            )


def _check_rank(config: Config, name: str) -> None:
    options = config.known_variants[name].linear
    if options is None or not isinstance(options.rank, int):
        return
    for architecture in {*config.architectures, *config.complexity.architectures}:
        most = share_of(options.primary_ratio, NETWORKS[architecture].widest)
        if options.rank > most:
            raise ValueError(
                f"variant '{name}': rank {options.rank} is above the primaries of every convolution of "
                f"{architecture} (at most {most}); choose a smaller rank or a proportion such as 0.25"
            )


def _check_ranking(config: Config) -> None:
    shown = {"figures.variants": config.figures.variants or ()}
    if (ranking := config.ranking) is not None:
        if "conv" not in config.variants:
            raise ValueError("ranking: budgets are shares of the plain network's cost; add 'conv' to variants")
        shown |= {f"ranking.references.{name}": ranking.variants_of(name) for name in ranking.references}
        if config.throughput is not None and ranking.batch not in config.throughput.batches:
            raise ValueError(f"ranking.batch: {ranking.batch} is none of throughput.batches, which are timed")
    for place, names in shown.items():
        check_known(names, config.variants, "variant", place)
    if isinstance(margins := config.statistics.margin, dict):
        check_known(margins, config.datasets, "data set", "statistics.margin")


def _check_recipes(config: Config) -> None:
    for architecture, dataset in itertools.product(config.architectures, config.datasets):
        try:
            config.recipe.resolve(architecture, dataset)
        except ValidationError as error:
            first = error.errors()[0]
            place = _recipe_place(config, architecture, dataset, first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            raise ValueError(f"{place}: {message} (got {first['input']!r}, for {architecture})") from None


def _recipe_place(config: Config, architecture: str, dataset: str, keys: tuple[int | str, ...]) -> str:
    """The override that set a value last, or `recipe`."""
    for i, override in reversed(list(enumerate(config.recipe.overrides))):
        if keys and keys[0] in override.set and override.applies_to(architecture, dataset):
            return ".".join(map(str, ("recipe", "overrides", i, "set", *keys)))
    return ".".join(map(str, ("recipe", *keys)))
