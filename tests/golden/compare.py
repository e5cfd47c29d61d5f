"""The golden cases, computed here: `python -m tests.golden.compare` prints method, check, largest difference."""

from __future__ import annotations

import sys
from functools import partial

from tests.golden import Case, difference, read_cases, sources
from tests.golden.criteria import CRITERIA
from tests.golden.layers import LAYERS
from tests.golden.metrics import METRICS
from tests.golden.penalties import PENALTIES

COMPUTE = LAYERS | PENALTIES | CRITERIA | METRICS


def differences(case: Case) -> dict[str, float]:
    """By name of an output or gradient: its largest difference from the source's, relative to its largest value."""
    found = case.results(partial(COMPUTE[case.method], case))
    return {name: difference(found[name], expected) for name, expected in case.expected.items()}


def table() -> list[str]:
    """A Markdown table of all cases."""
    lines = ["| method | check | numbers | output | gradients | allowed |", "|---|---|---|---|---|---|"]
    for case in read_cases():
        found = differences(case)
        outputs = max(value for name, value in found.items() if not name.startswith("d "))
        gradients = max((value for name, value in found.items() if name.startswith("d ")), default=None)
        cells = [case.method, case.check, sum(v.numel() for v in case.expected.values()), f"{outputs:.1e}"]
        cells += ["" if gradients is None else f"{gradients:.1e}", f"{case.tolerance:.0e} {case.deviation}".strip()]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


if __name__ == "__main__":
    lines = table()
    lines += ["", *(f"{name}: {said['source']}, {said['version']}" for name, said in sources().items())]
    sys.stdout.write("\n".join(lines) + "\n")
