"""Every method in `base` against ptflops: its parameters, and its MACs but for the additions of biases.

ptflops counts, by the operators that run, convolutions and matrix products (as we do) and one more for each number to
which such an operator adds a bias; batch norms, pooling and a bias that is added by itself count nothing with it.
"""

import io

import pytest
import torch
from ptflops import get_model_complexity_info

from linconv import build_model, complexity, set_mode
from linconv.catalogue.methods import METHODS
from linconv.config import Variant
from tests.methods.gathered import stated

IMAGE = (3, 32, 32)
STEM = 32 * 1024  # filters times pixels
CLASSES = 10
REPLACED = [(32, 64, 256), (64, 128, 64), (128, 256, 16)]  # inputs c, filters N, pixels


def one_operator_with_the_bias(c, n, pixels):
    return n * pixels


@pytest.mark.parametrize("name", METHODS)
def test_parameters_and_macs_are_those_of_ptflops_but_for_biases(name):
    with torch.device("meta"):
        model = set_mode(build_model("base", Variant(layer=name, skip_first=True)).eval(), "feature")
    ours = complexity(model, IMAGE, batch_size=1)
    macs, params = get_model_complexity_info(
        model, IMAGE, backend="aten", as_strings=False, print_per_layer_stat=False, ost=io.StringIO()
    )
    assert params == ours.params
    additions = stated(name, "bias_additions", one_operator_with_the_bias)
    assert macs - ours.macs_feature == STEM + sum(additions(*shape) for shape in REPLACED) + CLASSES
