"""Checks of every form of the layer, and of every method, on a device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from linconv.catalogue._entry import Entry
from linconv.catalogue.datasets import DATASETS
from linconv.config import VARIANTS, Config
from linconv.config.methods import known_methods
from linconv.config.parts import grid_parts
from linconv.config.runs import digest
from linconv.results.kinds._kind import Kind, TidyRows
from linconv.results.origin import Provenance
from linconv.results.record import SCHEMA_VERSION, Hash, NonNegative, Record


class FormCheck(Record):
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
    checks: list[FormCheck]
    grid_hash: Hash
    code_hash: Hash
    provenance: Provenance

    @property
    def failed(self) -> list[FormCheck]:
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


NAME = "correctness"  # the only key: one file holds all checks


class Correctness(Kind[str, CorrectnessResult]):
    """correctness.json: every check on one device."""

    name = NAME
    columns: ClassVar = {
        "correctness": [
            "device",
            "coefficients",
            "geometry",
            "form",
            "precision",
            "channels_last",
            "error",
            "tolerance",
            "passed",
            "torch",
            "hardware",
            "threads",
            "git_commit",
            "command",
        ]
    }

    def __init__(self) -> None:
        super().__init__(CorrectnessResult)

    def plan(self, config: Config) -> list[str]:
        return [] if config.correctness is None else [NAME]

    def hash(self, config: Config, key: str) -> str:
        return digest({"options": config.correctness and config.correctness.identity()})

    def parts(self, config: Config, key: str) -> frozenset[Entry]:
        """Every method, and what the trainings of three variants of `base` on synthetic data use."""
        return grid_parts(["base"], VARIANTS.values()) | {*known_methods().values(), DATASETS["synthetic"]}

    def key_of(self, result: CorrectnessResult) -> str:
        return NAME

    def path(self, key: str) -> Path:
        return Path(f"{key}.json")

    def rows(self, results: Mapping[str, CorrectnessResult]) -> TidyRows:
        return {
            "correctness": [
                {"device": result.device, **check.model_dump(), "passed": check.passed, **result.provenance.row()}
                for result in results.values()
                for check in result.checks
            ]
        }
