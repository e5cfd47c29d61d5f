"""What is measured: every kind has its own result files. `run` is the training itself.

The entry of a measurement holds the tables, figures and claims that are made of its results alone; `linconv.catalogue`
gathers them in `tables`, `figures` and `claims`. Its options are the block of a configuration that asks for it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from linconv.catalogue._entry import Entry, by_name
from linconv.catalogue._measurement import Activity, BatchSizes, MeasurementEntry, OnRandomImages
from linconv.catalogue.frozen import Formerly, Frozen, Names
from linconv.catalogue.outputs import MEMORY, SEVERAL_BATCHES, TIMES, Output, measured

Precision = Literal["fp32", "tf32", "bf16"]
Backend = Literal["eager", "compile", "cuda_graph"]
TimedForm = Literal["weight", "feature", "auto", "folded"]
Engine = Literal["onnxruntime", "openvino", "torch"]
DeployedForm = Literal["folded", "feature", "product", "fastest"]


class ThroughputOptions(Frozen):
    """Which networks are timed at which batches, and how long.

    A sample is a block of calls of at least `block_seconds`; every one of `rounds` rounds takes one sample of every
    arm, in an order drawn anew, after one round that is dropped. A cell that would take longer than `cell_seconds`
    gets fewer rounds, at least 3, and says so.
    """

    architectures: Annotated[tuple[str, ...], Field(min_length=1)] = ("vgg11", "resnet18")
    variants: Annotated[tuple[str, ...], Field(min_length=1)] = ("Lr", "LRr")
    forms: Annotated[tuple[TimedForm, ...], Field(min_length=1)] = ("auto", "weight", "folded")
    activities: Annotated[tuple[Activity, ...], Field(min_length=1)] = ("inference", "training")
    batches: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (50, 1, 8, 128, 512, 1024)
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1)] = ("fp32",)
    backends: Annotated[tuple[Backend, ...], Field(min_length=1)] = ("eager",)
    optimized: Annotated[bool, Formerly(key="optimised")] = True
    channels_last: bool = False
    input_shape: Annotated[tuple[int, int, int], Field(description="channels, height, width")] = (3, 32, 32)
    classes: Annotated[int, Field(ge=1)] = 10
    rounds: Annotated[int, Field(ge=3)] = 15
    block_seconds: Annotated[float, Field(gt=0)] = 0.05
    cell_seconds: Annotated[float, Field(gt=0)] = 120.0


class ProfileOptions(OnRandomImages):
    """Where the time of a call goes, by kind of operation; `calls` of every kind of step are profiled."""

    activities: Annotated[tuple[Activity, ...], Field(min_length=1)] = ("inference", "training")
    calls: Annotated[int, Field(ge=1)] = 10
    rounds: Annotated[int, Field(ge=3)] = 5
    block_seconds: Annotated[float, Field(gt=0)] = 0.2


class RegularizerOptions(OnRandomImages):
    """What the correlation regularizer of a variant adds to a training step."""

    rounds: Annotated[int, Field(ge=3)] = 15
    block_seconds: Annotated[float, Field(gt=0)] = 0.05
    cell_seconds: Annotated[float, Field(gt=0)] = 60.0


class DeploymentOptions(OnRandomImages):
    """Inference of exported networks in engines on the CPU: plain, plain again, and every form of every variant.

    `torch` is PyTorch itself, in fp32 alone, where "fastest" of `forms` is what `linconv.optimize` chooses by its
    clock. `channels_last` is the layout of PyTorch; engines choose theirs. Batch normalization is folded everywhere.
    """

    variants: Names = ("L", "LRr")
    batches: BatchSizes = (1, 50)
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


MEASUREMENTS: dict[str, MeasurementEntry] = by_name(
    MeasurementEntry(
        name="run",
        label="Training",
        target="linconv.runner:perform_run",
        kind="linconv.results.kinds.run:Runs",
        trains=True,
    ),
    MeasurementEntry(
        name="complexity",
        label="Parameters and multiply-accumulates",
        target="linconv.measure.complexity:measure_complexity",
        kind="linconv.results.kinds.complexity:Counts",
        on_device=False,
        limited=False,
        tables=(
            Output(
                name="complexity",
                label="Parameters and operations",
                caption="Parameters (stored, trainable, folded) and multiply-accumulates per image in the three forms "
                "of the layer: folded into a plain convolution, in feature space and in weight space. Counted by "
                "arithmetic on shapes.",
                target="linconv.report.tables.complexity:complexity_table",
            ),
            Output(
                name="overhead",
                label="Operations of weight space, by batch",
                caption="Multiply-accumulates per image of the weight-space form relative to the plain network, for "
                "several batches, with feature space beside it. Computed from the counts per layer.",
                target="linconv.report.tables.overhead:overhead_table",
            ),
        ),
    ),
    MeasurementEntry(
        name="throughput",
        label="Time of every form",
        target="linconv.measure.throughput:measure_throughput",
        kind="linconv.results.kinds.throughput:Timings",
        alone=True,
        tables=(
            Output(
                name="speed",
                label="Time relative to the plain network",
                caption="Time of a call relative to the plain network, per variant and form: the median over "
                "interleaved rounds of the ratio within a round, and its quartiles. A ratio within the A/A band, the "
                "spread of a second plain network, counts as no difference.",
                target="linconv.report.tables.speed:speed_table",
            ),
        ),
        figures=(
            Output(
                name="speed",
                label="Relative time",
                caption="Time of a call relative to the plain network, over the multiply-accumulates that are left "
                "and over the batch: medians over interleaved rounds of the ratio within a round. The gray band is "
                "the A/A band.",
                target="linconv.report.figures.speed:speed_figure",
                needs=TIMES,
            ),
            Output(
                name="memory",
                label="Relative peak memory",
                caption="Peak memory of a call relative to the plain network, per network, variant and form, and over "
                "the batch where several were timed: of parameters, gradients, the optimizer's state, images and all "
                "that the call makes.",
                target="linconv.report.figures.memory:memory_figure",
                needs=MEMORY,
            ),
            Output(
                name="throughput",
                label="Images per second",
                caption="Images per second over the batch, at inference and in training, for the plain network and "
                "each variant in the form auto, and optimized for inference.",
                target="linconv.report.figures.throughput:throughput_figure",
                per="timed network",
                needs=SEVERAL_BATCHES,
            ),
        ),
        claims=(
            Entry(
                name="measured_speed",
                label="measured speed of every form",
                target="linconv.report.claims.times:measured_speed",
            ),
        ),
    ),
    MeasurementEntry(
        name="deployment",
        label="Inference in engines",
        target="linconv.measure.deployment:measure_deployment",
        kind="linconv.results.kinds.deployment:Deployments",
        alone=True,
        on_device=False,
        tables=(
            Output(
                name="deployment",
                label="Inference in engines",
                caption="Time of inference relative to the plain network in engines on the CPU, in fp32 and int8: the "
                "median over interleaved rounds of the ratio within a round, and its quartiles. Batch normalization "
                "is folded in all networks.",
                target="linconv.report.tables.deployment:deployment_table",
                needs=measured("deployment"),
            ),
        ),
    ),
    MeasurementEntry(
        name="profile",
        label="Time by kind of operation",
        target="linconv.measure.profile:measure_profile",
        kind="linconv.results.kinds.profile:Profiles",
        alone=True,
        tables=(
            Output(
                name="profile",
                label="Time by kind of operation",
                caption="Where the time of a call goes, by kind of operation, in the plain network and in a variant: "
                "milliseconds under the profiler and shares of the call.",
                target="linconv.report.tables.profile:profile_table",
                needs=measured("profile"),
            ),
        ),
    ),
    MeasurementEntry(
        name="regularizer",
        label="Cost of the correlation regularizer",
        target="linconv.measure.regularizer:measure_regularizer",
        kind="linconv.results.kinds.regularizer:RegularizerCosts",
        alone=True,
        tables=(
            Output(
                name="regularizer",
                label="Cost of the regularizer",
                caption="What the correlation regularizer adds to a training step, on the steps that it acts on and "
                "on average, by its own derivative and by automatic differentiation.",
                target="linconv.report.tables.regularizer:regularizer_table",
                needs=measured("regularizer"),
            ),
        ),
    ),
    MeasurementEntry(
        name="sensitivity",
        label="Loss by layer replaced",
        target="linconv.measure.sensitivity:measure_sensitivity",
        kind="linconv.results.kinds.sensitivity:Sensitivities",
        trains=True,
        tables=(
            Output(
                name="sensitivity",
                label="Sensitivity of the layers",
                caption="What each layer's replacement adds to the validation loss, per parameter saved, with all "
                "other layers plain.",
                target="linconv.report.tables.sensitivity:sensitivity_table",
                needs=measured("sensitivity"),
            ),
        ),
    ),
    MeasurementEntry(
        name="correctness",
        label="Every form against double precision",
        target="linconv.measure.correctness:measure_correctness",
        kind="linconv.results.kinds.correctness:Correctness",
        limited=False,
        tables=(
            Output(
                name="correctness",
                label="Correctness of the forms",
                caption="The largest errors of outputs and gradients of every form of the layer on a device, against "
                "double precision on a CPU.",
                target="linconv.report.tables.correctness:correctness_table",
                needs=measured("correctness"),
            ),
        ),
    ),
)
