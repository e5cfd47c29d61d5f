"""A grid of timings that takes a second."""

from __future__ import annotations

from linconv.catalogue.measurements import ThroughputOptions
from linconv.measure.planned import measure_planned
from tests.results.factory import make_config

QUICK = {"architectures": ["base"], "variants": ["Lr"], "batches": [2], "rounds": 3, "block_seconds": 1e-4}


def quick(**changes):
    return ThroughputOptions.model_validate(QUICK | changes)


def measure(root, **changes):
    """Time what the quick grid with these changes asks for, below `root`; the files that are there then."""
    arguments = {name: changes.pop(name) for name in ("device", "threads", "only", "budget_seconds") if name in changes}
    arguments = {"device": "cpu", "threads": 1, "command": "linconv measure throughput"} | arguments
    left = measure_planned("throughput", make_config(throughput=QUICK | changes), root, **arguments)
    return left, sorted((root / "throughput").glob("*.json"))
