"""The schema of result files: what one run, or one count of complexity, leaves behind.

Every file carries its kind and version, everything needed to judge it (the resolved configuration and its hash,
versions, hardware, precision flags, commit) and no host name, user or absolute path.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from linconv.config.errors import UserError

SCHEMA_VERSION: Literal[1] = 1


class ResultError(UserError):
    """A result file that cannot be used; the message names the file, the field and the remedy."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Epoch(Record):
    """Metrics of one epoch. Losses are means per sample of the cross-entropy, accuracies are in percent.

    `penalty` is the mean over the epoch's steps of the regularisers' (weighted) contribution to the loss. `val_*` are
    those of the validation part, null without one.
    Non-finite numbers (a diverged run) are stored as null.
    """

    epoch: int
    learning_rate: float
    train_loss: float | None
    train_top1: float
    penalty: float | None
    test_loss: float | None
    test_top1: float
    val_loss: float | None = None
    val_top1: float | None = None


class LayerRedundancy(Record):
    """How redundant the filters of one convolution are; absolute Pearson correlations over pairs i < j.

    `share_above_*` is the share of pairs with an absolute correlation above 0.3, 0.5, 0.7 and 0.9.
    `primary_*` are the same over the primary filters alone (null for a plain convolution).
    `effective_rank` is exp(entropy of the normalised singular values) of the filter matrix, `variance_entropy` the
    entropy of the variance that its principal components explain, as a share of the largest possible.
    `kernel_sparsity`, `kernel_variance_entropy` and `orthogonality` are those of the CNN Filter DB (Gavrikov & Keuper,
    CVPR 2022), the first two over the k x k kernels, the last over the filters.
    """

    layer: str
    position: int
    filters: int
    filter_size: int
    mean_abs_correlation: float | None
    share_above_0_5: float | None
    effective_rank: float
    primaries: int | None = None
    primary_mean_abs_correlation: float | None = None
    share_above_0_3: float | None = None
    share_above_0_7: float | None = None
    share_above_0_9: float | None = None
    variance_entropy: float | None = None
    kernel_sparsity: float | None = None
    kernel_variance_entropy: float | None = None
    orthogonality: float | None = None


class NeverOrthogonal(Record):
    """A layer that no choice of filters makes an orthogonal convolution, and why (Achour et al., JMLR 2022)."""

    layer: str
    reason: str


class RunMetrics(Record):
    """The numbers reported for a run: of `epoch`, on the test set.

    `selection` says how the epoch was chosen: the last one, or that with the highest accuracy on the validation part
    (the earliest of several). Of a diverged run it is the last.
    `coefficient_sparsity` is the share of sparse coefficients that is zero, null without sparse coefficients.
    `macs` are the multiply-accumulates per image of a pruned network, which complexity.json leaves out; null for every
    other, and for one that diverged before the cut.
    """

    top1: float | None
    test_loss: float | None
    epoch: int
    params: int
    params_nonzero: int
    coefficient_sparsity: float | None = None
    selection: Literal["last", "best_validation"] = "last"
    macs: int | None = None


class EarlierProcess(Record):
    """A process that was interrupted, from which another went on. `epochs` had been finished at its last checkpoint;
    `seconds` and the peaks are those until then, and its own."""

    epochs: int
    seconds: float
    device: str
    versions: dict[str, str]
    hardware: dict[str, Any]
    numerics: dict[str, Any]
    peak_memory_mib: float
    peak_gpu_memory_mib: float | None


class Provenance(Record):
    """Where a result came from. `command` reproduces it from the repository's root.

    `numerics` is what was in force, `numerics.asked` what the configuration asked for. `peak_memory_mib` is that of
    the process (resident set), `peak_gpu_memory_mib` that of its tensors on the GPU. `earlier_processes` are those that
    a run went on from: `seconds` is the sum over all of them, the peaks are the highest; all else is of the last one.
    """

    command: str
    versions: dict[str, str]
    hardware: dict[str, Any]
    numerics: dict[str, Any]
    git_commit: str | None
    git_dirty: bool | None
    finished_utc: str
    seconds: float
    peak_memory_mib: float | None = None
    peak_gpu_memory_mib: float | None = None
    earlier_processes: list[EarlierProcess] | None = None


class RunResult(Record):
    """One training run. `layers` are the filters after training, `layers_before` those at the first step, null where
    they were not measured. `never_orthogonal` are layers that the regulariser conv_orthogonal cannot make orthogonal,
    null where the run has none of that name, and in files of earlier versions."""

    kind: Literal["run"] = "run"
    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["ok", "diverged"]
    experiment: str
    dataset: str
    architecture: str
    variant: str
    seed: int
    config_hash: str
    code_hash: str
    config: dict[str, Any]
    metrics: RunMetrics
    history: list[Epoch]
    layers: list[LayerRedundancy]
    layers_before: list[LayerRedundancy] | None = None
    never_orthogonal: list[NeverOrthogonal] | None = None
    provenance: Provenance


class LayerComplexity(Record):
    """One layer: MACs per image; `macs_per_step` are spent once per forward pass, whatever the batch."""

    layer: str
    kind: str
    output_shape: list[int]
    params: int
    macs_folded: int
    macs_feature: int | None
    macs_weight_per_image: int
    macs_weight_per_step: int


class Complexity(Record):
    """Parameters and multiply-accumulates of one network with one variant. MACs are per image.

    `macs_feature` runs every layer in feature space that allows it (groups = 1), the rest in weight space;
    `macs_weight` includes the coefficient product, spread over `batch_size` images. `macs_train_*` are those of
    a training step (forward and backward) divided by the batch. `flops_paper` follows the paper's own rule and is
    no cost model; `flops_paper_quirk` names the quirk of the released code that the paper's cell needs.
    """

    architecture: str
    variant: str
    params: int
    params_trainable: int
    params_folded: int
    macs_folded: int
    macs_feature: int
    macs_weight: int
    macs_auto: int
    macs_train_folded: int
    macs_train_feature: int
    macs_train_weight: int
    macs_train_auto: int | None = None  # files of earlier versions lack it
    flops_paper: int | None
    flops_paper_as_released: int | None = None
    flops_paper_quirk: str | None = None
    layers: list[LayerComplexity]


class ComplexityResult(Record):
    """The complexity of a grid of networks and variants; `grid_hash` is that of the configuration's part it answers."""

    kind: Literal["complexity"] = "complexity"
    schema_version: Literal[1] = SCHEMA_VERSION
    input_shape: tuple[int, int, int]
    classes: int
    batch_size: int
    grid_hash: str
    code_hash: str
    models: list[Complexity]


Result = Annotated[RunResult | ComplexityResult, Field(discriminator="kind")]
R = TypeVar("R", bound=Record)


def read_result(path: str | Path, kind: type[R]) -> R:
    """Read and check one result file.

    Raises:
        ResultError: the file is missing, damaged, of another kind, or written by a newer version.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: cannot be read ({error})") from None
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        if (version := _newer_version(text)) is not None:
            raise ResultError(
                f"{path}: schema_version: written by a newer linconv (schema {version}; this one reads up to "
                f"{SCHEMA_VERSION}); update linconv"
            ) from None
        first = error.errors()[0]
        field = ".".join(str(s) for s in first["loc"]) or "file"
        raise ResultError(f"{path}: {field}: {first['msg']}; delete the file to have it made again") from None


def _newer_version(text: str) -> int | None:
    """The version of a result file where it is above ours, else None."""
    try:
        version = json.loads(text).get("schema_version")
    except (ValueError, AttributeError):
        return None
    return version if isinstance(version, int) and version > SCHEMA_VERSION else None
