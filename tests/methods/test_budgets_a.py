"""Budgets of whole networks on 3x32x32 with 10 classes, stem and 1x1 shortcuts plain, against counts by hand."""

import math

import pytest
import torch

import linconv
from linconv.config import Variant

# (c, N, k, pixels of the input, pixels of the output) of every convolution, the stem first
VGG11 = [
    (3, 64, 3, 1024, 1024),
    (64, 128, 3, 256, 256),
    (128, 256, 3, 64, 64),
    (256, 256, 3, 64, 64),
    (256, 512, 3, 16, 16),
    (512, 512, 3, 16, 16),
    (512, 512, 3, 4, 4),
    (512, 512, 3, 4, 4),
]
RESNET18 = [
    (3, 64, 3, 1024, 1024),
    *[(64, 64, 3, 1024, 1024)] * 4,
    (64, 128, 3, 1024, 256),
    (64, 128, 1, 1024, 256),
    *[(128, 128, 3, 256, 256)] * 3,
    (128, 256, 3, 256, 64),
    (128, 256, 1, 256, 64),
    *[(256, 256, 3, 64, 64)] * 3,
    (256, 512, 3, 64, 16),
    (256, 512, 1, 64, 16),
    *[(512, 512, 3, 16, 16)] * 3,
]
LAYERS = {"vgg11": VGG11, "resnet18": RESNET18}
BIASES = {"vgg11": 64 + 128 + 256 * 2 + 512 * 4, "resnet18": 0}
CLASSIFIER = 512 * 10


def bsconv_u(c, n, inputs, pixels):
    return c * n + n * 9, c * n * inputs + n * 9 * pixels


def bsconv_s(c, n, inputs, pixels):
    m = max(4, math.ceil(c / 4))
    return m * (c + n) + n * 9, m * (c + n) * inputs + n * 9 * pixels


def ghost(c, n, inputs, pixels):
    maps = n // 2 * c * 9 + n // 2 * 9
    return maps + 2 * n, maps * pixels  # with a scale and a shift for every map in the batch norms inside


def hetconv(c, n, inputs, pixels):
    return c * n * 9 // 4 + c * n * 3 // 4, (c * n * 9 // 4 + c * n) * pixels  # the 1x1 part runs on all inputs


def basis(c, n, inputs, pixels):
    """b = n_b = 128, as VGG11's convolutions 3-8 have them."""
    maps = c  # (c / b) n_b
    return 128 * 128 * 9 + maps * n + 2 * maps + 128, (128 * c * 9 + maps * n) * pixels


def by_hand(architecture, method, *, plain=lambda i, c, k: i == 0 or k == 1, strides_last=False):
    """Parameters and MACs of the network, with or without the resolution of the input where a 1x1 comes first."""
    params, macs = BIASES[architecture] + CLASSIFIER + 10, CLASSIFIER
    for i, (c, n, k, inputs, pixels) in enumerate(LAYERS[architecture]):
        weights = c * n * k**2
        if plain(i, c, k):
            layer = weights, weights * pixels
        else:
            layer = method(c, n, pixels if strides_last else inputs, pixels)
        params, macs = params + layer[0] + 2 * n, macs + layer[1]  # 2 n: the network's own batch norm
    return params, macs


def measured(architecture, layer, **more):
    with torch.device("meta"):
        model = linconv.build_model(
            architecture, Variant(layer=layer, exclude=("*.shortcut.*",), skip_first=True, **more)
        )
    counted = linconv.complexity(model, (3, 32, 32))
    return counted.params, counted.macs_auto


def in_millions(params, macs):
    return f"{params / 1e6:.2f}", f"{macs / 1e6:.1f}"


METHODS = {"ghost": ghost, "hetconv": hetconv, "bsconv_u": bsconv_u, "bsconv_s": bsconv_s}


@pytest.mark.parametrize("architecture", LAYERS)
@pytest.mark.parametrize("layer", METHODS)
def test_networks_have_the_parameters_and_macs_counted_by_hand(architecture, layer):
    assert measured(architecture, layer) == by_hand(architecture, METHODS[layer])


# In millions: parameters, MACs as run. All but those marked are the budgets as first estimated by arithmetic.
BUDGETS = {
    ("vgg11", "ghost"): ("4.64", "77.7"),
    ("resnet18", "ghost"): ("5.71", "284.0"),  # estimated 5.70, without the batch norms inside
    ("vgg11", "hetconv"): ("3.09", "56.3"),  # estimated 52.1, without the zeros of the dense 1x1 part
    ("resnet18", "hetconv"): ("3.85", "205.7"),  # estimated 190.5, likewise
    ("vgg11", "bsconv_u"): ("1.06", "19.3"),
    ("resnet18", "bsconv_u"): ("1.44", "92.2"),  # estimated 73.3, with the 1x1 part after the stride
    ("vgg11", "bsconv_s"): ("0.53", "10.2"),  # estimated 10.1, without the classifier
    ("resnet18", "bsconv_s"): ("0.81", "49.2"),  # estimated 42.1, with the 1x1 parts after the stride
}


@pytest.mark.parametrize(("architecture", "layer"), BUDGETS)
def test_budgets(architecture, layer):
    assert in_millions(*measured(architecture, layer)) == BUDGETS[architecture, layer]


def test_ghost_was_estimated_without_its_batch_norms():
    params, macs = by_hand("resnet18", lambda *shape: (ghost(*shape)[0] - 2 * shape[1], ghost(*shape)[1]))
    assert in_millions(params, macs) == ("5.70", "284.0")


@pytest.mark.parametrize(("architecture", "estimate"), [("vgg11", "52.1"), ("resnet18", "190.5")])
def test_hetconv_was_estimated_by_its_parameters_at_every_pixel(architecture, estimate):
    params, macs = by_hand(architecture, lambda c, n, inputs, pixels: (0, c * n * 3 * pixels))  # 9/4 + 3/4 = 3
    assert in_millions(params, macs)[1] == estimate


@pytest.mark.parametrize(("method", "estimate"), [(bsconv_u, "73.3"), (bsconv_s, "42.1")])
def test_bsconv_was_estimated_with_the_1x1_after_the_stride_where_it_would_be_another_function(method, estimate):
    params, macs = by_hand("resnet18", method, strides_last=True)
    assert in_millions(params, macs)[1] == estimate


def test_bsconv_s_was_estimated_without_the_classifier():
    params, macs = by_hand("vgg11", bsconv_s)
    assert macs == 10_150_912
    assert in_millions(params, macs - CLASSIFIER)[1] == "10.1"


def test_vgg11_with_a_basis_from_the_third_convolution_on_has_the_published_parameters():
    """The source's layout: F has a bias, batch norm and ReLU follow it, the 1x1 convolution has a bias too."""
    counted = measured("vgg11", "basis", include=("features.conv[3-8]",))
    assert counted[0] == 1_994_506
    shared_bias_and_norm = 6 * 128 + 2 * (128 + 2 * 256 + 3 * 512)
    linear = measured("vgg11", "basis_linear", include=("features.conv[3-8]",))
    assert linear == (1_994_506 - shared_bias_and_norm, counted[1])
    assert counted == by_hand("vgg11", basis, plain=lambda i, c, k: i < 2)
