"""What is measured: every kind has its own result files. `run` is the training itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from linconv.catalogue._entry import NO_OUTCOME, Entry, by_name


@dataclass(frozen=True, kw_only=True)
class MeasurementEntry(Entry):
    """A kind of result.

    `target` makes one result: `measure(config, key, *, device, threads, command)`. The code that decides a result is
    what the module of `target` imports.

    Args:
        kind: the class that plans, reads and tabulates the results, a `linconv.results.kinds.Kind`.
        alone: nothing else may run on the machine meanwhile.
        on_device: uses the GPU where there is one.
        trains: trains networks on data sets, so a job of it needs the memory and the time of a training.
        limited: its command takes `--budget`; one result in one file is made whatever time is left.
    """

    kind: str = field(metadata=NO_OUTCOME)
    alone: bool = field(default=False, metadata=NO_OUTCOME)
    on_device: bool = field(default=True, metadata=NO_OUTCOME)
    trains: bool = field(default=False, metadata=NO_OUTCOME)
    limited: bool = field(default=True, metadata=NO_OUTCOME)

    def load_kind(self) -> Any:
        """The kind: imports its module, which needs no torch."""
        return replace(self, target=self.kind).load()()


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
    ),
    MeasurementEntry(
        name="throughput",
        label="Time of every form",
        target="linconv.measure.throughput:measure_throughput",
        kind="linconv.results.kinds.throughput:Timings",
        alone=True,
    ),
    MeasurementEntry(
        name="deployment",
        label="Inference in engines",
        target="linconv.measure.deployment:measure_deployment",
        kind="linconv.results.kinds.deployment:Deployments",
        alone=True,
        on_device=False,
    ),
    MeasurementEntry(
        name="profile",
        label="Time by kind of operation",
        target="linconv.measure.profile:measure_profile",
        kind="linconv.results.kinds.profile:Profiles",
        alone=True,
    ),
    MeasurementEntry(
        name="regularizer",
        label="Cost of the correlation regularizer",
        target="linconv.measure.regularizer:measure_regularizer",
        kind="linconv.results.kinds.regularizer:RegularizerCosts",
        alone=True,
    ),
    MeasurementEntry(
        name="sensitivity",
        label="Loss by layer replaced",
        target="linconv.measure.sensitivity:measure_sensitivity",
        kind="linconv.results.kinds.sensitivity:Sensitivities",
        trains=True,
    ),
    MeasurementEntry(
        name="correctness",
        label="Every form against double precision",
        target="linconv.measure.correctness:measure_correctness",
        kind="linconv.results.kinds.correctness:Correctness",
        limited=False,
    ),
)
