"""LinearConv: budgets of whole networks against counts by hand; the layer itself is in tests/layers."""

import pytest
from torch import nn

from linconv.config import LinearOptions
from tests.methods.common import LAYERS, by_hand, in_millions, measured, plain

OPTIONS = [{"primary_ratio": 0.3, "init": "variance_preserving"}, {"rank": 0.5}, {"sparsity": 0.5}]
REFUSED = [(nn.Conv2d(4, 1, 3), {}, "leaves no primary filter")]


def bias_additions(c, n, pixels):
    """In feature space A acts on V * x, to which the primaries' biases are added afterwards."""
    return n // 2 * pixels


def linear(ratio, rank=None):
    def count(c, n, k, inputs, pixels):
        p = int(ratio * n)
        s, d = n - p, c * k**2
        coefficients = s * p if rank is None else rank * (s + p)
        return p * d + coefficients, (p * d + coefficients) * pixels

    return count


ROWS = {
    "1/2": (LinearOptions(), linear(0.5), ("4.92", "83.0"), ("6.03", "298.5")),
    "rank 10": (LinearOptions(rank=10), linear(0.5, 10), ("4.65", "78.1"), ("5.64", "284.1")),
    "1/4": (LinearOptions(primary_ratio=0.25), linear(0.25), ("2.54", "43.8"), ("3.13", "155.1")),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("architecture", LAYERS)
def test_networks_have_the_budgets_counted_by_hand(architecture, row):
    options, method, *budgets = ROWS[row]
    counted = measured(architecture, "linear", options)
    assert counted == by_hand(architecture, method, shortcuts=True)
    assert in_millions(*counted) == budgets[list(LAYERS).index(architecture)]


def test_the_plain_networks():
    for architecture, budget in (("vgg11", ("9.23", "152.8")), ("resnet18", ("11.17", "555.4"))):
        assert in_millions(*by_hand(architecture, plain, shortcuts=True)) == budget
