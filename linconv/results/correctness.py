"""The result file of a check of every form on a device."""

from __future__ import annotations

from typing import Literal

from linconv.results.schema import SCHEMA_VERSION, Provenance, Record


class Check(Record):
    """The largest error of a layer's output and gradients, relative to the largest value of each."""

    coefficients: str
    geometry: str
    form: str
    precision: str
    channels_last: bool
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= self.tolerance


class CorrectnessResult(Record):
    """Every check made on one device."""

    kind: Literal["correctness"] = "correctness"
    schema_version: Literal[1] = SCHEMA_VERSION
    device: str
    checks: list[Check]
    code_hash: str
    provenance: Provenance

    @property
    def failed(self) -> list[Check]:
        """The checks whose error is above its tolerance."""
        return [check for check in self.checks if not check.passed]

    def __str__(self) -> str:
        worst = {
            p: max(c.error for c in self.checks if c.precision == p)
            for p in dict.fromkeys(c.precision for c in self.checks)
        }
        errors = ", ".join(f"{precision} {error:.1e}" for precision, error in worst.items())
        passed = len(self.checks) - len(self.failed)
        return f"{passed} of {len(self.checks)} checks passed on {self.device}; largest relative errors: {errors}"
