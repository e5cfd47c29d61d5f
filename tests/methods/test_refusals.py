"""Which convolutions each method refuses, and why; `convert` leaves them plain."""

import pytest
import torch
from torch import nn

from linconv import convert
from linconv.config import Variant
from linconv.layers import UnsupportedConvError, method_class
from linconv.layers.geometry import geometry

GROUPED = nn.Conv2d(4, 8, 3, groups=2, padding=1)
POINT = nn.Conv2d(4, 8, 1)
UNGROUPED = (
    *("basis", "basis_linear", "bsconv_s", "bsconv_u", "cp", "ghost"),
    *("hetconv", "lowrank", "octconv", "spatial", "tucker", "versatile"),
)
NO_1X1 = (
    "atoms",
    "basis",
    "basis_linear",
    "bsconv_s",
    "bsconv_u",
    "cp",
    "dcls",
    "hetconv",
    "spatial",
    "tucker",
    "versatile",
    "wconv",
)


@pytest.mark.parametrize(
    ("name", "conv", "options", "reason"),
    [
        *((name, GROUPED, {}, "groups=2") for name in UNGROUPED),
        *((name, POINT, {}, "1x1") for name in NO_1X1),
        ("linear", nn.Conv2d(4, 1, 3), {}, "leaves no primary filter"),
        ("ghost", nn.Conv2d(8, 1, 3), {}, "at least 2 filters"),
        ("hetconv", nn.Conv2d(3, 8, 3), {}, "part=4 needs as many inputs, not 3"),
        ("spatial", nn.Conv2d(4, 8, (3, 1)), {}, "3x1 kernel is one pixel wide"),
        ("spatial", nn.Conv2d(4, 1, 3), {}, "one filter"),
        ("versatile", nn.Conv2d(4, 1, 3), {}, "one filter"),
        ("versatile", nn.Conv2d(4, 8, 2), {}, "one channel window leave one mask"),
        ("versatile", nn.Conv2d(4, 8, 3), {"channel_windows": 3, "channel_stride": 2}, "need more than 4"),
        ("kronecker", nn.Conv2d(1, 1, 3), {}, "is a number"),
        ("kronecker", nn.Conv2d(4, 8, 3), {"inner_filters": 3}, "inner_filters 3 does not divide 8"),
        ("wconv", nn.Conv2d(4, 8, (3, 4)), {}, "3x4 kernel has no center"),
        ("wconv", nn.Conv2d(4, 8, 5), {"density": [0.5]}, r"needs 2 value\(s\)"),
        ("dcls", nn.Conv2d(4, 8, 3), {"dilated_kernel_size": 4}, "at least 3x3, the reach of the kernel, and exceed"),
        ("dynamic", GROUPED, {"budget": 0.5}, "groups=2"),
        ("dynamic", nn.Conv2d(4, 4, 3), {"budget": 0.5}, "no filter for each of 8 banks"),
        ("octconv", nn.Conv2d(4, 8, 3), {}, "does not keep the size"),
        ("octconv", nn.Conv2d(8, 8, 3, padding=1, dilation=2), {}, "does not keep the size"),
        ("octconv", nn.Conv2d(8, 8, 2, padding=1), {}, "does not keep the size"),
        ("octconv", nn.Conv2d(3, 1, 3, padding=1), {}, "no low-frequency channel"),
    ],
)
def test_what_cannot_be_replaced_is_refused_and_stays_plain(name, conv, options, reason):
    with pytest.raises(UnsupportedConvError, match=reason):
        method_class(name)(**geometry(conv), **options)
    with pytest.raises(ValueError, match=f"no convolution is replaced: .*{reason}"):
        convert(nn.Sequential(conv), Variant(layer=name, options=options))
    assert convert(nn.Sequential(conv), name, allow_nothing=True, **options)[0] is conv


@pytest.mark.parametrize("name", ["dcls", "dynamic", "wconv"])
def test_groups_where_they_are_accepted(name):
    torch.manual_seed(0)
    layer = method_class(name)(6, 4, 3, groups=2, padding=1, dtype=torch.float64)
    x = torch.randn(3, 6, 7, 7, dtype=torch.float64)
    other = torch.cat([x[:, :3], torch.zeros_like(x[:, 3:])], dim=1)
    if name == "dynamic":  # its coefficients see every channel
        layer.mix.weight.data.zero_()
    torch.testing.assert_close(layer(x)[:, :2], layer(other)[:, :2])
    assert not torch.allclose(layer(x)[:, 2:], layer(other)[:, 2:])
    assert layer.stages(49, 49)[-1].macs == 4 * layer.filter_size * 49
