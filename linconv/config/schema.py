"""The schema of a configuration file."""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from linconv.config.folders import ImageFolderOptions, ValidationOptions
from linconv.config.names import ARCHITECTURES, DATASETS, Frozen, ReportEpoch, check_known
from linconv.config.ranking import RankingOptions
from linconv.config.recipes import RecipeChoice
from linconv.config.throughput import ThroughputOptions
from linconv.config.variants import VARIANTS, Variant

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=64)]
Names = Annotated[tuple[Name, ...], Field(min_length=1)]


def _no_bool(value: Any) -> Any:
    # a number may come as text (`snakemake --config seeds=[3]`), but true is none
    if isinstance(value, bool):
        raise ValueError("input should be a valid integer")
    return value


class ComplexityOptions(Frozen):
    """The grid of networks whose parameters and multiply-accumulates are counted (nothing is trained)."""

    architectures: Names = tuple(ARCHITECTURES)
    input_shape: Annotated[tuple[int, int, int], Field(description="channels, height, width")] = (3, 32, 32)
    classes: Annotated[int, Field(ge=1)] = 10
    batch_size: Annotated[int, Field(ge=1)] = 50

    @field_validator("input_shape")
    @classmethod
    def _positive(cls, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        if min(shape) < 1:
            raise ValueError("channels, height and width must be at least 1")
        return shape


class FigureOptions(Frozen):
    """What the figures show. Changing these values retrains nothing.

    `variants` limits the figures of a single network; without it they show the first nine.
    """

    formats: Annotated[tuple[Literal["svg", "pdf", "png"], ...], Field(min_length=1)] = ("svg", "png")
    heatmap_variants: Names = ("conv", "L", "Lr")
    variants: Names | None = None


class StatisticsOptions(Frozen):
    """How accuracies are compared with the plain convolution's. Changing these values retrains nothing."""

    margin: Annotated[float, Field(gt=0, le=100)] = 1.0  # percentage points
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05


class Hole(Frozen):
    """Cells left out of the grid: those that match every list given."""

    datasets: Names | None = None
    architectures: Names | None = None
    variants: Names | None = None

    @model_validator(mode="after")
    def _something(self) -> Hole:
        if not self.model_fields_set:
            raise ValueError("an exclusion needs at least one of datasets, architectures, variants")
        return self

    def covers(self, dataset: str, architecture: str, variant: str) -> bool:
        """Whether the cell is left out."""
        pairs = ((self.datasets, dataset), (self.architectures, architecture), (self.variants, variant))
        return all(names is None or name in names for names, name in pairs)


class Config(Frozen):
    """A whole experiment: the grid of runs, the recipe, the machine's share, the figures."""

    experiment: Name
    datasets: Names
    architectures: Names
    variants: Names
    seeds: Annotated[tuple[Annotated[int, BeforeValidator(_no_bool), Field(ge=0, lt=2**32)], ...], Field(min_length=1)]
    exclude: tuple[Hole, ...] = ()
    define: dict[Name, Variant] = Field(default={})
    imagefolders: dict[Name, ImageFolderOptions] = Field(default={})
    recipe: RecipeChoice = RecipeChoice()
    augment: bool = True
    validation: ValidationOptions | None = None
    report_epoch: ReportEpoch = "last"
    # 1-based positions, in the order of execution, of the convolutions whose filter correlations are kept
    correlation_layers: tuple[Annotated[int, Field(ge=1)], ...] = (1, 3, 5)
    keep_weights: bool = False
    data_root: Annotated[str, Field(min_length=1)] | None = None  # see data_folder
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, BeforeValidator(_no_bool), Field(ge=1)] = 1
    channels_last: bool = True
    deterministic: bool = True
    compile: bool = False
    cuda_graph: bool = False
    runs_per_gpu: Annotated[int, BeforeValidator(_no_bool), Field(ge=1)] = 1
    loader_workers: Annotated[int, BeforeValidator(_no_bool), Field(ge=0)] = 2
    complexity: ComplexityOptions = ComplexityOptions()
    throughput: ThroughputOptions | None = None
    figures: FigureOptions = FigureOptions()
    statistics: StatisticsOptions = StatisticsOptions()
    ranking: RankingOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _extend(cls, raw: Any) -> Any:
        """`define: {X: {extends: LSr, ...}}` starts from a built-in variant, `narrow_to: X` is as small."""
        if not (isinstance(raw, dict) and isinstance(raw.get("define"), dict)):
            return raw
        built_in = {name: variant.model_dump(exclude_unset=True) for name, variant in VARIANTS.items()}
        define: dict[str, Any] = {}

        def named(name: Any, known: dict[str, Any], key: str) -> Any:
            try:
                check_known([str(name)], known, "variant")
            except ValueError as error:
                raise ValueError(f"define.{key}: {error}") from None
            return known[str(name)]

        for name, values in raw["define"].items():
            if isinstance(values, dict) and "extends" in values:
                start = named(values["extends"], built_in, f"{name}.extends")
                values = _merged(start, {k: v for k, v in values.items() if k != "extends"})
            define[name] = values
        for name, values in define.items():
            if isinstance(values, dict) and isinstance(values.get("narrow_to"), str):
                target = named(values["narrow_to"], built_in | define, f"{name}.narrow_to")
                define[name] = values | {"narrow_to": target}
        return {**raw, "define": define}

    @field_validator("datasets", "architectures", "variants", "seeds", "correlation_layers")
    @classmethod
    def _no_duplicates(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        repeated = [v for v, n in Counter(values).items() if n > 1]
        if repeated:
            raise ValueError(f"{repeated[0]!r} is listed twice")
        return values

    @field_validator("experiment")
    @classmethod
    def _own_folder(cls, name: str) -> str:
        if name.lower() == "reference":
            raise ValueError("results/reference holds the committed results; choose another name")
        return name

    @field_validator("variants")
    @classmethod
    def _distinct_folders(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        folders: dict[str, str] = {}
        for name in names:
            if (other := folders.setdefault(name.lower(), name)) != name:
                raise ValueError(f"'{other}' and '{name}' share a folder on disks that ignore case; rename one")
        return names

    @field_validator("imagefolders")
    @classmethod
    def _new_names(cls, folders: dict[str, ImageFolderOptions]) -> dict[str, ImageFolderOptions]:
        for name in folders:
            if name in DATASETS:
                raise ValueError(f"'{name}' is a built-in data set; choose another name")
        return folders

    @field_validator("architectures")
    @classmethod
    def _architectures(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        check_known(names, ARCHITECTURES, "architecture")
        return names

    @field_validator("complexity")
    @classmethod
    def _complexity(cls, options: ComplexityOptions) -> ComplexityOptions:
        check_known(options.architectures, ARCHITECTURES, "architecture")
        return options

    @model_validator(mode="after")
    def _cross_checks(self) -> Config:
        if self.report_epoch == "best_validation" and self.validation is None:
            raise ValueError("report_epoch: 'best_validation' needs validation, such as {share: 0.1}")
        self._check_datasets()
        self._check_holes()
        check_known(self.variants, self.known_variants, "variant")
        check_known(self.figures.heatmap_variants, self.known_variants, "variant")
        self._check_timed()
        self._check_changed()
        for name in self.variants:
            self._check_rank(name)
        self._check_ranking()
        for architecture in self.architectures:
            for dataset in self.datasets:
                try:
                    self.recipe.resolve(architecture, dataset)
                except ValidationError as error:
                    first = error.errors()[0]
                    key = ".".join(("recipe", *(str(s) for s in first["loc"])))
                    raise ValueError(f"{key}: {first['msg']} (got {first['input']!r}, for {architecture})") from None
        return self

    def _check_datasets(self) -> None:
        places = {"datasets": self.datasets}
        places |= {f"recipe.overrides.{i}.datasets": o.datasets or () for i, o in enumerate(self.recipe.overrides)}
        for place, names in places.items():
            try:
                check_known(names, (*DATASETS, *self.imagefolders), "data set")
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None

    def _check_ranking(self) -> None:
        shown = {"figures.variants": self.figures.variants or ()}
        if self.ranking is not None:
            if "conv" not in self.variants:
                raise ValueError("ranking: budgets are shares of the plain network's cost; add 'conv' to variants")
            shown |= {f"ranking.references.{r}": self.ranking.variants_of(r) for r in self.ranking.references}
            if self.throughput is not None and self.ranking.batch not in self.throughput.batches:
                raise ValueError(f"ranking.batch: {self.ranking.batch} is none of throughput.batches, which are timed")
        for place, names in shown.items():
            try:
                check_known(names, self.variants, "variant")
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None

    def _check_timed(self) -> None:
        if self.throughput is None:
            return
        try:
            check_known(self.throughput.variants, self.known_variants, "variant")
        except ValueError as error:
            raise ValueError(f"throughput.variants: {error}") from None
        if "conv" in self.throughput.variants:
            raise ValueError("throughput.variants: the plain network is always timed; leave 'conv' out")

    def _check_changed(self) -> None:
        """What cannot be done with a network that changes while it is trained."""
        for name in () if self.throughput is None else self.throughput.variants:
            if self.known_variants[name].pruning is not None:
                raise ValueError(f"throughput.variants: '{name}' is pruned, and only its training shows what to time")
        for name, variant in self.planned_variants.items():
            for option in ("compile", "cuda_graph"):
                if variant.changed_by and getattr(self, option):
                    raise ValueError(
                        f"{option}: true cannot train '{name}', whose network {variant.changed_by} changes; use false"
                    )
            pruning = variant.pruning
            if pruning is not None and pruning.at == 1 and self.report_epoch == "best_validation":
                raise ValueError(
                    f"report_epoch: 'best_validation' needs epochs after the cut, and '{name}' has pruning.at: 1; "
                    "choose less, or report_epoch: last"
                )

    def _check_holes(self) -> None:
        """A name that is no part of the grid would leave nothing out, without a word."""
        for i, hole in enumerate(self.exclude):
            for kind in ("datasets", "architectures", "variants"):
                try:
                    check_known(getattr(hole, kind) or (), getattr(self, kind), f"name under {kind}")
                except ValueError as error:
                    raise ValueError(f"exclude.{i}.{kind}: {error}") from None
        grid = itertools.product(self.datasets, self.architectures, self.variants)
        if all(any(hole.covers(*cell) for hole in self.exclude) for cell in grid):
            raise ValueError("exclude: nothing of the grid is left")

    def _check_rank(self, name: str) -> None:
        options = self.known_variants[name].linear
        if options is None or not isinstance(options.rank, int):
            return
        for architecture in {*self.architectures, *self.complexity.architectures}:
            most = math.floor(options.primary_ratio * ARCHITECTURES[architecture])
            if options.rank > most:
                raise ValueError(
                    f"variant '{name}': rank {options.rank} is above the primaries of every convolution of "
                    f"{architecture} (at most {most}); choose a smaller rank or a proportion such as 0.25"
                )

    @property
    def data_folder(self) -> Path:
        """The folder of the data sets' files: `data_root`, else the environment's LINCONV_DATA, else `data`."""
        return Path(self.data_root or os.environ.get("LINCONV_DATA") or "data")

    @property
    def rankings(self) -> tuple[str, ...]:
        """The costs at which variants are ranked; that of time where something is timed."""
        if self.ranking is None:
            return ()
        return ("parameters", "macs", *(["latency"] if self.throughput else []))

    @property
    def planned_variants(self) -> dict[str, Variant]:
        """The definitions of `variants`, in order."""
        return {name: self.known_variants[name] for name in self.variants}

    @property
    def known_variants(self) -> dict[str, Variant]:
        """The built-in variants and those this file defines; a definition may change a built-in one."""
        return VARIANTS | self.define


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mappings merged key by key."""
    out = dict(base)
    for key, value in changes.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out
