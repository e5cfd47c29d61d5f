"""The schema of a configuration file."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from linconv.catalogue.frozen import ExcludeFromHash, Frozen, Name, Names, OmitDefaultFromHash, ReportEpoch
from linconv.catalogue.measurements import Measurements
from linconv.catalogue.networks import NETWORKS
from linconv.config.folders import ImageFolderOptions, ValidationOptions, check_new_names
from linconv.config.methods import PLAIN
from linconv.config.names import check_known
from linconv.config.needs import RULES, NeedsOptions
from linconv.config.options import ComplexityOptions, Exclusion, FigureOptions, StatisticsOptions
from linconv.config.ranking import RankingOptions
from linconv.config.recipes import RecipeChoice
from linconv.config.variants import VARIANTS, Variant

DATA_VARIABLE = "LINCONV_DATA"  # of the environment: the folder of the data sets' files


class _Training(Frozen):
    """What is trained and counted: the grid of runs, the recipe, the machine's share."""

    experiment: Name
    datasets: Names
    architectures: Names
    variants: Names
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)]
    # 0 is a data set's own training and test part, any other number a new split of all its images, drawn by the number
    splits: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1), OmitDefaultFromHash] = (
        0,
    )
    exclude: tuple[Exclusion, ...] = ()
    define: dict[Name, Variant] = Field(default={})
    imagefolders: dict[Name, ImageFolderOptions] = Field(default={})
    recipe: RecipeChoice = RecipeChoice()
    augment: bool = True
    validation: ValidationOptions | None = None
    report_epoch: ReportEpoch = "last"
    # 1-based positions, in the order of execution, of the convolutions whose filter correlations are kept
    correlation_layers: tuple[Annotated[int, Field(ge=1)], ...] = (1, 3, 5)
    keep_weights: Annotated[bool, ExcludeFromHash] = False
    data_root: Annotated[Annotated[str, Field(min_length=1)] | None, ExcludeFromHash] = None  # see data_folder
    device: Annotated[Literal["auto", "cpu", "cuda"], ExcludeFromHash] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024), ExcludeFromHash] = 1
    channels_last: Annotated[bool, ExcludeFromHash] = True
    deterministic: Annotated[bool, ExcludeFromHash] = True
    compile: Annotated[bool, ExcludeFromHash] = False
    cuda_graph: Annotated[bool, ExcludeFromHash] = False
    runs_per_gpu: Annotated[int, Field(ge=1, le=1024), ExcludeFromHash] = 1
    loader_workers: Annotated[int, Field(ge=0, le=1024), ExcludeFromHash] = 2
    workers: Annotated[int, Field(ge=0, le=1024), ExcludeFromHash] = 0
    needs: Annotated[dict[str, NeedsOptions], ExcludeFromHash] = Field(default={})
    complexity: ComplexityOptions = ComplexityOptions()


class Config(Measurements, _Training):
    """A whole experiment: what is trained, what is measured, how it is shown; its keys in that order.

    What its parts ask of each other is checked by `linconv.config.parse_config`.
    """

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
        for name, values in raw["define"].items():
            if isinstance(values, dict) and "extends" in values:
                check_known([str(values["extends"])], built_in, "variant", f"define.{name}.extends")
                values = _merged(built_in[str(values["extends"])], {k: v for k, v in values.items() if k != "extends"})
            define[name] = values
        known = built_in | define
        for name, values in define.items():
            if isinstance(values, dict) and isinstance(target := values.get("narrow_to"), str):
                check_known([target], known, "variant", f"define.{name}.narrow_to")
                if isinstance(known[target], dict) and known[target].get("narrow_to"):
                    raise ValueError(f"define.{name}.narrow_to: '{target}' is narrowed itself; name another variant")
                define[name] = values | {"narrow_to": known[target]}
        return {**raw, "define": define}

    @model_validator(mode="before")
    @classmethod
    def _count_trained_networks(cls, raw: Any) -> Any:
        """Without `complexity.architectures`, networks of the experiment are counted beside the paper's."""
        if not isinstance(raw, dict) or not isinstance(block := raw.get("complexity", {}), dict):
            return raw
        trained = raw.get("architectures")
        if "architectures" in block or not isinstance(trained, list | tuple):
            return raw
        counted = ComplexityOptions().architectures
        others = [name for name in trained if isinstance(name, str) and name in NETWORKS and name not in counted]
        return {**raw, "complexity": {**block, "architectures": [*counted, *others]}} if others else raw

    @field_validator("datasets", "architectures", "variants", "seeds", "splits", "correlation_layers")
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

    @field_validator("define")
    @classmethod
    def _reference_stays(cls, define: dict[str, Variant]) -> dict[str, Variant]:
        if PLAIN in define:
            raise ValueError(f"'{PLAIN}' is the plain network that all others are compared with; choose another name")
        return define

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
        check_new_names(folders)
        return folders

    @field_validator("needs")
    @classmethod
    def _rules(cls, needs: dict[str, NeedsOptions]) -> dict[str, NeedsOptions]:
        check_known(needs, RULES, "rule")
        return needs

    @field_validator("architectures")
    @classmethod
    def _architectures(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        check_known(names, NETWORKS, "architecture")
        return names

    @field_validator("complexity")
    @classmethod
    def _complexity(cls, options: ComplexityOptions) -> ComplexityOptions:
        check_known(options.architectures, NETWORKS, "architecture")
        return options

    @property
    def draws(self) -> tuple[tuple[int, int], ...]:
        """(seed, split) of the runs of every cell, the seeds of a split together."""
        return tuple((seed, split) for split in self.splits for seed in self.seeds)

    @property
    def data_folder(self) -> Path:
        """The folder of the data sets' files: `data_root`, else the environment's LINCONV_DATA, else `data`."""
        return Path(self.data_root or os.environ.get(DATA_VARIABLE) or "data").expanduser()

    def export_data_root(self) -> None:
        """Give `data_root` to the processes to come: the copy of the configuration that they read does not name it."""
        if self.data_root:
            os.environ[DATA_VARIABLE] = self.data_root

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
