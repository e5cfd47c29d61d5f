"""The filters [V; A V] that come close to given ones."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor

from linconv.layers.coefficients import Coefficients

MAX_ALTERNATIONS = 30


@torch.no_grad()
def least_squares(filters: Tensor, kind: Coefficients) -> tuple[Tensor, dict[str, Any]]:
    """Primary filters and coefficients whose bank [V; A V] is near given filters in the least-squares sense.

    The first P filters are the primaries; A and V are solved for each other in turn until the error stops falling.
    The solution is made in double precision on the CPU: the same on every device, and for half precision too.

    Args:
        filters: (N, c/g, kh, kw).
        kind: coefficients of the wanted kind and size; they are not changed.

    Returns:
        V, (P, D), and the state dictionary of the coefficients.
    """
    rows, back = _in_fewer_dimensions(filters.detach().flatten(1).to("cpu", torch.float64))  # (N, D'), D' = min(N, D)
    primary, secondary = rows.split([kind.primaries, kind.secondaries])
    coefficients = copy.deepcopy(kind).to("cpu", torch.float64)
    state = copy.deepcopy(coefficients.state_dict())
    identity = torch.eye(kind.primaries, dtype=torch.float64, device=rows.device)
    # Alternating stays near the filters. The truncated SVD would fit a little better, with coefficients that grow
    # without bound where the first P filters nearly depend on each other.
    error = math.inf
    for _ in range(MAX_ALTERNATIONS):
        coefficients.fit_(torch.linalg.lstsq(primary.T, secondary.T).solution.T, primary)
        basis = torch.cat([identity, coefficients.matrix()])  # (N, P)
        solved = torch.linalg.lstsq(basis, rows).solution
        previous, error = error, float((basis @ solved - rows).norm())
        if error >= previous:  # a sparse fit may choose other coefficients and lose
            break
        primary, state = solved, copy.deepcopy(coefficients.state_dict())
        if previous - error < 1e-3 * previous:
            break
    return primary if back is None else primary @ back, state


def _in_fewer_dimensions(rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """Rows (N, D) in the space that they span, and the orthonormal basis (N, D) that leads back; None where D <= N.

    Lengths and angles stay, and with them every least-squares solution, but no further step costs more for a large D.
    """
    if rows.shape[1] <= rows.shape[0]:
        return rows, None
    basis, triangle = torch.linalg.qr(rows.T)  # (D, N), (N, N)
    return triangle.T, basis.T
