"""LinearConv, its coefficients and regularisers, and the conversion of models."""

from linconv.layers.coefficients import (
    Coefficients,
    FullCoefficients,
    LowRankCoefficients,
    SparseCoefficients,
)
from linconv.layers.conversion import LAYERS, convert, fold, set_mode
from linconv.layers.linear_conv import LinearConv2d, Macs
from linconv.layers.optimize import optimize
from linconv.layers.regularizers import coefficient_l1, correlation_penalty
from linconv.layers.sparsity import SparsitySchedule

__all__ = [
    "LAYERS",
    "Coefficients",
    "FullCoefficients",
    "LinearConv2d",
    "LowRankCoefficients",
    "Macs",
    "SparseCoefficients",
    "SparsitySchedule",
    "coefficient_l1",
    "convert",
    "correlation_penalty",
    "fold",
    "optimize",
    "set_mode",
]
