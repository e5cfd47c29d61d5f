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
from linconv.layers.orthogonality import conv_orthogonal_penalty, never_orthogonal, orthogonal_penalty
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
    "conv_orthogonal_penalty",
    "convert",
    "correlation_penalty",
    "fold",
    "never_orthogonal",
    "optimize",
    "orthogonal_penalty",
    "set_mode",
]
