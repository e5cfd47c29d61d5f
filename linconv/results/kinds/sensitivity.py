"""What the replacement of each layer by itself costs, and which layers to leave plain for it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import model_validator

from linconv.catalogue._entry import Entry
from linconv.config import VARIANTS, Config, ResolvedRun, ValidationOptions
from linconv.config.methods import PLAIN
from linconv.config.parts import run_parts, variant_parts
from linconv.config.runs import digest
from linconv.config.trials import scaled
from linconv.results.kinds._kind import Kind, TidyRows, resolved
from linconv.results.origin import Provenance
from linconv.results.record import SCHEMA_VERSION, Hash, NonNegative, NonNegativeInt, Percent, Record


class LayerSensitivity(Record):
    """One convolution replaced by itself, all others plain.

    Losses are mean cross-entropies per image of the validation part, null where not finite: with the replacement, and
    with the plain convolution trained alone for as many steps. `params` are the plain convolution's.
    """

    layer: str
    params: NonNegativeInt
    params_saved: int
    val_loss_plain: NonNegative | None
    val_loss: NonNegative | None

    @property
    def increase(self) -> float:
        """What the replacement adds to the validation loss; infinite where a loss is not finite."""
        if self.val_loss is None or self.val_loss_plain is None:
            return math.inf
        return self.val_loss - self.val_loss_plain

    @property
    def increase_per_parameter(self) -> float:
        """The increase for each parameter saved; infinite where none is."""
        return self.increase / self.params_saved if self.params_saved > 0 else math.inf


class SensitivityResult(Record):
    """The sensitivity of a network to a variant, layer by layer, after a short training of the plain network."""

    kind: Literal["sensitivity"] = "sensitivity"
    schema_version: Literal[2] = SCHEMA_VERSION
    dataset: str
    architecture: str
    variant: str
    definition: dict[str, Any]
    start: str | None
    steps: NonNegativeInt
    params: NonNegativeInt
    val_loss: NonNegative
    val_top1: Percent
    layers: list[LayerSensitivity]
    config: dict[str, Any]
    config_hash: Hash
    grid_hash: Hash
    code_hash: Hash
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> SensitivityResult:
        run = resolved(self.config, self.config_hash)
        if (self.dataset, self.architecture) != (run.dataset, run.architecture):
            raise ValueError(f"{self.architecture} on {self.dataset}, in config {run.architecture} on {run.dataset}")
        return self

    @property
    def ranked(self) -> list[LayerSensitivity]:
        """The layers by the increase in loss per parameter saved, the least first."""
        return sorted(self.layers, key=lambda layer: layer.increase_per_parameter)

    def exclude(self, share: float) -> list[str]:
        """The variant's `exclude` with which its replacements reach `share` of the saving; see `cheapest`."""
        replaced = {layer.layer for layer in cheapest(self.layers, share)}
        return [*self.definition["exclude"], *(la.layer for la in self.layers if la.layer not in replaced)]


def cheapest(layers: Sequence[LayerSensitivity], share: float) -> list[LayerSensitivity]:
    """Layers that together save `share` of what all save, for a small sum of increases in loss.

    Greedy: by the increase per parameter saved until the share is reached; then those are given back, the largest
    increase first, without which it still is. Layers that save and add no loss are always in, layers that save
    nothing never. That increases add up is an assumption: each was measured with all others plain.

    Raises:
        ValueError: `share` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of the saving must lie in (0, 1], not {share}")
    saving = [layer for layer in layers if layer.params_saved > 0]
    wanted = share * sum(layer.params_saved for layer in saving)
    chosen: list[LayerSensitivity] = []
    saved = 0
    for layer in sorted(saving, key=lambda layer: layer.increase_per_parameter):
        if layer.increase <= 0 or saved < wanted:
            chosen.append(layer)
            saved += layer.params_saved
    for layer in sorted(chosen, key=lambda layer: layer.increase, reverse=True):
        if layer.increase > 0 and saved - layer.params_saved >= wanted:
            chosen.remove(layer)
            saved -= layer.params_saved
    return chosen


SEED = 0


class SensitivityKey(NamedTuple):
    """What one result is of."""

    dataset: str
    architecture: str
    variant: str

    def __str__(self) -> str:
        """The name of the result file, without its ending."""
        return f"{self.dataset}_{self.architecture}_{self.variant}"


def probe_run(config: Config, key: SensitivityKey) -> ResolvedRun:
    """The short training of the plain network, its recipe's schedule shortened to the options' epochs."""
    assert config.sensitivity is not None
    recipe = config.recipe.resolve(key.architecture, key.dataset)
    return ResolvedRun(
        experiment=config.experiment,
        dataset=key.dataset,
        architecture=key.architecture,
        variant=PLAIN,
        seed=SEED,
        definition=VARIANTS[PLAIN],
        recipe=scaled(recipe, config.sensitivity.epochs / recipe.epochs),
        augment=config.augment,
        correlation_layers=config.correlation_layers,
        imagefolder=config.imagefolders.get(key.dataset),
        validation=config.validation or ValidationOptions(),
    )


class Sensitivities(Kind[SensitivityKey, SensitivityResult]):
    """sensitivity/<key>.json: one variant in one network on one data set."""

    name = "sensitivity"
    columns: ClassVar = {
        "sensitivity": [
            *SensitivityKey._fields,
            "start",
            "epochs",
            "steps",
            "probe_val_loss",
            "probe_val_top1",
            "layer",
            "params",
            "params_saved",
            "val_loss_plain",
            "val_loss",
            "increase",
            "increase_per_1000_saved",
            "torch",
            "hardware",
            "threads",
            "git_commit",
            "command",
        ]
    }

    def __init__(self) -> None:
        super().__init__(SensitivityResult)

    def plan(self, config: Config) -> list[SensitivityKey]:
        if (options := config.sensitivity) is None:
            return []
        datasets, architectures = options.datasets or config.datasets, options.architectures or config.architectures
        return [SensitivityKey(*cell) for cell in itertools.product(datasets, architectures, options.variants)]

    def hash(self, config: Config, key: SensitivityKey) -> str:
        assert config.sensitivity is not None
        definition = config.known_variants[key.variant].identity()
        probe = probe_run(config, key).identity()
        return digest({"probe": probe, "definition": definition, "steps": config.sensitivity.steps})

    def parts(self, config: Config, key: SensitivityKey) -> frozenset[Entry]:
        return run_parts(probe_run(config, key)) | variant_parts(config.known_variants[key.variant])

    def key_of(self, result: SensitivityResult) -> SensitivityKey:
        return SensitivityKey(result.dataset, result.architecture, result.variant)

    def rows(self, results: Mapping[SensitivityKey, SensitivityResult]) -> TidyRows:
        rows = []
        for key, result in results.items():
            at = key._asdict() | result.provenance.row()
            at |= {"start": result.start, "steps": result.steps, "epochs": result.config["recipe"]["epochs"]}
            at |= {"probe_val_loss": result.val_loss, "probe_val_top1": result.val_top1}
            for layer in result.ranked:
                row = {**at, **layer.model_dump()}
                if math.isfinite(layer.increase):
                    row["increase"] = layer.increase
                if math.isfinite(layer.increase_per_parameter):
                    row["increase_per_1000_saved"] = 1000 * layer.increase_per_parameter
                rows.append(row)
        return {"sensitivity": rows}
