"""LinearConv, its coefficients and regularizers, what every method builds on, and the conversion of models."""

from linconv.config.rules import Count, Positive, Rank, Rule, Share
from linconv.layers.arguments import Factory, UnsupportedConvError, pointwise
from linconv.layers.coefficients import Coefficients, FullCoefficients, LowRankCoefficients, SparseCoefficients
from linconv.layers.conversion import Conversion, conversion, convert, replaceable, replaced_layers, set_mode
from linconv.layers.costs import Macs, Stage
from linconv.layers.folding import fold
from linconv.layers.layer_warnings import LayerWarning, network_warnings, never_orthogonal
from linconv.layers.linear_conv import LinearConv2d
from linconv.layers.methods import check_methods, fitting_init, method_class, warm_start_init
from linconv.layers.optimize import optimize
from linconv.layers.orthogonality import conv_orthogonal_penalty, orthogonal_penalty
from linconv.layers.places import Place, places_of
from linconv.layers.regularizers import coefficient_l1, correlation_penalty
from linconv.layers.replacement import SOURCE, ConvReplacement, ParameterRule
from linconv.layers.sparsity import SparsitySchedule

__all__ = [
    "SOURCE",
    "Coefficients",
    "ConvReplacement",
    "Conversion",
    "Count",
    "Factory",
    "FullCoefficients",
    "LayerWarning",
    "LinearConv2d",
    "LowRankCoefficients",
    "Macs",
    "ParameterRule",
    "Place",
    "Positive",
    "Rank",
    "Rule",
    "Share",
    "SparseCoefficients",
    "SparsitySchedule",
    "Stage",
    "UnsupportedConvError",
    "check_methods",
    "coefficient_l1",
    "conv_orthogonal_penalty",
    "conversion",
    "convert",
    "correlation_penalty",
    "fitting_init",
    "fold",
    "method_class",
    "network_warnings",
    "never_orthogonal",
    "optimize",
    "orthogonal_penalty",
    "places_of",
    "pointwise",
    "replaceable",
    "replaced_layers",
    "set_mode",
    "warm_start_init",
]
