"""The variants that every configuration knows, as a configuration would define them: the plain network and the paper's.

Paper, section 3 and table 1: rank 10 is constant; the sparse variant's numbers were never published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CORRELATION = {"name": "correlation", "weight": 0.01, "mode": "paper", "period": 10}
_L1 = {"name": "coefficient_l1", "weight": 0.01, "period": 10}

BUILT_IN: Mapping[str, Mapping[str, Any]] = {
    "conv": {"layer": "conv"},
    "L": {"layer": "linear", "options": {}},
    "Lr": {"layer": "linear", "options": {}, "regularizers": (_CORRELATION,)},
    "LRr": {"layer": "linear", "options": {"rank": 10}, "regularizers": (_CORRELATION,)},
    "LSr": {
        "layer": "linear",
        "options": {"sparsity": 0.5},
        "regularizers": (_CORRELATION, _L1),
        "sparsity_schedule": {},
    },
}
