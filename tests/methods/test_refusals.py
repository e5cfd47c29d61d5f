"""Which convolutions each method refuses, and why; `convert` leaves them plain."""

import pytest
import torch
from torch import nn

from linconv import convert
from linconv.config import Variant
from linconv.layers import UnsupportedConvError, method_class
from linconv.layers.geometry import geometry
from tests.methods.gathered import rows


@pytest.mark.parametrize(("name", "conv", "options", "reason"), rows("REFUSED"))
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


@pytest.mark.parametrize("name", ["ghost", "basis"])
def test_one_image_of_one_pixel_in_training_is_one_line_that_names_the_layer(name):
    layer = convert(nn.Sequential(nn.Conv2d(8, 16, 3, padding=1)), name)[0].train()
    pixel = torch.randn(1, 8, 1, 1)
    with pytest.raises(ValueError, match=r"^\w+\(8, 16, kernel_size.* two images or more, call eval\(\)") as raised:
        layer(pixel)
    assert "\n" not in str(raised.value)
    assert type(layer).__name__ in str(raised.value)
    assert layer(torch.cat([pixel, pixel])).shape == (2, 16, 1, 1)
    assert layer.eval()(pixel).shape == (1, 16, 1, 1)
