"""LinearConv, its coefficients and regularisers, and the conversion of models."""

from linconv.layers.coefficients import (
    Coefficients,
    FullCoefficients,
    LowRankCoefficients,
    SparseCoefficients,
)
from linconv.layers.conversion import convert, fold, replaced_layers, set_mode
from linconv.layers.linear_conv import LinearConv2d
from linconv.layers.methods import check_methods, fitting_init, method_class, warm_start_init
from linconv.layers.optimize import optimize
from linconv.layers.orthogonality import (
    NeverOrthogonal,
    conv_orthogonal_penalty,
    never_orthogonal,
    orthogonal_penalty,
)
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
    "NeverOrthogonal",
    "RefusedError",
    "SparseCoefficients",
    "SparsitySchedule",
    "Stage",
    "check_methods",
    "coefficient_l1",
    "conv_orthogonal_penalty",
    "convert",
    "correlation_penalty",
    "fitting_init",
    "fold",
    "method_class",
    "never_orthogonal",
    "optimize",
    "orthogonal_penalty",
    "replaced_layers",
    "set_mode",
    "warm_start_init",
]
