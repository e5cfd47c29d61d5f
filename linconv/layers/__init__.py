"""LinearConv, its coefficients and regularisers, and the conversion of models."""

from linconv.layers.coefficients import (
    Coefficients,
    FullCoefficients,
    LowRankCoefficients,
    SparseCoefficients,
)
from linconv.layers.conversion import convert, fold, set_mode
from linconv.layers.linear_conv import LinearConv2d
from linconv.layers.methods import check_methods, method_class
from linconv.layers.optimize import optimize
from linconv.layers.orthogonality import conv_orthogonal_penalty, never_orthogonal, orthogonal_penalty
from linconv.layers.regularizers import coefficient_l1, correlation_penalty
from linconv.layers.replacement import ConvReplacement, Macs, RefusedError, Stage
from linconv.layers.sparsity import SparsitySchedule

__all__ = [
    "Coefficients",
    "ConvReplacement",
    "FullCoefficients",
    "LinearConv2d",
    "LowRankCoefficients",
    "Macs",
    "RefusedError",
    "SparseCoefficients",
    "SparsitySchedule",
    "Stage",
    "check_methods",
    "coefficient_l1",
    "conv_orthogonal_penalty",
    "convert",
    "correlation_penalty",
    "fold",
    "method_class",
    "never_orthogonal",
    "optimize",
    "orthogonal_penalty",
    "set_mode",
]
