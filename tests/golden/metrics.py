"""How the measures of filters here compute the golden cases."""

from __future__ import annotations

import torch
from torch import Tensor

from linconv.measure.redundancy import kernel_sparsity, kernel_variance_entropy, orthogonality
from tests.golden import Case, Outputs


def filter_quality(case: Case, given: dict[str, Tensor]) -> Outputs:
    weight = given["weight"].clone()
    if case.more["sparse"]:
        even = (torch.arange(len(weight))[:, None] + torch.arange(weight.shape[1])) % 2 == 0
        weight[even] /= 1000
    kernels = weight.flatten(0, 1).flatten(1)
    found = {
        "sparsity": kernel_sparsity(kernels),
        "entropy": kernel_variance_entropy(kernels),
        "orthogonality": orthogonality(weight.flatten(1)),
    }
    return {name: torch.tensor([value], dtype=torch.float64) for name, value in found.items()}


METRICS = {"filter_quality": filter_quality}
