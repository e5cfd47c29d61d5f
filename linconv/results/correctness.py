"""The result file of a check of every form on a device."""

from __future__ import annotations

import math
from typing import Literal

from linconv.results.record import SCHEMA_VERSION, Hash, NonNegative, Record
from linconv.results.run import Provenance


class Check(Record):
    """The largest error of a layer's output and gradients, relative to the largest value of each.

    `error` is null where a number is not finite.
    """

    coefficients: str
    geometry: str
    form: str
    precision: str
    channels_last: bool
    error: NonNegative | None
    tolerance: NonNegative

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error is not None and self.error <= self.tolerance


class CorrectnessResult(Record):
    """Every check made on one device."""

    kind: Literal["correctness"] = "correctness"
    schema_version: Literal[2] = SCHEMA_VERSION
    device: str
    checks: list[Check]
    code_hash: Hash
    provenance: Provenance

    @property
    def failed(self) -> list[Check]:
        """The checks whose error is above its tolerance."""
        return [check for check in self.checks if not check.passed]

    def __str__(self) -> str:
        worst = {
            p: max(math.inf if c.error is None else c.error for c in self.checks if c.precision == p)
            for p in dict.fromkeys(c.precision for c in self.checks)
        }
        errors = ", ".join(f"{precision} {error:.1e}" for precision, error in worst.items())
        passed = len(self.checks) - len(self.failed)
        return f"{passed} of {len(self.checks)} checks passed on {self.device}; largest relative errors: {errors}"
