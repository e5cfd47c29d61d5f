"""What is measured, one function each: every kind has its own result file. `run` is the training itself."""

from __future__ import annotations

from dataclasses import dataclass

from linconv.catalogue._entry import Entry, by_name


@dataclass(frozen=True, kw_only=True)
class MeasurementEntry(Entry):
    """A kind of result; `target` makes it. The code that decides its results is what `target`'s module imports."""


MEASUREMENTS: dict[str, MeasurementEntry] = by_name(
    MeasurementEntry(name="run", label="Training", target="linconv.runner:perform_run"),
    MeasurementEntry(name="complexity", label="Complexity", target="linconv.measure.complexity:measure_grid"),
    MeasurementEntry(name="throughput", label="Throughput", target="linconv.measure.throughput:measure_throughput"),
    MeasurementEntry(name="profile", label="Profile", target="linconv.measure.profile:measure_profile"),
    MeasurementEntry(
        name="regularizer", label="Cost of the regularizer", target="linconv.measure.regularizer:measure_regularizer"
    ),
    MeasurementEntry(name="sensitivity", label="Sensitivity", target="linconv.measure.sensitivity:measure_sensitivity"),
    MeasurementEntry(name="correctness", label="Correctness", target="linconv.measure.correctness:measure_correctness"),
)
