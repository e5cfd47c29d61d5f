"""The measurements that an experiment may ask for, and their options."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from linconv.catalogue.networks import NETWORKS
from linconv.config.frozen import Frozen
from linconv.config.names import check_known
from linconv.config.options import Names
from linconv.config.throughput import ThroughputOptions

Activity = Literal["inference", "training"]
Engine = Literal["onnxruntime", "openvino", "torch"]
DeployedForm = Literal["folded", "feature", "product", "fastest"]
Batches = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]


class _OnRandomImages(Frozen):
    """Networks measured beside the plain ones, on random images of one shape.

    A sample is a block of calls of at least `block_seconds`; each of `rounds` rounds takes a sample of every arm.
    """

    architectures: Names = ("vgg11", "resnet18")
    variants: Names = ("Lr",)
    batches: Batches = (50,)
    channels_last: bool = False
    input_shape: Annotated[tuple[int, int, int], Field(description="channels, height, width")] = (3, 32, 32)
    classes: Annotated[int, Field(ge=1)] = 10

    @field_validator("architectures")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        check_known(names, NETWORKS, "architecture")
        return names


class ProfileOptions(_OnRandomImages):
    """Where the time of a call goes, by kind of operation; `calls` of every kind of step are profiled."""

    activities: Annotated[tuple[Activity, ...], Field(min_length=1)] = ("inference", "training")
    calls: Annotated[int, Field(ge=1)] = 10
    rounds: Annotated[int, Field(ge=3)] = 5
    block_seconds: Annotated[float, Field(gt=0)] = 0.2


class RegularizerOptions(_OnRandomImages):
    """What the correlation regularizer of a variant adds to a training step."""

    rounds: Annotated[int, Field(ge=3)] = 15
    block_seconds: Annotated[float, Field(gt=0)] = 0.05
    cell_seconds: Annotated[float, Field(gt=0)] = 60.0


class DeploymentOptions(_OnRandomImages):
    """Inference of exported networks in engines on the CPU: plain, plain again, and every form of every variant.

    `torch` is PyTorch itself, in fp32 alone, where "fastest" of `forms` is what `linconv.optimize` chooses by its
    clock. `channels_last` is the layout of PyTorch; engines choose theirs. Batch normalization is folded everywhere.
    """

    variants: Names = ("L", "LRr")
    batches: Batches = (1, 50)
    engines: Annotated[tuple[Engine, ...], Field(min_length=1)] = ("onnxruntime", "openvino", "torch")
    precisions: Annotated[tuple[Literal["fp32", "int8"], ...], Field(min_length=1)] = ("fp32", "int8")
    forms: Annotated[tuple[DeployedForm, ...], Field(min_length=1)] = ("folded", "feature", "product", "fastest")
    rounds: Annotated[int, Field(ge=3)] = 21
    block_seconds: Annotated[float, Field(gt=0)] = 0.05
    cell_seconds: Annotated[float, Field(gt=0)] = 120.0


class SensitivityOptions(Frozen):
    """How much a network suffers where one convolution is replaced: `epochs` of the plain network, then `steps` of each
    layer alone. Without `datasets` and `architectures` those of the experiment are taken."""

    variants: Names
    datasets: Names | None = None
    architectures: Names | None = None
    epochs: Annotated[int, Field(ge=1)] = 1
    steps: Annotated[int, Field(ge=0)] = 50


class CorrectnessOptions(Frozen):
    """Every form of the layer and every method against double precision; there is nothing to choose."""


class Measurements(Frozen):
    """The part of a configuration that asks for measurements: a block of options per kind, None where it is not asked.

    The key is the name of the kind in `linconv.catalogue.measurements`.
    """

    throughput: ThroughputOptions | None = None
    profile: ProfileOptions | None = None
    regularizer: RegularizerOptions | None = None
    sensitivity: SensitivityOptions | None = None
    correctness: CorrectnessOptions | None = None
    deployment: DeploymentOptions | None = None
