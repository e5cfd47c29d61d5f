"""The record of one training run, and what must hold between its parts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from linconv.config import ResolvedRun
from linconv.config.trials import best_trial, trial_recipes
from linconv.results.data import DataContent
from linconv.results.kinds._kind import resolved
from linconv.results.origin import Provenance
from linconv.results.record import (
    SCHEMA_VERSION,
    Hash,
    NonNegative,
    NonNegativeInt,
    Percent,
    PositiveInt,
    Record,
    Sha256,
    UnitInterval,
)


class Epoch(Record):
    """Metrics of one epoch. Losses are means per sample of the cross-entropy, accuracies are in percent.

    `penalty` is the mean over the epoch's steps of the regularizers' (weighted) contribution to the loss. `val_*` are
    those of the validation part, null without one.
    Non-finite numbers (a diverged run) are stored as null.
    """

    epoch: PositiveInt
    learning_rate: NonNegative
    train_loss: NonNegative | None
    train_top1: Percent
    penalty: float | None
    test_loss: NonNegative | None
    test_top1: Percent
    val_loss: NonNegative | None = None
    val_top1: Percent | None = None


class LayerRedundancy(Record):
    """How redundant the filters of one convolution are; absolute Pearson correlations over pairs i < j.

    `share_above_*` is the share of pairs with an absolute correlation above 0.3, 0.5, 0.7 and 0.9.
    `primary_*` are the same over the primary filters alone (null for a plain convolution).
    `effective_rank` is exp(entropy of the normalized singular values) of the filter matrix, `variance_entropy` the
    entropy of the variance that its principal components explain, as a share of the largest possible.
    `kernel_sparsity`, `kernel_variance_entropy` and `orthogonality` are those of the CNN Filter DB (Gavrikov & Keuper,
    CVPR 2022), the first two over the k x k kernels, the last over the filters.
    """

    layer: str
    position: PositiveInt
    filters: PositiveInt
    filter_size: PositiveInt
    mean_abs_correlation: NonNegative | None
    share_above_0_5: UnitInterval | None
    effective_rank: NonNegative
    primaries: PositiveInt | None = None
    primary_mean_abs_correlation: NonNegative | None = None
    share_above_0_3: UnitInterval | None = None
    share_above_0_7: UnitInterval | None = None
    share_above_0_9: UnitInterval | None = None
    variance_entropy: float | None = None
    kernel_sparsity: float | None = None
    kernel_variance_entropy: float | None = None
    orthogonality: float | None = None


class RunWarning(Record):
    """Something that whoever reads a result should know: a `code` to search for, the layer it is about, if any."""

    code: str
    layer: str | None = None
    message: str


class RunMetrics(Record):
    """The numbers reported for a run: of `epoch`, on the test set; `train_*` are the same epoch's training metrics.

    `selection` says how the epoch was chosen: the last one, or that with the highest accuracy on the validation part
    (the earliest of several). Of a diverged run it is the last.
    `coefficient_sparsity` is the share of sparse coefficients that is zero, null without sparse coefficients.
    `macs` are the multiply-accumulates per image of a pruned network, which complexity.json leaves out; null for every
    other, and for one that diverged before the pruning step.
    `macs_trained` are those of all steps of the training, forward and backward, a search for the rate left out.
    `first_step` is the relative change of the filters by the first step, mean over the convolutions but the first.
    """

    top1: Percent | None
    test_loss: NonNegative | None
    epoch: PositiveInt
    params: PositiveInt
    params_nonzero: NonNegativeInt
    train_loss: NonNegative | None
    train_top1: Percent
    coefficient_sparsity: UnitInterval | None = None
    selection: Literal["last", "best_validation"] = "last"
    macs: NonNegativeInt | None = None
    macs_trained: NonNegativeInt | None = None
    first_step: NonNegative | None = None

    @model_validator(mode="after")
    def _consistent(self) -> RunMetrics:
        if self.params_nonzero > self.params:
            raise ValueError(f"params_nonzero is {self.params_nonzero}, above params, {self.params}")
        return self


class RateTrial(Record):
    """A learning rate that was tried, and the network on the validation part after that; null where it diverged."""

    learning_rate: float = Field(gt=0)
    val_top1: Percent | None
    val_loss: NonNegative | None


class RateChoice(Record):
    """How a run chose its learning rate: each of `trials` was trained for `epochs`.

    `chosen` has the highest accuracy on the validation part, of several the lowest loss.
    """

    epochs: PositiveInt
    trials: list[RateTrial] = Field(min_length=1)
    chosen: float = Field(gt=0)

    @classmethod
    def of(cls, trials: list[RateTrial], epochs: int) -> RateChoice:
        """The choice that these trials lead to."""
        return cls(epochs=epochs, trials=trials, chosen=best_trial(trials).learning_rate)

    @model_validator(mode="after")
    def _consistent(self) -> RateChoice:
        if self.chosen != (best := best_trial(self.trials).learning_rate):
            raise ValueError(f"chosen is {self.chosen}, of these trials {best} is the best")
        return self


class RunOutcomes(Record):
    """The file beside result.json that holds the outcome of every test image, see `linconv.results.outcomes`.

    `correct` of `count` images are right. `sha256` is that of the file.
    """

    file: str = Field(pattern=r"^[A-Za-z0-9_-]+\.npz$")
    count: PositiveInt
    correct: NonNegativeInt
    sha256: Sha256

    @model_validator(mode="after")
    def _consistent(self) -> RunOutcomes:
        if self.correct > self.count:
            raise ValueError(f"{self.correct} of {self.count} images are right")
        return self

    @property
    def top1(self) -> float:
        """The accuracy in percent, as `linconv.training.engine.evaluate` computes it."""
        return 100 * self.correct / self.count


class RunResult(Record):
    """One training run.

    `layers` are the filters after training, `layers_before` those at the first step, null where they were not measured.
    `code_hash` is that of all code that trained, `shared_code_hash` that of the part which every run shares, whatever
    its layer. `shared_code_hash`, `data` and `outcomes` are null in results from before they were recorded; a diverged
    run has no outcomes. `weights_sha256` is that of weights.pt beside the result, null where no weights were kept, and
    in results from before it was recorded. `rate_search` is there where the configuration asks for one.
    """

    kind: Literal["run"] = "run"
    schema_version: Literal[2] = SCHEMA_VERSION
    status: Literal["ok", "diverged"]
    experiment: str
    dataset: str
    architecture: str
    variant: str
    seed: NonNegativeInt
    split: NonNegativeInt = 0
    config_hash: Hash
    code_hash: Hash
    shared_code_hash: Hash | None = None
    config: dict[str, Any]
    data: DataContent | None = None
    metrics: RunMetrics
    rate_search: RateChoice | None = None
    outcomes: RunOutcomes | None = None
    weights_sha256: Sha256 | None = None
    history: list[Epoch]
    layers: list[LayerRedundancy]
    layers_before: list[LayerRedundancy] | None = None
    warnings: list[RunWarning] = Field(default_factory=list)
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> RunResult:
        run = resolved(self.config, self.config_hash)
        for name in ("experiment", "dataset", "architecture", "variant", "seed", "split"):
            if getattr(self, name) != getattr(run, name):
                raise ValueError(f"{name} is {getattr(self, name)!r}, in config it is {getattr(run, name)!r}")
        self._check_rates(run)
        self._check_history(run.recipe.epochs)
        self._check_metrics()
        self._check_selection(run)
        self._check_data()
        if self.outcomes is not None and self.outcomes.top1 != self.metrics.top1:
            raise ValueError(f"outcomes give a top-1 of {self.outcomes.top1}, metrics.top1 is {self.metrics.top1}")
        return self

    def _check_rates(self, run: ResolvedRun) -> None:
        wanted = (
            () if run.rate_search is None else trial_recipes(run.recipe, run.rate_search.factors, run.rate_search.share)
        )
        found = () if self.rate_search is None else self.rate_search.trials
        if [trial.learning_rate for trial in found] != [recipe.learning_rate for recipe in wanted]:
            raise ValueError("rate_search does not have the learning rates that config asks for")
        if self.rate_search is not None and self.rate_search.epochs != wanted[0].epochs:
            raise ValueError(f"rate_search has {self.rate_search.epochs} epochs, config asks for {wanted[0].epochs}")

    def _check_history(self, epochs: int) -> None:
        if [epoch.epoch for epoch in self.history] != list(range(1, len(self.history) + 1)):
            raise ValueError("the epochs of history are not 1, 2, ...")
        if self.status == "ok" and any(None in (epoch.train_loss, epoch.test_loss) for epoch in self.history):
            raise ValueError("a loss is null in history, and status is ok")
        if len(self.history) > epochs or (self.status == "ok" and len(self.history) < epochs):
            raise ValueError(f"history has {len(self.history)} epochs, the recipe {epochs}")

    def _check_metrics(self) -> None:
        metrics = self.metrics
        if metrics.epoch > len(self.history):
            raise ValueError(f"metrics.epoch is {metrics.epoch}, history has {len(self.history)} epochs")
        if metrics.selection == "last" and metrics.epoch != len(self.history):
            raise ValueError(f"metrics.epoch is {metrics.epoch}, the last one is {len(self.history)}")
        epoch = self.history[metrics.epoch - 1]
        wanted = {"top1": epoch.test_top1 if self.status == "ok" else None, "test_loss": epoch.test_loss}
        wanted |= {"train_top1": epoch.train_top1, "train_loss": epoch.train_loss}
        for name, value in wanted.items():
            if getattr(metrics, name) != value:
                raise ValueError(
                    f"metrics.{name} is {getattr(metrics, name)}, in epoch {epoch.epoch} of history it is {value}"
                )

    def _check_selection(self, run: ResolvedRun) -> None:
        metrics, wanted = self.metrics, "last" if self.status == "diverged" else run.report_epoch
        if metrics.selection != wanted:
            raise ValueError(f"metrics.selection is {metrics.selection!r}, config asks for {wanted!r}")
        if metrics.selection == "best_validation":
            # from there on: what came before may have been another network, before a change of it
            chosen, *later = [-1.0 if e.val_top1 is None else e.val_top1 for e in self.history[metrics.epoch - 1 :]]
            if chosen < max((0.0, *later)):
                raise ValueError(f"metrics.epoch is {metrics.epoch}, a later one is better on the validation part")

    def _check_data(self) -> None:
        if self.data is None:
            return
        for name, found, wanted in (("name", self.data.name, self.dataset), ("split", self.data.split, self.split)):
            if found != wanted:
                raise ValueError(f"data.{name} is {found!r}, the run is of {wanted!r}")
        if self.outcomes is not None and self.outcomes.count != self.data.test.images:
            raise ValueError(f"outcomes are of {self.outcomes.count} images, the test part has {self.data.test.images}")
