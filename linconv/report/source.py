"""What rendering reads: the tidy data and the configuration of an experiment, nothing else."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np
import pandas as pd

from linconv.config import Config, ConfigError, RunKey, load_config
from linconv.config.methods import PLAIN
from linconv.report import inference
from linconv.report.inference import Cell, Place
from linconv.results.arrays import read_npz
from linconv.results.kinds import COLUMNS
from linconv.results.manifest import check_manifest
from linconv.results.notes import Mixture, mixtures
from linconv.results.outcomes import COLLECTED, Outcomes, read_collected_outcomes
from linconv.results.record import ResultError
from linconv.statistics import Comparison, Margin, Model, compare

# A hash such as 12e4567890123456 or a variant called NA must not turn into a number or a missing value.
_TEXT_COLUMNS = (
    "dataset architecture variant status optimizer layer reason detail log stage kind never_orthogonal warnings "
    "config_hash code_hash shared_code_hash data git_commit git_dirty torch numpy hardware instruction_set command "
    "flops_paper_quirk input_shape output_shape operations call arm start form precision"
)
_TEXT = dict.fromkeys(_TEXT_COLUMNS.split(), str)

_P = ParamSpec("_P")
_T = TypeVar("_T")

CELL = ["dataset", "architecture", "variant"]  # the columns that name a cell
DRAW = ["split", "seed"]  # and those that name a run of it
RUN = [*CELL, *DRAW]
CellKey = tuple[str, str, str]
IN_DETAIL = 9  # variants that colors alone distinguish


class Difference(NamedTuple):
    """A variant minus another one."""

    cell: CellKey
    reference: str
    comparison: Comparison


@dataclass(frozen=True)
class Experiment:
    """The collected data of one experiment; `root` is its folder."""

    root: Path
    config: Config
    frames: Mapping[str, pd.DataFrame]  # the rows of data/<name>.csv by name
    hashes: Mapping[str, str] = field(default_factory=dict)  # the SHA-256 of the files in data/ by name

    @property
    def runs(self) -> pd.DataFrame:
        """A row per run."""
        return self.frames["runs"]

    @property
    def complexity(self) -> pd.DataFrame:
        """The counts of a network with a variant per row."""
        return self.frames["complexity"]

    @property
    def throughput(self) -> pd.DataFrame:
        """The time of one form of a variant of a network per row, the plain network among them."""
        return self.frames["throughput"]

    @cached_property
    def computed(self) -> dict[tuple[Any, ...], Any]:
        """What was computed of these data, by what computed it with which arguments; see `once`."""
        return {}

    def with_variants(self, variants: Sequence[str]) -> Experiment:
        """The same experiment as if it had planned some of its variants alone."""
        kept = tuple(variant for variant in self.config.variants if variant in variants)
        return _with_variants(self, kept)

    @cached_property
    def mixtures(self) -> list[Mixture]:
        """What the runs that are averaged or compared do not have in common."""
        return mixtures(self.runs)

    @cached_property
    def models(self) -> dict[Place, Model]:
        """The model of the accuracies of each network on a data set that has a finished run."""
        return inference.accuracy_models(self.runs, self.config, self.outcomes)

    def joint_model(self, dataset: str) -> Model | None:
        """The model of all networks on a data set, whose variants are named network/variant; None without a run."""
        return inference.joint_model(self.runs, self.config, self.outcomes, dataset)

    @cached_property
    def outcomes(self) -> dict[RunKey, Outcomes]:
        """The outcomes of the test images of every run that has them."""
        return read_collected_outcomes(self.root / "data")

    @cached_property
    def margins(self) -> dict[Place, Margin]:
        """The margin of equivalence of each network on a data set that has a finished run."""
        return inference.margins(self.models, self.config)

    @cached_property
    def cells(self) -> list[Cell]:
        """Top-1 accuracies of every planned data set, network and variant, in the order of the configuration."""
        return inference.cells(self.runs, self.config, self.models)

    @cached_property
    def comparisons(self) -> dict[CellKey, Comparison]:
        """Each cell against conv, by data set, network and variant; all planned cells are one family of tests."""
        return self._compared_with(PLAIN, [c for c in self.cells if not c.baseline])

    @cached_property
    def controls(self) -> dict[CellKey, Comparison]:
        """Each cell against the narrow network, where there is one; a family of its own, without conv."""
        control = inference.control_of(self.config)
        cells = [c for c in self.cells if c.variant not in (PLAIN, control)]
        return self._compared_with(control, cells) if control else {}

    def _compared_with(self, reference: str, cells: Sequence[Cell]) -> dict[CellKey, Comparison]:
        pairs = [(c.place, (c.variant, reference)) for c in cells]
        found = self.compare(pairs)
        return {c[:3]: found[pair] for c, pair in zip(cells, pairs, strict=True)}

    def compare(
        self, pairs: Sequence[tuple[Place, tuple[str, str]]], *, plan: bool = True
    ) -> dict[tuple[Place, tuple[str, str]], Comparison]:
        """Differences of variants, (variant, reference) by place, as a family of tests; see `linconv.statistics`.

        A family is compared once, however many tables and figures ask for it.
        """
        return _compare(self, tuple(pairs), plan)

    @property
    def reported_epoch(self) -> str:
        """Which epoch the reported accuracies are of, to follow "on the test set"."""
        held_out = self.config.validation
        if self.config.report_epoch == "last" or held_out is None:
            return f"after the last epoch{self._statistics}"
        share = f"{100 * held_out.share:g} %"
        return (
            f"after the epoch with the best accuracy on a validation part ({share} of the training set)"
            f"{self._statistics}"
        )

    @cached_property
    def _statistics(self) -> str:
        """By which statistics of batch normalization networks were evaluated, where these are not the usual ones."""
        pairs = itertools.product(self.config.architectures, self.config.datasets)
        measured = {self.config.recipe.resolve(*pair).batch_norm == "recalibrated" for pair in pairs}
        if measured == {False}:
            return ""
        return f", with recalibrated statistics of batch normalization{' in part' if len(measured) > 1 else ''}"

    def cells_of(self, dataset: str, architecture: str) -> list[Cell]:
        """The cells of one network on one data set."""
        return [c for c in self.cells if (c.dataset, c.architecture) == (dataset, architecture)]

    def variants_of(self, architecture: str, dataset: str | None = None) -> list[str]:
        """The variants planned for a network (on one data set), in the order of the configuration."""
        planned = {c.variant for c in self.cells if c.architecture == architecture and dataset in (None, c.dataset)}
        return [variant for variant in self.config.variants if variant in planned]

    def shown_in_detail(self, variants: Sequence[str]) -> list[str]:
        """Of `variants`, those that figures with a line or a bar for each show: the configuration's, or the first."""
        named = self.config.figures.variants
        chosen = [v for v in variants if named is None or v in named]
        return (chosen or list(variants))[: None if named and chosen else IN_DETAIL]

    def model(self, architecture: str, variant: str) -> pd.Series | None:
        """The complexity of one network with one variant, None where it was not counted."""
        return self._models.get((architecture, variant))

    @cached_property
    def _models(self) -> dict[tuple[str, str], pd.Series]:
        rows = [row for _, row in self.complexity.iterrows()]
        return {(row["architecture"], row["variant"]): row for row in reversed(rows)}  # the first of two counts

    @property
    def counted_sizes(self) -> list[tuple[str, int]]:
        """The sizes of images and numbers of classes for which networks were counted."""
        sizes = self.complexity[["input_shape", "classes"]].drop_duplicates()
        return list(sizes.itertuples(index=False, name=None))

    @cached_property
    def layer_means(self) -> pd.DataFrame:
        """Means of the metrics of a layer over the finished runs of a cell, one row per cell, stage and layer."""
        done = self.runs.loc[self.runs["status"] == "ok", RUN]
        layers = self.frames["layers"].merge(done, on=RUN)
        keys = [*CELL, "stage", "position", "layer"]
        metrics = [c for c in layers.columns if c not in (*keys, *DRAW)]
        means = layers.groupby(keys, sort=False)[metrics].mean().reset_index()
        means.insert(len(keys), "runs", layers.groupby(keys, sort=False)["seed"].count().to_numpy())
        order = {variant: i for i, variant in enumerate(self.config.variants)}
        means["order"] = means["variant"].map(order)
        means = means.sort_values(["dataset", "architecture", "order", "position", "stage"], kind="stable")
        return means.drop(columns="order").reset_index(drop=True)

    def of_network(self, frame: pd.DataFrame, dataset: str, architecture: str) -> pd.DataFrame:
        """The rows of a frame that belong to one network on one data set."""
        return frame[(frame["dataset"] == dataset) & (frame["architecture"] == architecture)]

    def correlated_variants(self, dataset: str, architecture: str) -> set[str]:
        """The variants of a network on a data set whose filter correlations are stored."""
        return {variant for at, of, variant, *_ in self._correlations if (at, of) == (dataset, architecture)}

    def correlations(self, dataset: str, architecture: str) -> dict[tuple[str, int, str], np.ndarray]:
        """Filter correlations in [-1, 1], (N, N) each, by variant, seed and name of the layer."""
        return {
            (variant, int(seed), layer): array.astype(np.float32) / 127
            for (at, of, variant, seed, _, layer), array in self._correlations.items()
            if (at, of) == (dataset, architecture)
        }

    @cached_property
    def _correlations(self) -> dict[tuple[str, ...], np.ndarray]:
        """127 times Pearson's r, by data set, network, variant, seed, split and name of the layer."""
        stored = read_npz(self.root / "data" / "correlations.npz", remedy="run `linconv collect` again")
        return {tuple(name.split("/", 5)): array for name, array in stored.items()}


def once(compute: Callable[Concatenate[Experiment, _P], _T]) -> Callable[Concatenate[Experiment, _P], _T]:
    """Make a function of an experiment compute once per experiment and arguments; nobody may change what it returns."""

    @functools.wraps(compute)
    def kept(experiment: Experiment, *args: _P.args, **options: _P.kwargs) -> _T:
        key = (compute, args, *options.items())
        if key not in experiment.computed:
            experiment.computed[key] = compute(experiment, *args, **options)
        value: _T = experiment.computed[key]
        return value

    return kept


@once
def _compare(
    experiment: Experiment, pairs: tuple[tuple[Place, tuple[str, str]], ...], plan: bool
) -> dict[tuple[Place, tuple[str, str]], Comparison]:
    return compare(experiment.models, pairs, experiment.margins, experiment.config.statistics.alpha, plan=plan)


@once
def _with_variants(experiment: Experiment, variants: tuple[str, ...]) -> Experiment:
    return replace(experiment, config=experiment.config.model_copy(update={"variants": variants}))


def load_experiment(root: str | Path) -> Experiment:
    """Read the configuration and the collected data of the experiment in folder `root`.

    Raises:
        ResultError: a file is missing or damaged.
    """
    root = Path(root)
    config = config_of(root)
    hashes = check_manifest(root / "data", [*(f"{name}.csv" for name in COLUMNS), "correlations.npz", COLLECTED])
    frames = {name: _read_csv(root / "data" / f"{name}.csv", columns) for name, columns in COLUMNS.items()}
    return Experiment(root=root, config=config, frames=frames, hashes=hashes)


def config_of(root: Path) -> Config:
    """The configuration of the experiment in folder `root`.

    Raises:
        ResultError: it is missing or cannot be used.
    """
    try:
        return load_config(root / "config.yaml")
    except ConfigError as error:
        raise ResultError(str(error)) from None


def has_data_of(experiment: Experiment, root: Path) -> bool:
    """Whether an experiment has the configuration and the collected data of the folder `root`."""
    return experiment.hashes == check_manifest(root / "data") and experiment.config == config_of(root)


def _read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype=_TEXT, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise ResultError(f"{path}: missing; collect the results first") from None
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: cannot be read ({error}); collect the results again") from None
    lacking = [name for name in columns if name not in frame.columns]
    if lacking:
        raise ResultError(f"{path}: no column '{lacking[0]}'; collect the results again")
    return frame
